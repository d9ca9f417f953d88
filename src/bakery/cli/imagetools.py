"""`bakery imagetools` and, for its merge, `bakery oras`: the steps of publishing one by one."""

from __future__ import annotations

from pathlib import Path

import typer

from bakery.cli import options, soci
from bakery.cli.ci import publish_command
from bakery.cli.publishing import Request, publish

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
app.command("publish")(publish_command)
soci.register(app)


@app.command("merge")
def merge_command(
    metadata: options.Metadata,
    context: options.Context = Path(),
    image_name: options.ImageName = None,
    temp_registry: options.TempRegistry = None,  # sources are where image.name says; kept for old callers
    jobs: options.Jobs = None,
    dry_run: options.DryRun = False,
    engine: options.Engine = "native",
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Assemble and copy, without SOCI."""
    request = Request(metadata, context, image_name, jobs, dry_run, engine, with_soci=False)
    raise typer.Exit(publish(request))
