"""`bakery run dgoss`: old name of `bakery dgoss run`."""

from __future__ import annotations

from typing import Any

import click

from bakery.cli import dgoss, general, output
from bakery.cli.group import Group
from bakery.events import Noted


@click.group("run", cls=Group)
def group() -> None:
    """Old name of `dgoss run`."""


@group.command("dgoss", params=list(dgoss.run_command.params))
@click.pass_context
def old_command(ctx: click.Context, /, **given: Any) -> None:
    """Old name of `dgoss run`."""
    general.configure_logging()
    output.emit(Noted("", "`bakery run dgoss` is now `bakery dgoss run`"))
    ctx.invoke(dgoss.run_command, **given)
