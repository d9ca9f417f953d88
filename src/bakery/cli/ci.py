"""`bakery ci`: what a CI run calls."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from bakery.cli import filters, options
from bakery.cli.group import Group
from bakery.cli.matrix import matrix_command
from bakery.errors import ConfigurationError


@click.group("ci", cls=Group)
def group() -> None:
    """What a CI run calls: matrix, publish, merge, summary."""


group.add_command(matrix_command)


@group.command("publish")
@options.metadata
@options.publishing
@options.wait_timeout
@options.time_budget
@options.allow_empty
@options.allow_missing_platforms
@filters.dev_channel
@filters.dev_spec
@filters.offline
@options.shard
@options.summary
@options.summary_format
@options.summary_file
@options.journal
@options.ca_file
@options.plain_http
@options.trusted_realm
@options.build_tool_identifier
@options.general
def publish_command(
    metadata: tuple[str, ...],
    context: Path,
    image_name: str | None,
    jobs: int | None,
    dry_run: bool,
    engine: str,
    wait_timeout: float,
    time_budget: float,
    allow_empty: bool,
    allow_missing_platforms: bool,
    dev_channel: filters.Channel | None,
    dev_spec: str,
    offline: bool,
    shard: str,
    summary: bool,
    summary_format: str,
    summary_file: Path | None,
    journal: Path | None,
    ca_file: Path | None,
    plain_http: tuple[str, ...],
    trusted_realm: tuple[str, ...],
    build_tool_identifier: str | None,
) -> None:
    """Publish the images that these build metadata files name: assemble, copy, tag, verify."""
    from bakery.cli.publishing import Request, publish

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
    raise click.exceptions.Exit(publish(request))


@group.command("merge")
@options.metadata
@options.context
@options.image_name
@options.temp_registry
@options.dry_run
@options.engine
@filters.dev_channel
@filters.dev_spec
@options.general
def merge_command(
    metadata: tuple[str, ...],
    context: Path,
    image_name: str | None,
    dry_run: bool,
    engine: str,
    dev_channel: filters.Channel | None,
    dev_spec: str,
) -> None:
    """The same as `ci publish`, under its old name."""
    from bakery.cli.publishing import Request, publish

    request = Request(
        metadata, context, image_name, dry_run=dry_run, engine=engine, dev_channel=dev_channel, dev_spec=dev_spec
    )
    raise click.exceptions.Exit(publish(request))


@group.command("summary")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path), help="Summary files (JSON)."
)
@click.option(
    "--output", metavar="FILE", type=click.Path(path_type=Path), required=True, help="Where to write the Markdown page."
)
@click.option("--disclaimer", metavar="TEXT", default="", show_default=False, help="A sentence above the table.")
@options.general
def summary_command(files: tuple[Path, ...], output: Path, disclaimer: str) -> None:
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
        raise ConfigurationError("writing the page", about=output, why=str(error.strerror)) from error
