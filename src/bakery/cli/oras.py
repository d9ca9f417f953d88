"""`bakery oras`: old name of `bakery imagetools merge`."""

from __future__ import annotations

import click

from bakery.cli.group import Group
from bakery.cli.merge import merge_command


@click.group("oras", cls=Group)
def group() -> None:
    """Old name of `imagetools merge`."""


group.add_command(merge_command)
