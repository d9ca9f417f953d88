"""`bakery check`: report every problem in a project."""

from __future__ import annotations

from pathlib import Path

import click

from bakery.cli import filters, general, options
from bakery.cli.group import Command
from bakery.cli.output import emit, write


@click.command("check", cls=Command)
@options.context
@filters.strict
@general.options
def command(context: Path, strict: bool) -> None:
    """Report every problem in the project, and count what it defines. Makes no network requests."""
    from bakery.app import reading

    write(reading.check(context, strict=strict, emit=emit))
