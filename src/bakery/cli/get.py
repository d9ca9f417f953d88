"""`bakery get`: print what a project defines, for people and programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal, get_args

import click

from bakery.app.selecting import Filters
from bakery.cli import completing, filters, general, options
from bakery.cli.group import Group
from bakery.cli.output import emit, write, write_json
from bakery.cli.watching import look

_Schema = Literal[
    "project", "summary", "build", "journal", "images", "plan", "doctor", "verify", "rollback", "clean", "before-commit"
]  # fmt: skip


@click.group("get", cls=Group)
def group() -> None:
    """Print tags, targets, a version or the configuration of a project."""


@group.command("tags")
@options.context
@click.option(
    "--output", type=click.Choice(["component", "uid", "json"]), default="component",
    help="Group the JSON by names or by uid; json is the default, as of other commands.",
)  # fmt: skip
@filters.taking(
    options.image_name, filters.image_version, filters.image_variant, filters.image_os, filters.latest,
    filters.dev_versions, filters.dev_channel, filters.dev_stream, filters.matrix_versions, filters.offline,
    filters.allow_empty,
)  # fmt: skip
@filters.strict
@general.options
def tags_command(context: Path, output: Literal["component", "uid", "json"], wanted: Filters, strict: bool) -> None:
    """Print the tags of the selected targets as JSON."""
    from bakery.app import reading
    from bakery.targets.listing import tags_by_component, tags_by_uid

    targets = reading.targets(context, wanted, strict=strict, check_secrets=False, emit=emit)
    write_json(tags_by_uid(targets) if output == "uid" else tags_by_component(targets))


@group.command("targets")
@options.context
@click.option("--output", type=click.Choice(["table", "json"]), default="table", help="Output format.")
@filters.taking(*filters.ALL)
@filters.strict
@general.options
def targets_command(context: Path, output: Literal["table", "json"], wanted: Filters, strict: bool) -> None:
    """Print the selected targets with everything known about them."""
    from bakery.app import reading
    from bakery.report.table import targets_table
    from bakery.targets.listing import described

    targets = reading.targets(context, wanted, strict=strict, emit=emit)
    if output == "json":
        write_json([described(target) for target in targets])
    else:
        write(targets_table(targets, width=look(sys.stdout).width))


@group.command("version")
@click.argument("image", help="Name of the image.", shell_complete=completing.project_names("image"))
@options.context
@click.option("--subpath", metavar="FOLDER", help="Print the version in this folder instead of the latest.")
@general.options
def version_command(image: str, context: Path, subpath: str | None) -> None:
    """Print the name of an image's latest version, or of its version in a folder."""
    from bakery.app import reading

    write(reading.version(context, image, subpath, emit=emit))


@group.command("config")
@options.context
@click.option("--resolved", is_flag=True, help="Fill in every default and every inherited list.")
@click.option("--output", type=click.Choice(["yaml", "json"]), default="yaml", help="Output format.")
@click.option("--origin", is_flag=True, help="Show where each value comes from (file:line).")
@options.image_name
@filters.allow_empty
@filters.strict
@general.options
def config_command(
    context: Path,
    resolved: bool,
    output: Literal["yaml", "json"],
    origin: bool,
    image_name: str,
    allow_empty: bool,
    strict: bool,
) -> None:
    """Print the configuration as written, or as Bakery understands it."""
    from bakery.app import reading
    from bakery.config.resolved import plain, yaml_text

    tree = reading.configuration(
        context, resolved=resolved, image_name=image_name, strict=strict, allow_empty=allow_empty, emit=emit
    )
    if output == "json":
        write_json(plain(tree, origins=origin))
    else:
        write(yaml_text(tree, origins=origin))


@group.command("schema")
@click.argument(
    "what",
    type=click.Choice(get_args(_Schema)),
    default="project",
    help="bakery.yaml, the summary of a publish or of a build, a line of the journal, or the JSON of a command.",
)
@general.options
def schema_command(what: _Schema) -> None:
    """Print a JSON Schema, by default that of bakery.yaml with the options of every installed plugin."""
    from bakery.app import reading

    write_json(reading.schema(what))
