"""`bakery ci matrix`: the jobs of a CI run, or the shares of its images. Put into its group by `bakery.cli.ci`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import click

from bakery.cli import filters, options
from bakery.cli.filters import Filters, open_project, warn, write
from bakery.errors import ConfigurationError, NothingSelected, one_line

if TYPE_CHECKING:
    from bakery.config.project import Project
    from bakery.targets.changes import AffectedVersions

Field = Literal["version", "dev", "platform"]  # what a job says besides its image


@click.command("matrix")
@options.context
@filters.taking(
    click.argument("image_name", metavar="[IMAGE]", default="", help="Regular expression for names."),
    filters.image_version, filters.dev_versions, filters.dev_channel, filters.dev_stream, filters.dev_spec,
    filters.matrix_versions, filters.offline,
)  # fmt: skip
@click.option("--exclude", type=click.Choice(get_args(Field)), multiple=True, help="Leave this field out; repeatable.")
@click.option(
    "--base-ref", metavar="REF", envvar="BAKERY_BASE_REF", show_envvar=True, default="", show_default=False,
    help="Only what changed since the merge base with this commit.",
)  # fmt: skip
@click.option(
    "--changed-files-from", metavar="FILE", type=options.FILES, default="", show_default=False,
    help="Only what these files concern, one path a line, relative to the context; - is stdin.",
)  # fmt: skip
@click.option(
    "--shards", type=click.IntRange(min=1), metavar="N", help="Print N shares of the images for `ci publish --shard`."
)
@filters.strict
@options.general
def matrix_command(
    wanted: Filters,
    context: Path,
    exclude: tuple[Field, ...],
    base_ref: str,
    changed_files_from: str,
    shards: int | None,
    strict: bool,
) -> None:
    """Print the jobs of a CI run as one line of JSON: one per version and platform."""
    from bakery.cli.json_text import one_line as json_line
    from bakery.targets.jobs import jobs

    project = open_project(context, strict=strict)
    if shards is not None:
        write(json_line(_shares(project, wanted, shards)))
        return
    pairs = wanted.choose(project).pairs
    if wanted.image_version and not pairs:
        raise NothingSelected(
            "selecting versions", about=wanted.selection()[0].described(), why="no version passes these filters"
        )
    changes = _narrowing(project, context, base_ref, changed_files_from)
    if changes is not None:
        pairs = tuple(pair for pair in pairs if changes.includes(*pair))
    write(json_line(jobs(pairs, exclude)))


def _shares(project: Project, wanted: Filters, count: int) -> list[dict[str, object]]:
    from bakery.targets.shards import split_images, target_counts

    images = target_counts(project)
    named = {image.name for image in project.images if wanted.takes(image.name)}
    return [
        {
            "shard": f"{index}/{count}",
            "images": [name for name in share if name in named],
            "targets": sum(images[name] for name in share if name in named),
        }
        for index, share in enumerate(split_images(images, count), start=1)
    ]


def _narrowing(project: Project, context: Path, base_ref: str, changed_files_from: str) -> AffectedVersions | None:
    """What the changed files concern, or None where nobody says what changed."""
    from bakery.app.git import run_git
    from bakery.config.git import GitFailed, changed_files, old_text
    from bakery.targets.changes import affected_versions

    if changed_files_from:
        return affected_versions(project, _paths(changed_files_from))
    if not base_ref:
        return None
    try:
        changes = changed_files(context, base_ref, run_git)
    except GitFailed as error:
        warn(f"{one_line(error)}. Every job is listed")
        return None
    name = Path(project.file).name
    return affected_versions(project, changes.paths, old_text(context, changes.base, name, run_git))


def _paths(source: str) -> list[str]:
    if source == "-":
        text = sys.stdin.read()
    else:
        try:
            text = Path(source).read_text(encoding="utf-8", errors="surrogateescape")
        except OSError as error:
            raise ConfigurationError(
                "reading the changed files", about=source, why=os.strerror(error.errno or 0)
            ) from error
    return [line.strip() for line in text.splitlines() if line.strip()]
