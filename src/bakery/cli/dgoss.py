"""`bakery dgoss run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bakery.cli import filters, options
from bakery.errors import NothingSelected

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)

ImagePlatform = Annotated[
    str,
    typer.Option(
        "--image-platform", metavar="OS/ARCH", show_default="this machine's", help="Test the images of this platform."
    ),
]
MetadataFile = Annotated[
    list[str] | None,
    typer.Option("--metadata-file", metavar="FILE", help="Test what was built: a build metadata file, or a pattern."),
]
Clean = Annotated[bool, typer.Option("--clean/--no-clean", help="Empty results/dgoss first.")]


@app.command("run")
def run_command(
    context: options.Context = Path(),
    image_name: filters.ImageName = "",
    image_version: filters.ImageVersion = "",
    image_variant: filters.ImageVariant = "",
    image_os: filters.ImageOs = "",
    image_platform: ImagePlatform = "",
    latest: filters.Latest = False,
    dev_versions: filters.DevVersions = filters.Mode.EXCLUDE,
    dev_channel: filters.DevChannel = None,
    dev_stream: filters.DevStream = None,
    dev_spec: filters.DevSpec = "",
    matrix_versions: filters.MatrixVersions = filters.Mode.EXCLUDE,
    offline: filters.Offline = False,
    metadata_file: MetadataFile = None,
    jobs: options.Jobs = None,
    clean: Clean = True,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Test images with goss, each in a container of its own."""
    from bakery.plugins.dgoss import DgossPlugin
    from bakery.plugins.dgoss.invocation import full_platform
    from bakery.report.live import board
    from bakery.targets.metadata import find_files, read_metadata

    wanted = filters.Filters(
        image_name=image_name,
        image_version=image_version,
        image_variant=image_variant,
        image_os=image_os,
        image_platform=(f"^{full_platform(image_platform)}",) if image_platform else (),
        latest=latest,
        dev_versions=dev_versions,
        dev_channel=dev_channel,
        dev_stream=dev_stream,
        dev_spec=dev_spec,
        matrix_versions=matrix_versions,
        offline=offline,
    )
    targets = wanted.select(filters.open_project(context)).targets
    if not targets:
        described = wanted.selection()[0].described()
        raise NothingSelected("looking for targets to test", answer=f"none passes {described}")
    metadata = None
    if metadata_file:
        files = find_files(metadata_file, Path.cwd())
        if not files:
            raise NothingSelected("reading build metadata", answer=f"no file matches {' '.join(metadata_file)}")
        metadata = read_metadata(files).results
    plugin = DgossPlugin()
    with board([target.uid for target in targets], quiet=quiet) as emit:
        results = plugin.execute(
            context.absolute(),
            targets,
            metadata=metadata,
            platform=image_platform or None,
            jobs=jobs,
            clean=clean,
            emit=emit,
        )
    plugin.results(results)
