"""`bakery check`: load a project, report every problem, expand it, print counts."""

from __future__ import annotations

from pathlib import Path

import click

from bakery.cli import filters, options
from bakery.cli.filters import open_project, say, write


@click.command("check")
@options.context
@filters.strict
@options.general
def command(context: Path, strict: bool) -> None:
    """Load the project, report every problem in it, expand it, and print counts. Asks nobody."""
    from bakery.targets.expand import check_expansion

    project = open_project(context, strict=strict)
    checked = check_expansion(project, strict=strict)
    say(checked.problems)
    write(checked.summary)
