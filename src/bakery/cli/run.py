"""`bakery run dgoss`, the old spelling of `bakery dgoss run`."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from bakery.cli import dgoss, filters, options

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)


@app.command("dgoss")
def old_command(
    context: options.Context = Path(),
    image_name: dgoss.ImageName = "",
    image_version: dgoss.ImageVersion = "",
    image_variant: dgoss.ImageVariant = "",
    image_os: dgoss.ImageOs = "",
    image_platform: dgoss.ImagePlatform = "",
    dev_versions: dgoss.DevVersions = "exclude",
    dev_channel: filters.DevChannel = None,
    matrix_versions: dgoss.MatrixVersions = "exclude",
    latest: dgoss.Latest = False,
    metadata_file: dgoss.MetadataFile = None,
    clean: dgoss.Clean = True,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Old spelling of `bakery dgoss run`."""
    print("warning: `bakery run dgoss` is now `bakery dgoss run`", file=sys.stderr)
    dgoss.run_command(
        context,
        image_name,
        image_version,
        image_variant,
        image_os,
        image_platform,
        dev_versions,
        dev_channel,
        matrix_versions,
        latest,
        metadata_file,
        None,
        clean,
    )
