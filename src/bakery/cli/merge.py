"""`bakery imagetools merge`, also called `bakery oras merge`."""

from __future__ import annotations

import click
from msgspec.structs import replace

from bakery.cli import general
from bakery.cli.group import Command
from bakery.cli.publishing import Publishing, publishing, run


@click.command("merge", cls=Command)
@publishing()
@general.options
def merge_command(wanted: Publishing) -> None:
    """Publish without converting to SOCI: assemble, copy, tag, verify."""
    run(replace(wanted, request=replace(wanted.request, with_soci=False)))
