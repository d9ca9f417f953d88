"""`bakery rollback`: make tags name again what they named before a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from bakery.cli import general, options, output
from bakery.cli.group import Command
from bakery.cli.options import declaring
from bakery.cli.publishing import ACCESS, ACCESS_NAMES
from bakery.cli.watching import look
from bakery.errors import ExitCode, UsageError
from bakery.events import Event

if TYPE_CHECKING:
    from bakery.app.rollback import RollbackRequest
    from bakery.publish.changes import Change
    from bakery.publish.journal import Journal
    from bakery.publish.rolled_back import Rollback

_NUMBERS: Final = ("", *(f"-{number}" for number in range(2, 10)))  # of the journals of rollbacks at the same time


@click.command("rollback", cls=Command)
@click.argument("file", metavar="SUMMARY|JOURNAL", type=options.FILES, help="JSON summary or journal of the run.")
@declaring(
    click.option("--yes", is_flag=True, help="Restore without asking."),
    click.option("--dry-run", is_flag=True, help="Print what would be restored; registries are only read."),
    click.option(
        "--journal", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", show_default="<file>.undo.jsonl",
        help="Append what the rollback does to this file, so that it can be undone.",
    ),
    options.time_budget,
    click.option("--output", "result", type=click.Choice(["text", "json"]), default="text", help="Output format."),
    *ACCESS,
)  # fmt: skip
@general.options
def command(
    file: str, yes: bool, dry_run: bool, journal: Path | None, time_budget: float, result: Literal["text", "json"],
    **access: Any,
) -> None:  # fmt: skip
    """Make every tag that a run moved name again what it named before.

    A tag that something else moved since is left and named, and a tag that was new is deleted if the registry allows
    it. What a tag goes back to is checked to be readable first. It is safe to repeat, and its journal undoes it.
    """
    from bakery.app import rollback
    from bakery.app.rollback import RollbackRequest

    environment = options.overlaid(os.environ, **{name: access[name] for name in ACCESS_NAMES})
    request = RollbackRequest(Path(file), time_budget, environment)
    changes = rollback.read_changes(request)
    if dry_run or not yes:
        planned = rollback.survey(changes, request, emit=output.emit)
        if dry_run:
            _show(planned, result, None)
            raise click.exceptions.Exit(planned.exit_code)
        _ask(planned)
    names = [journal] if journal else [Path(f"{file}.undo{number}.jsonl") for number in _NUMBERS]
    done, record = _roll_back(changes, request, names)
    _show(done, result, record)
    raise click.exceptions.Exit(done.exit_code)


def _ask(planned: Rollback) -> None:
    """Show the plan and ask; ends the command unless the answer is yes. Raises UsageError without a terminal."""
    from bakery.publish.rolled_back import Found
    from bakery.report.printing import print_text
    from bakery.report.rollback import rollback_table
    from bakery.text import plural

    if sys.stdin.isatty() or not general.is_quiet():
        print_text(rollback_table(planned, look()))
    count = sum(one.found is Found.RESTORE for one in planned.tags)
    if count and not sys.stdin.isatty():
        raise UsageError("cannot ask whether to roll back", why="stdin is not a terminal", hint="pass --yes")
    if count and not output.confirm(f"Restore {plural(count, 'tag')}?"):
        output.note("nothing restored")
        raise click.exceptions.Exit(ExitCode.FAILED)


def _roll_back(changes: tuple[Change, ...], request: RollbackRequest, names: Sequence[Path]) -> tuple[Rollback, Path]:
    """Return what became of the tags, and the journal: the first of these that no other rollback is writing to."""
    from bakery.app import rollback

    with _opened(names) if changes else nullcontext() as record:

        def emit(event: Event) -> None:
            if record is not None:
                record(event)
            output.emit(event)

        return rollback.roll_back(changes, request, emit=emit), names[0] if record is None else record.path


def _opened(names: Sequence[Path]) -> Journal:
    from bakery.publish.journal import Journal, JournalBusy

    for name in names[:-1]:
        with suppress(JournalBusy):
            return Journal(name)
    return Journal(names[-1])


def _show(done: Rollback, result: str, journal: Path | None) -> None:
    from bakery.report.rollback import rollback_json, rollback_lines, rollback_table

    if result == "json":
        output.write_json(rollback_json(done))
    else:
        output.report(rollback_table(done, look()))
    output.report(rollback_lines(done, journal))
