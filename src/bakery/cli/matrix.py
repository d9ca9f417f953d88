"""`bakery ci matrix`: the jobs of a CI run, or shards of the images. `bakery.cli.ci` adds it to its group."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final, get_args

import click

from bakery.app.reading import JobField, MatrixRequest
from bakery.app.selecting import Filters
from bakery.cli import completing, filters, general, options
from bakery.cli.general import CommandFunction
from bakery.cli.group import Command
from bakery.cli.options import declare
from bakery.cli.output import emit, write
from bakery.errors import ConfigurationError
from bakery.files import read_regular

_MAX_SHARDS: Final = 10_000  # a matrix of GitHub has at most 256 jobs
_MAX_CHANGED_BYTES: Final = 64 * 1024 * 1024  # a million paths

_exclude = click.option(
    "--exclude", type=click.Choice(get_args(JobField)), multiple=True, help="Leave this field out; repeatable."
)
_base_ref = click.option(
    "--base-ref", metavar="REF", envvar="BAKERY_BASE_REF", show_envvar=True, default="", show_default=False,
    help="Only what changed since the merge base with this commit.",
)  # fmt: skip
_changed = click.option(
    "--changed-files-from", metavar="FILE", type=options.FILES, default="", show_default=False,
    help="Only what the files listed in FILE affect: one path per line, relative to the context; - is stdin.",
)  # fmt: skip
_shards = click.option(
    "--shards",
    type=click.IntRange(1, _MAX_SHARDS),
    metavar="N",
    help="Print N shards of the images for `ci publish --shard`.",
)
_runner = click.option(
    "--runner", metavar="PLATFORM=LABEL", multiple=True, envvar="BAKERY_RUNNERS", show_envvar=True,
    help="Add the runner of each job, and an id: by platform prefix, the longest wins, default=LABEL for others; "
    "repeatable.",
)  # fmt: skip
_platforms = click.option(
    "--platform", "platforms", metavar="OS/ARCH", multiple=True, envvar="BAKERY_PLATFORMS", show_envvar=True,
    help="Without a project: print one job for this platform; repeatable.",
)  # fmt: skip
_bake = click.option(
    "--bake", metavar="FILE", type=options.FILES, default="", show_default=False,
    help="Without a project: print one job per platform of this bake file; - is stdin.",
)  # fmt: skip


def _narrowing(function: CommandFunction) -> CommandFunction:
    """Add the options that leave jobs or fields out."""
    return declare(function, (_exclude, _base_ref, _changed, _shards))


def _sending(function: CommandFunction) -> CommandFunction:
    """Add the options that say where jobs come from and run."""
    return declare(function, (_runner, _platforms, _bake))


@click.command("matrix", cls=Command)
@options.context
@filters.taking(
    click.argument("image_name", metavar="[IMAGE]", default="", help="Regular expression for image names.",
        shell_complete=completing.project_names("image"),
    ),
    filters.image_version, filters.dev_versions, filters.dev_channel, filters.dev_stream, filters.dev_spec,
    filters.matrix_versions, filters.offline, filters.allow_empty,
)  # fmt: skip
@_narrowing
@_sending
@filters.strict
@general.options
def matrix_command(
    wanted: Filters,
    context: Path,
    exclude: tuple[JobField, ...],
    base_ref: str,
    changed_files_from: str,
    shards: int | None,
    runner: tuple[str, ...],
    platforms: tuple[str, ...],
    bake: str,
    strict: bool,
) -> None:
    """Print the jobs of a CI run as one line of JSON: one job per version and platform.

    \b
    What a matrix of GitHub Actions needs, for a project and for a bake file:
      bakery ci matrix --runner default=ubuntu-24.04 --runner linux/arm64=ubuntu-24.04-arm
      docker buildx bake --print | bakery ci matrix --bake - --runner default=ubuntu-24.04
    """
    from bakery.app import reading

    if shards is not None:
        write(json.dumps(reading.shards(context, wanted, shards, strict=strict, emit=emit)))
        return
    if bake or platforms:
        from bakery.app.jobs import platform_jobs

        jobs = platform_jobs(bake, platforms, stdin=sys.stdin.buffer.read() if bake == "-" else b"")
    else:
        changed = _paths(changed_files_from) if changed_files_from else None
        jobs = reading.matrix(MatrixRequest(context, wanted, exclude, base_ref, changed, strict), emit=emit)
    if runner:
        from bakery.app.jobs import on_runners

        jobs = on_runners(jobs, runner)
    write(json.dumps(jobs))


def _paths(source: str) -> list[str]:
    if source == "-":
        text = sys.stdin.read()
    else:
        try:
            text = os.fsdecode(read_regular(Path(source), limit_bytes=_MAX_CHANGED_BYTES, stream=True))
        except OSError as error:
            why = error.strerror or str(error)
            raise ConfigurationError("cannot read the changed files", about=f"from {source}", why=why) from error
    return [line.strip() for line in text.splitlines() if line.strip()]
