"""Showing a run while it goes: a live view on a terminal, lines elsewhere, and the journal. For all commands that run.

    with watching("Building 3 targets") as recorder:
        outcome = build(…, emit=recorder)
    report(outcome, recorder.run)

The run reports RunStarted with its targets, then its steps (`bakery.events`); what they add up to is in `recorder.run`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bakery.cli import general, output
from bakery.events import Emit

if TYPE_CHECKING:
    from bakery.report.recorder import Recorder
    from bakery.report.result import Look


@contextmanager
def watching(title: str, *, journal: Path | None = None, show: Emit | None = None) -> Iterator[Recorder]:
    """Yield an `Emit` that keeps the model of the run, shows it and writes its journal.

    title: of the group that its lines are folded into, on GitHub and GitLab. show: receives the events instead of the
    live view and the lines. Raises UsageError if the journal cannot be opened.
    """
    from bakery.publish.journal import Journal
    from bakery.report.live import is_wanted, live_view
    from bakery.report.printing import group
    from bakery.report.progress import Progress
    from bakery.report.recorder import Recorder

    recorder = Recorder()
    with ExitStack() as stack:
        if journal is not None:
            record = stack.enter_context(Journal(journal))
            recorder.listen(lambda event, _run, _at: record(event))
        if show is not None:
            recorder.listen(lambda event, _run, _at: show(event))
            yield recorder
            return
        if not general.is_quiet():
            output.configure()
            stack.enter_context(group(title, os.environ))
        is_live = general.shows_progress() and is_wanted(sys.stderr, os.environ)
        if is_live:
            stack.enter_context(live_view(recorder, sys.stderr, os.environ))
        progress = Progress(is_live=is_live)
        recorder.listen(lambda event, run, at: output.say(progress.lines(event, run, at)))
        yield recorder


def look(stream: TextIO | None = None, *, everything: bool = False) -> Look:
    """Return how the result of a run is laid out on a stream, by default stderr. everything: see Look."""
    from bakery.report.result import Look

    full = general.is_verbose()
    stream = stream or sys.stderr
    if not stream.isatty() or general.logs_json():
        return Look(full=full, everything=everything)
    from bakery.report.live import terminal_of

    terminal = terminal_of(stream)
    width = None if full else terminal.width
    return Look(width=width, unicode=terminal.unicode, full=full, everything=everything)
