"""`bakery build`. What there is of it: `--plan`, the bake file that a build would use."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from bakery.cli import filters, options
from bakery.cli.filters import Filters, open_project, say, write
from bakery.errors import BakeryError, NotBuiltYet, NothingSelected


@click.command("build")
@options.context
@click.option("--plan", is_flag=True, help="Print the bake file as JSON and build nothing.")
@click.option("--strategy", type=click.Choice(["bake", "build"]), default="bake", help="How to build.")
@click.option("--push/--no-push", default=False, help="Push what was built.")
@click.option("--cache-registry", metavar="REGISTRY", default="", show_default=False, help="Where build caches are.")
@click.option(
    "--temp-registry", metavar="REGISTRY", default="", show_default=False, help="Push there by digest, under no tag."
)
@click.option("--summary", is_flag=True, help="Print a summary at the end.")
@click.option("--summary-format", type=click.Choice(["table", "json"]), default="table", help="Its form.")
@filters.taking(*filters.ALL)
@filters.strict
@options.general
def command(
    context: Path,
    plan: bool,
    strategy: Literal["bake", "build"],
    push: bool,
    cache_registry: str,
    temp_registry: str,
    summary: bool,
    summary_format: Literal["table", "json"],
    wanted: Filters,
    strict: bool,
) -> None:
    """Build images. So far only --plan: print the bake file as JSON."""
    from bakery.cli.json_text import pretty
    from bakery.targets.bake import bake_file
    from bakery.targets.expand import secret_findings
    from bakery.targets.labels import created

    if not plan:
        raise NotBuiltYet(
            "building images", why="this version only plans builds",
            hint="run with --plan and give what it prints to `docker buildx bake -f -`",
        )  # fmt: skip
    if strategy == "build":
        raise BakeryError("planning a build", why="--plan prints a bake file; --strategy build uses none")
    if summary and summary_format == "json":
        raise BakeryError("planning a build", why="--plan and a JSON summary would both be printed on stdout")
    project = open_project(context, strict=strict)
    selected = wanted.select(project, strict=strict)
    if not selected.targets:
        raise NothingSelected(
            "selecting targets", about=wanted.selection()[0].described(), why="no target passes these filters",
            hint="`bakery get targets` shows what there is",
        )  # fmt: skip
    say(project.document.problem(found) for found in secret_findings(project, selected.targets))
    made = bake_file(
        selected.targets, push=push, cache_registry=cache_registry, temp_registry=temp_registry, created=created()
    )
    write(pretty(made))
