"""`bakery build`. Only `--plan` exists so far: it prints the bake file that a build would use."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from bakery.app.selecting import Filters
from bakery.cli import filters, general, options
from bakery.cli.output import emit, write_json
from bakery.errors import BakeryError, NotBuiltYet


@click.command("build")
@options.context
@click.option("--plan", is_flag=True, help="Print the bake file as JSON and build nothing.")
@click.option("--strategy", type=click.Choice(["bake", "build"]), default="bake", help="How to build.")
@click.option("--push/--no-push", default=False, help="Push the built images.")
@click.option("--cache-registry", metavar="REGISTRY", default="", show_default=False, help="Registry of build caches.")
@click.option(
    "--temp-registry", metavar="REGISTRY", default="", show_default=False,
    help="Push to this registry by digest, untagged.",
)  # fmt: skip
@options.summary
@options.summary_format
@filters.taking(*filters.ALL)
@filters.strict
@general.options
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
    """Build images; --plan prints the bake file."""
    from bakery.app.build import BuildRequest, bake_plan
    from bakery.build.options import BuildOptions

    if not plan:
        raise NotBuiltYet(
            "cannot build images", why="this version only plans builds",
            hint="pass --plan, and pipe its output to `docker buildx bake -f -`",
        )  # fmt: skip
    if strategy == "build":
        raise BakeryError("cannot plan a build with --strategy build", why="only --strategy bake uses a bake file")
    if summary and summary_format == "json":
        raise BakeryError("cannot print both the plan and a JSON summary", why="both would go to stdout")
    how = BuildOptions(strategy=strategy, push=push, cache_registry=cache_registry, temp_registry=temp_registry)
    write_json(bake_plan(BuildRequest(context, wanted, how, strict), emit=emit))
