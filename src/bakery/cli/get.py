"""`bakery get`: what a project says, as text for people and programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from bakery.cli import filters, options
from bakery.cli.filters import Filters, Mode, open_project, write
from bakery.errors import NothingSelected

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)


class TagsOutput(StrEnum):
    """How tags are grouped."""

    COMPONENT = "component"
    UID = "uid"


class TargetsOutput(StrEnum):
    """How targets are printed."""

    TABLE = "table"
    JSON = "json"


class ConfigOutput(StrEnum):
    """How the configuration is printed."""

    YAML = "yaml"
    JSON = "json"


@app.command("tags")
def tags_command(
    context: options.Context = Path(),
    output: Annotated[TagsOutput, typer.Option("--output", help="Grouped by names, or by uid.")] = TagsOutput.COMPONENT,
    image_name: filters.ImageName = "",
    image_version: filters.ImageVersion = "",
    image_variant: filters.ImageVariant = "",
    image_os: filters.ImageOs = "",
    latest: filters.Latest = False,
    dev_versions: filters.DevVersions = Mode.EXCLUDE,
    dev_channel: filters.DevChannel = None,
    dev_stream: filters.DevStream = None,
    matrix_versions: filters.MatrixVersions = Mode.EXCLUDE,
    offline: filters.Offline = False,
    strict: filters.Strict = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Print the tags of the selected targets as JSON."""
    from bakery.cli.json_text import pretty
    from bakery.targets.described import tags_by_component, tags_by_uid

    wanted = Filters(
        image_name, image_version, image_variant, image_os, (), latest, dev_versions, dev_channel, dev_stream, "",
        matrix_versions, offline,
    )  # fmt: skip
    selected = wanted.select(open_project(context, strict=strict), strict=strict)
    grouped = tags_by_uid if output is TagsOutput.UID else tags_by_component
    write(pretty(grouped(selected.targets)))


@app.command("targets")
def targets_command(
    context: options.Context = Path(),
    output: Annotated[TargetsOutput, typer.Option("--output", help="How to print them.")] = TargetsOutput.TABLE,
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
    """Print the selected targets with all that is known of them."""
    from bakery.cli.json_text import pretty
    from bakery.targets.described import described, table
    from bakery.targets.expand import secret_findings

    wanted = Filters(
        image_name, image_version, image_variant, image_os, tuple(image_platform or ()), latest, dev_versions,
        dev_channel, dev_stream, dev_spec, matrix_versions, offline,
    )  # fmt: skip
    project = open_project(context, strict=strict)
    selected = wanted.select(project, strict=strict)
    filters.say(project.document.problem(found) for found in secret_findings(project, selected.targets))
    if output is TargetsOutput.JSON:
        write(pretty([described(target) for target in selected.targets]))
    else:
        write(table(selected.targets))


@app.command("version")
def version_command(
    image: Annotated[str, typer.Argument(help="The image's name.", show_default=False)],
    context: options.Context = Path(),
    subpath: Annotated[
        str | None, typer.Option("--subpath", help="The version in this directory, not the latest.", show_default=False)
    ] = None,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Print the name of an image's latest version, or of the version in a directory."""
    from bakery.targets.described import version_name

    write(version_name(open_project(context), image, subpath))


@app.command("config")
def config_command(
    context: options.Context = Path(),
    resolved: Annotated[
        bool, typer.Option("--resolved", help="With every default filled in and every list inherited.")
    ] = False,
    output: Annotated[ConfigOutput, typer.Option("--output", help="How to print it.")] = ConfigOutput.YAML,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from (file:line).")] = False,
    image_name: filters.ImageName = "",
    strict: filters.Strict = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
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
            raise NothingSelected(
                "selecting images", about=f"--image-name {image_name}", answer="no image has this name"
            )
        made = tree.only_images(made, names)
    if output is ConfigOutput.JSON:
        write(pretty(tree.plain(made, origins=origin)))
    else:
        write(tree.yaml_text(made, origins=origin))


@app.command("schema")
def schema_command(
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Print the JSON Schema of bakery.yaml, with the options of every plugin that is installed."""
    from bakery.cli.json_text import pretty
    from bakery.config.json_schema import project_schema
    from bakery.plugin_api import options_registry

    write(pretty(project_schema(options_registry())))
