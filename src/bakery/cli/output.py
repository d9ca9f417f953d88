"""What commands print: results on stdout, everything else on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bakery.cli import general
from bakery.events import Event
from bakery.text import clean, json_text, without_commands

if TYPE_CHECKING:
    from bakery.report.lines import Line
    from bakery.report.recorder import Recorder


def write(text: str, *, end: str = "\n") -> None:
    """Print a result on stdout, in one piece, never wrapped; foreign text in it is made safe."""
    text = clean(text, lines=True)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        text = without_commands(text, result=True)
    sys.stdout.write(f"{text}{end}")


def write_json(value: Any) -> None:
    """Print a result on stdout as indented JSON."""
    sys.stdout.write(f"{json_text(value, indent=2, ascii_only=True)}\n")


def write_bytes(content: bytes) -> None:
    """Print content on stdout, byte for byte."""
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:  # a stream of text, as in a test
        sys.stdout.write(content.decode("utf-8", "replace"))
        return
    sys.stdout.flush()
    buffer.write(content)
    buffer.flush()


def emit(event: Event) -> None:
    """Show an event of work that no live view shows."""
    _unwatched()(event)


@lru_cache(maxsize=1)
def _unwatched() -> Recorder:
    from bakery.report.progress import Progress
    from bakery.report.recorder import Recorder

    progress = Progress()
    return Recorder([lambda event, run, at: say(progress.lines(event, run, at))])


def say(lines: Iterable[Line]) -> None:
    """Print lines on stderr, those of the wanted levels."""
    level = general.log_level()
    wanted = [line for line in lines if line.level >= level]
    if wanted:
        configure().print_lines(wanted)


def report(text: str) -> None:
    """Print the report of a command on stderr; with --quiet, only its errors. On GitHub they are annotations."""
    from bakery.report.lines import lines_of

    say(lines_of(text))


def note(text: str) -> None:
    """Print a line on stderr, unless only errors are wanted."""
    if not general.is_quiet():
        print_line(text)


def confirm(question: str) -> bool:
    """Ask a question on the terminal. The end of the input is a no."""
    import click

    pause = getattr(sys.stderr, "paused", nullcontext)  # of a live view
    try:
        with pause():
            return click.confirm(question, err=True)
    except click.Abort:
        print_line("")
        return False


def print_line(text: str) -> None:
    """Print a line on stderr."""
    configure().print_text(f"{text}\n")


def print_error(error: BaseException) -> None:
    """Print an error on stderr; on GitHub with an annotation at its place in a file, if it has one."""
    from bakery.errors import message

    form = general.form()
    if not (form.json or form.github):
        print_line(message(error))
        return
    from bakery.report.lines import lines_of_error

    configure().print_lines(lines_of_error(error))


def configure() -> ModuleType:
    """Return the module that prints, set to the form of this command."""
    from bakery.report import printing

    printing.use(general.form())
    return printing
