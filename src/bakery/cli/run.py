"""`bakery run dgoss`, the old spelling of `bakery dgoss run`."""

from __future__ import annotations

from typing import Any

import click

from bakery.cli import dgoss, filters
from bakery.cli.group import Group


@click.group("run", cls=Group)
def group() -> None:
    """Old spelling of `dgoss run`."""


@group.command("dgoss", params=list(dgoss.run_command.params))
@click.pass_context
def old_command(ctx: click.Context, /, **given: Any) -> None:
    """Old spelling of `bakery dgoss run`."""
    filters.warn("`bakery run dgoss` is now `bakery dgoss run`")
    ctx.invoke(dgoss.run_command, **given)
