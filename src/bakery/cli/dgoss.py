"""`bakery dgoss run`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from bakery.cli import filters, options
from bakery.errors import NothingSelected

_log = logging.getLogger(__name__)

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)

Mode = Literal["include", "exclude", "only"]

ImageName = Annotated[str, typer.Option("--image-name", metavar="RE", help="Only images whose name this matches.")]
ImageVersion = Annotated[str, typer.Option("--image-version", metavar="V", help="Only this version, or its prefix.")]
ImageVariant = Annotated[str, typer.Option("--image-variant", metavar="RE", help="Only variants this matches.")]
ImageOs = Annotated[str, typer.Option("--image-os", metavar="RE", help="Only systems whose name this matches.")]
ImagePlatform = Annotated[
    str, typer.Option("--image-platform", metavar="OS/ARCH", help="Test images of this platform (this machine's).")
]
DevVersions = Annotated[Mode, typer.Option("--dev-versions", help="Development versions.")]
MatrixVersions = Annotated[Mode, typer.Option("--matrix-versions", help="Versions of a matrix.")]
Latest = Annotated[bool, typer.Option("--latest", help="Only the latest versions.")]
MetadataFile = Annotated[
    list[str] | None,
    typer.Option("--metadata-file", metavar="FILE", help="Test what was built: a build metadata file, or a pattern."),
]
Clean = Annotated[bool, typer.Option("--clean/--no-clean", help="Empty results/dgoss first.")]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, help="How many targets at once (BAKERY_MAX_CONCURRENCY)."),
]


@app.command("run")
def run_command(
    context: options.Context = Path(),
    image_name: ImageName = "",
    image_version: ImageVersion = "",
    image_variant: ImageVariant = "",
    image_os: ImageOs = "",
    image_platform: ImagePlatform = "",
    dev_versions: DevVersions = "exclude",
    dev_channel: filters.DevChannel = None,
    matrix_versions: MatrixVersions = "exclude",
    latest: Latest = False,
    metadata_file: MetadataFile = None,
    jobs: Jobs = None,
    clean: Clean = True,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Test images with goss, each in a container of its own."""
    from bakery.config.load import load_project
    from bakery.plugins.dgoss import DgossPlugin
    from bakery.plugins.dgoss.invocation import full_platform
    from bakery.targets.metadata import find_files, read_metadata
    from bakery.targets.select import Selection, select

    selection = Selection(
        image_name=image_name,
        image_version=image_version,
        image_variant=image_variant,
        image_os=image_os,
        image_platforms=(full_platform(image_platform),) if image_platform else (),
        latest=latest,
        dev_versions=dev_versions,
        dev_channel=dev_channel,
        matrix_versions=matrix_versions,
    )
    selected = select(load_project(context), selection)
    for problem in selected.problems:
        _log.warning("%s", problem)
    if not selected.targets:
        raise NothingSelected("looking for targets to test", answer=f"none passes {selection.described()}")
    metadata = None
    if metadata_file:
        files = find_files(metadata_file, Path.cwd())
        if not files:
            raise NothingSelected("reading build metadata", answer=f"no file matches {' '.join(metadata_file)}")
        metadata = read_metadata(files).results
    plugin = DgossPlugin()
    plugin.results(
        plugin.execute(
            context.absolute(),
            selected.targets,
            metadata=metadata,
            platform=image_platform or None,
            jobs=jobs,
            clean=clean,
        )
    )
