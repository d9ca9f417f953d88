"""`bakery get`: what a project says, as text for people and programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from bakery.cli import filters, options
from bakery.cli.filters import Filters, open_project, write
from bakery.cli.group import Group
from bakery.errors import NothingSelected


@click.group("get", cls=Group)
def group() -> None:
    """Print what a project says: tags, targets, a version, the configuration."""


@group.command("tags")
@options.context
@click.option(
    "--output", type=click.Choice(["component", "uid"]), default="component", help="Grouped by names, or by uid."
)
@filters.taking(
    filters.image_name, filters.image_version, filters.image_variant, filters.image_os, filters.latest,
    filters.dev_versions, filters.dev_channel, filters.dev_stream, filters.matrix_versions, filters.offline,
)  # fmt: skip
@filters.strict
@options.general
def tags_command(context: Path, output: Literal["component", "uid"], wanted: Filters, strict: bool) -> None:
    """Print the tags of the selected targets as JSON."""
    from bakery.cli.json_text import pretty
    from bakery.targets.listing import tags_by_component, tags_by_uid

    selected = wanted.select(open_project(context, strict=strict), strict=strict)
    grouped = tags_by_uid if output == "uid" else tags_by_component
    write(pretty(grouped(selected.targets)))


@group.command("targets")
@options.context
@click.option("--output", type=click.Choice(["table", "json"]), default="table", help="How to print them.")
@filters.taking(*filters.ALL)
@filters.strict
@options.general
def targets_command(context: Path, output: Literal["table", "json"], wanted: Filters, strict: bool) -> None:
    """Print the selected targets with all that is known of them."""
    from bakery.cli.json_text import pretty
    from bakery.targets.expand import secret_findings
    from bakery.targets.listing import described, table

    project = open_project(context, strict=strict)
    selected = wanted.select(project, strict=strict)
    filters.say(project.document.problem(found) for found in secret_findings(project, selected.targets))
    if output == "json":
        write(pretty([described(target) for target in selected.targets]))
    else:
        write(table(selected.targets))


@group.command("version")
@click.argument("image", help="The image's name.")
@options.context
@click.option("--subpath", metavar="FOLDER", help="The version in this directory, not the latest.")
@options.general
def version_command(image: str, context: Path, subpath: str | None) -> None:
    """Print the name of an image's latest version, or of the version in a directory."""
    from bakery.targets.listing import version_name

    write(version_name(open_project(context), image, subpath))


@group.command("config")
@options.context
@click.option("--resolved", is_flag=True, help="With every default filled in and every list inherited.")
@click.option("--output", type=click.Choice(["yaml", "json"]), default="yaml", help="How to print it.")
@click.option("--origin", is_flag=True, help="Say where each value comes from (file:line).")
@filters.image_name
@filters.strict
@options.general
def config_command(
    context: Path, resolved: bool, output: Literal["yaml", "json"], origin: bool, image_name: str, strict: bool
) -> None:
    """Print the configuration: as written, or as the tool understood it."""
    import re

    from bakery.cli.json_text import pretty
    from bakery.config import resolved as tree
    from bakery.targets.select import Selection

    Selection(image_name=image_name)  # a bad expression is told like everywhere else
    project = open_project(context, strict=strict)
    made: Any = tree.resolved(project) if resolved else tree.as_written(project)
    if image_name:
        names = {image.name for image in project.images if re.search(image_name, image.name)}
        if not names:
            raise NothingSelected("selecting images", about=f"--image-name {image_name}", why="no image has this name")
        made = tree.only_images(made, names)
    if output == "json":
        write(pretty(tree.plain(made, origins=origin)))
    else:
        write(tree.yaml_text(made, origins=origin))


@group.command("schema")
@options.general
def schema_command() -> None:
    """Print the JSON Schema of bakery.yaml, with the options of every plugin that is installed."""
    from bakery.cli.json_text import pretty
    from bakery.config.schema.json_schema import project_schema
    from bakery.plugin_api import options_registry

    write(pretty(project_schema(options_registry())))
