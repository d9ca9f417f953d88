"""`bakery run dgoss`, the old spelling of `bakery dgoss run`."""

from __future__ import annotations

from pathlib import Path

import typer

from bakery.cli import dgoss, filters, options

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)


@app.command("dgoss")
def old_command(
    context: options.Context = Path(),
    image_name: filters.ImageName = "",
    image_version: filters.ImageVersion = "",
    image_variant: filters.ImageVariant = "",
    image_os: filters.ImageOs = "",
    image_platform: dgoss.ImagePlatform = "",
    latest: filters.Latest = False,
    dev_versions: filters.DevVersions = filters.Mode.EXCLUDE,
    dev_channel: filters.DevChannel = None,
    dev_stream: filters.DevStream = None,
    dev_spec: filters.DevSpec = "",
    matrix_versions: filters.MatrixVersions = filters.Mode.EXCLUDE,
    offline: filters.Offline = False,
    metadata_file: dgoss.MetadataFile = None,
    clean: dgoss.Clean = True,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Old spelling of `bakery dgoss run`."""
    filters.warn("`bakery run dgoss` is now `bakery dgoss run`")
    dgoss.run_command(
        context,
        image_name,
        image_version,
        image_variant,
        image_os,
        image_platform,
        latest,
        dev_versions,
        dev_channel,
        dev_stream,
        dev_spec,
        matrix_versions,
        offline,
        metadata_file,
        None,
        clean,
    )
