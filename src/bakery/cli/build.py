"""`bakery build`. What there is of it: `--plan`, the bake file that a build would use."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bakery.cli import filters, options
from bakery.cli.filters import Filters, Mode, open_project, say, write
from bakery.errors import BakeryError, NotBuiltYet, NothingSelected


class Strategy(StrEnum):
    """How images are built."""

    BAKE = "bake"
    BUILD = "build"


class SummaryFormat(StrEnum):
    """How a summary is printed."""

    TABLE = "table"
    JSON = "json"


def command(
    context: options.Context = Path(),
    plan: Annotated[bool, typer.Option("--plan", help="Print the bake file as JSON and build nothing.")] = False,
    strategy: Annotated[Strategy, typer.Option("--strategy", help="How to build.")] = Strategy.BAKE,
    push: Annotated[bool, typer.Option("--push/--no-push", help="Push what was built.")] = False,
    cache_registry: Annotated[
        str,
        typer.Option("--cache-registry", metavar="REGISTRY", help="Where build caches are.", show_default=False),
    ] = "",
    temp_registry: Annotated[
        str,
        typer.Option(
            "--temp-registry", metavar="REGISTRY", help="Push there by digest, under no tag.", show_default=False
        ),
    ] = "",
    summary: Annotated[bool, typer.Option("--summary", help="Print a summary at the end.")] = False,
    summary_format: Annotated[SummaryFormat, typer.Option("--summary-format", help="Its form.")] = SummaryFormat.TABLE,
    image_name: filters.ImageName = "",
    image_version: filters.ImageVersion = "",
    image_variant: filters.ImageVariant = "",
    image_os: filters.ImageOs = "",
    image_platform: filters.ImagePlatform = None,
    latest: filters.Latest = False,
    dev_versions: filters.DevVersions = Mode.EXCLUDE,
    dev_channel: filters.DevChannel = None,
    dev_stream: filters.DevStream = None,
    dev_spec: filters.DevSpec = "",
    matrix_versions: filters.MatrixVersions = Mode.EXCLUDE,
    offline: filters.Offline = False,
    strict: filters.Strict = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Build images. So far only --plan: print the bake file as JSON."""
    from bakery.cli.json_text import pretty
    from bakery.targets.bake import bake_file
    from bakery.targets.expand import secret_findings
    from bakery.targets.labels import created

    if not plan:
        raise NotBuiltYet(
            "building images", answer="this version only plans builds",
            hint="run with --plan and give what it prints to `docker buildx bake -f -`",
        )  # fmt: skip
    if strategy is Strategy.BUILD:
        raise BakeryError("planning a build", answer="--plan prints a bake file; --strategy build uses none")
    if summary and summary_format is SummaryFormat.JSON:
        raise BakeryError("planning a build", answer="--plan and a JSON summary would both be printed on stdout")
    wanted = Filters(
        image_name, image_version, image_variant, image_os, tuple(image_platform or ()), latest, dev_versions,
        dev_channel, dev_stream, dev_spec, matrix_versions, offline,
    )  # fmt: skip
    project = open_project(context, strict=strict)
    selected = wanted.select(project, strict=strict)
    if not selected.targets:
        raise NothingSelected(
            "selecting targets", about=wanted.selection()[0].described(), answer="no target passes these filters",
            hint="`bakery get targets` shows what there is",
        )  # fmt: skip
    say(project.document.problem(found) for found in secret_findings(project, selected.targets))
    made = bake_file(
        selected.targets, push=push, cache_registry=cache_registry, temp_registry=temp_registry, created=created()
    )
    write(pretty(made))
