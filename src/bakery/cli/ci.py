"""`bakery ci`: what a CI run calls."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from bakery.cli import filters, options
from bakery.cli.matrix import matrix_command
from bakery.cli.publishing import Request, publish
from bakery.errors import ConfigurationError

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
app.command("matrix")(matrix_command)


@app.command("publish")
def publish_command(
    metadata: options.Metadata,
    context: options.Context = Path(),
    image_name: options.ImageName = None,
    temp_registry: options.TempRegistry = None,  # sources are where image.name says; kept for old callers
    jobs: options.Jobs = None,
    dry_run: options.DryRun = False,
    engine: options.Engine = "native",
    wait_timeout: options.WaitTimeout = 600.0,
    time_budget: options.TimeBudget = 1800.0,
    allow_empty: options.AllowEmpty = False,
    allow_missing_platforms: options.AllowMissingPlatforms = False,
    dev_channel: filters.DevChannel = None,
    dev_spec: filters.DevSpec = "",
    offline: filters.Offline = False,
    shard: options.Shard = "",
    summary: options.Summary = False,
    summary_format: options.SummaryFormat = "table",
    summary_file: options.SummaryFile = None,
    journal: options.Journal = None,
    ca_file: options.CaFile = None,
    plain_http: options.PlainHttp = None,
    trusted_realm: options.TrustedRealm = None,
    build_tool_identifier: options.BuildToolIdentifier = None,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Publish the images that these build metadata files name: assemble, copy, tag, verify."""
    environment = options.overlaid(
        os.environ,
        ca_file=ca_file,
        plain_http=plain_http,
        trusted_realms=trusted_realm,
        build_tool_identifier=build_tool_identifier,
    )
    request = Request(
        metadata,
        context,
        image_name,
        jobs,
        dry_run,
        engine,
        wait_limit_s=wait_timeout,
        time_budget_s=time_budget,
        allow_empty=allow_empty,
        allow_missing_platforms=allow_missing_platforms,
        dev_channel=dev_channel,
        dev_spec=dev_spec,
        offline=offline,
        shard=shard,
        summary=summary,
        summary_format=summary_format,
        summary_file=summary_file,
        journal=journal,
        environment=environment,
    )
    raise typer.Exit(publish(request))


@app.command("merge")
def merge_command(
    metadata: options.Metadata,
    context: options.Context = Path(),
    image_name: options.ImageName = None,
    temp_registry: options.TempRegistry = None,
    dry_run: options.DryRun = False,
    engine: options.Engine = "native",
    dev_channel: filters.DevChannel = None,
    dev_spec: filters.DevSpec = "",
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """The same as `ci publish`, under its old name."""
    request = Request(
        metadata, context, image_name, dry_run=dry_run, engine=engine, dev_channel=dev_channel, dev_spec=dev_spec
    )
    raise typer.Exit(publish(request))


@app.command("summary")
def summary_command(
    files: Annotated[list[Path], typer.Argument(help="Summary files (JSON).", show_default=False)],
    output: Annotated[Path, typer.Option("--output", help="Where to write the Markdown page.", show_default=False)],
    disclaimer: Annotated[str, typer.Option("--disclaimer", help="A sentence above the table.")] = "",
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Put summaries of several jobs together as one Markdown page."""
    from bakery.errors import BakeryError
    from bakery.oci.canonical import parse_object
    from bakery.report.markdown import summary_page
    from bakery.report.summary import merge

    summaries = []
    for file in files:
        try:
            summaries.append(parse_object(file.read_bytes(), about=file, limit_bytes=64 * 1024 * 1024))
        except (OSError, BakeryError) as error:
            print(f"⚠️  Skipping unreadable summary file {file}: {error}", file=sys.stderr)
    try:
        output.write_text(summary_page(merge(summaries), disclaimer=disclaimer), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError("writing the page", about=output, answer=str(error.strerror)) from error
