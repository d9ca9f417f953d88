"""`bakery check`: load a project, report every problem, expand it, print counts."""

from __future__ import annotations

from pathlib import Path

from bakery.cli import filters, options
from bakery.cli.filters import open_project, say, write


def command(
    context: options.Context = Path(),
    strict: filters.Strict = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Load the project, report every problem in it, expand it, and print counts. Asks nobody."""
    from bakery.targets.expand import check_expansion

    project = open_project(context, strict=strict)
    checked = check_expansion(project, strict=strict)
    say(checked.problems)
    write(checked.summary)
