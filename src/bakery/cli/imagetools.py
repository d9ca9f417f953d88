"""`bakery imagetools`: images made of images, and the steps of publishing a project one by one."""

from __future__ import annotations

from typing import Final

import click

from bakery.cli.group import Group
from bakery.cli.options import load

# Each is imported when it runs: the time to the first request of `create` is budgeted.
_PLACES: Final = {
    "create": "bakery.cli.create:create_command",
    "copy": "bakery.cli.create:copy_command",
    "tag": "bakery.cli.create:tag_command",
    "inspect": "bakery.cli.inspect:inspect_command",
    "publish": "bakery.cli.ci:publish_command",
    "soci-convert": "bakery.cli.soci:convert_command",
    "soci-inspect": "bakery.cli.soci:inspect_command",
    "soci-verify": "bakery.cli.soci:verify_command",
    "merge": "bakery.cli.merge:merge_command",
}


class _Imagetools(Group):
    """The commands of the table."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        place = _PLACES.get(cmd_name)
        if place is None:
            return None
        command: click.Command = load(place)
        return command

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_PLACES)


@click.group("imagetools", cls=_Imagetools)
def group() -> None:
    """Create, copy, tag and inspect images; single steps of publishing a project."""
