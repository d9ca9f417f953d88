"""`bakery dgoss run`."""

from __future__ import annotations

from pathlib import Path

import click

from bakery.app.selecting import Filters
from bakery.cli import completing, filters, general, options, output
from bakery.cli.group import Group
from bakery.cli.watching import watching
from bakery.events import RunStarted, RunTarget


@click.group("dgoss", cls=Group)
def group() -> None:
    """Test images with goss, in containers."""


@group.command("run")
@options.context
@filters.taking(
    options.image_name, filters.image_version, filters.image_variant, filters.image_os, filters.latest,
    filters.dev_versions, filters.dev_channel, filters.dev_stream, filters.dev_spec, filters.matrix_versions,
    filters.offline, filters.allow_empty,
)  # fmt: skip
@click.option(
    "--image-platform", "platform", metavar="OS/ARCH", default="", show_default="this machine's",
    help="Test the images of this platform.", shell_complete=completing.project_names("platform"),
)  # fmt: skip
@click.option(
    "--metadata-file", metavar="FILE", type=options.FILES, multiple=True,
    help="Test the builds that this metadata file names; a pattern is allowed; repeatable.",
)  # fmt: skip
@options.jobs
@click.option("--clean/--no-clean", default=True, help="Empty results/dgoss first.")
@general.options
def run_command(
    context: Path, wanted: Filters, platform: str, metadata_file: tuple[str, ...], jobs: int | None, clean: bool
) -> None:
    """Test images with goss, each in its own container."""
    from bakery.app.testing import find_subjects
    from bakery.plugins.dgoss import DgossPlugin
    from bakery.plugins.dgoss.invocation import full_platform
    from bakery.text import plural

    full = full_platform(platform) if platform else ""
    found = find_subjects(context, wanted, platform=full, metadata_file=metadata_file, emit=output.emit)
    if not found.targets:
        return  # --allow-empty
    plugin = DgossPlugin()
    with watching(f"Testing {plural(len(found.targets), 'target')}") as recorder:
        recorder(RunStarted("test", tuple(RunTarget(target.uid) for target in found.targets)))
        results = plugin.execute(
            context.absolute(),
            found.targets,
            metadata=found.builds,
            platform=full or None,
            jobs=jobs,
            clean=clean,
            emit=recorder,
        )
    plugin.results(results)
