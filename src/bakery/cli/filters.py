"""The options that select images, versions and targets. Commands receive them as one value, `wanted` (app.selecting).

Source: config.md 15.
"""

from __future__ import annotations

from typing import Final, get_args

import click

from bakery.app.selecting import Channel, Mode
from bakery.cli import completing
from bakery.cli.general import Declared
from bakery.cli.options import image_name, into

_MODES, _CHANNELS = click.Choice(get_args(Mode)), click.Choice(get_args(Channel))
FILTERS: Final = "bakery.app.selecting:Filters"


def _text(name: str, metavar: str, help: str) -> Declared:
    complete = completing.project_names(name.removeprefix("--image-"))
    return click.option(name, metavar=metavar, default="", show_default=False, help=help, shell_complete=complete)


image_version = _text("--image-version", "VERSION", "Only this version, or versions that start with it (2026.05).")
image_variant = _text("--image-variant", "REGEX", "Only variants whose name matches.")
image_os = _text("--image-os", "REGEX", "Only operating systems whose name matches.")
image_platform = click.option(
    "--image-platform",
    metavar="REGEX",
    multiple=True,
    help="Only targets with a matching platform; repeatable.",
    shell_complete=completing.project_names("platform"),
)
latest = click.option("--latest", is_flag=True, help="Only latest versions.")
dev_versions = click.option(
    "--dev-versions", type=_MODES, default="exclude", help="Exclude or include development versions, or only those."
)
dev_channel = click.option("--dev-channel", type=_CHANNELS, help="Only development versions of this channel.")
dev_stream = click.option("--dev-stream", type=_CHANNELS, hidden=True)
dev_spec = click.option(
    "--dev-spec", metavar="JSON", envvar="BAKERY_DEV_SPEC", show_envvar=True, default="", show_default=False,
    help='Pin a development version: {"version", "channel", "release_branch"}.',
)  # fmt: skip
matrix_versions = click.option(
    "--matrix-versions", type=_MODES, default="exclude", help="Exclude or include images with a matrix, or only those."
)
offline = click.option("--offline", is_flag=True, help="Do not query product APIs; use cached responses of any age.")
allow_empty = click.option(
    "--allow-empty", is_flag=True, help="Exit 0 even if a filter matches nothing in the project."
)
strict = click.option("--strict", is_flag=True, help="Fail on unknown keys and on tags that two targets claim.")

ALL: Final = (
    image_name, image_version, image_variant, image_os, image_platform, latest, dev_versions, dev_channel, dev_stream,
    dev_spec, matrix_versions, offline, allow_empty,
)  # fmt: skip


def taking(*filters: Declared) -> Declared:
    """Declare these filters; the command receives them as `wanted`, a Filters."""
    return into("wanted", FILTERS, *filters)
