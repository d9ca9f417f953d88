"""`bakery dgoss run`."""

from __future__ import annotations

from pathlib import Path

import click

from bakery.cli import filters, options
from bakery.cli.group import Group
from bakery.errors import NothingSelected


@click.group("dgoss", cls=Group)
def group() -> None:
    """Test images with goss, in containers."""


@group.command("run")
@options.context
@filters.taking(
    filters.image_name, filters.image_version, filters.image_variant, filters.image_os,
    click.option(
        "--image-platform", "platform", metavar="OS/ARCH", default="", show_default="this machine's",
        help="Test the images of this platform.",
    ),
    filters.latest, filters.dev_versions, filters.dev_channel, filters.dev_stream, filters.dev_spec,
    filters.matrix_versions, filters.offline,
)  # fmt: skip
@click.option(
    "--metadata-file",
    metavar="FILE",
    type=options.FILES,
    multiple=True,
    help="Test what was built: a build metadata file, or a pattern.",
)
@options.jobs
@click.option("--clean/--no-clean", default=True, help="Empty results/dgoss first.")
@options.general
def run_command(
    context: Path, wanted: filters.Filters, platform: str, metadata_file: tuple[str, ...], jobs: int | None, clean: bool
) -> None:
    """Test images with goss, each in a container of its own."""
    from msgspec.structs import replace

    from bakery.plugins.dgoss import DgossPlugin
    from bakery.plugins.dgoss.invocation import full_platform
    from bakery.report.live import board
    from bakery.targets.metadata import find_files, read_metadata

    if platform:
        wanted = replace(wanted, image_platform=(f"^{full_platform(platform)}",))
    targets = wanted.select(filters.open_project(context)).targets
    if not targets:
        described = wanted.selection()[0].described()
        raise NothingSelected("looking for targets to test", why=f"none passes {described}")
    metadata = None
    if metadata_file:
        files = find_files(metadata_file, Path.cwd())
        if not files:
            raise NothingSelected("reading build metadata", why=f"no file matches {' '.join(metadata_file)}")
        metadata = read_metadata(files).results
    plugin = DgossPlugin()
    with board([target.uid for target in targets], quiet=options.quiet_wanted()) as emit:
        results = plugin.execute(
            context.absolute(),
            targets,
            metadata=metadata,
            platform=platform or None,
            jobs=jobs,
            clean=clean,
            emit=emit,
        )
    plugin.results(results)
