"""What commands print: results on stdout, everything else on stderr."""

from __future__ import annotations

import sys
from typing import Any

from bakery.cli import general
from bakery.events import Event, ProblemFound


def write(text: str) -> None:
    """Print a result on stdout, in one piece, never wrapped."""
    sys.stdout.write(f"{text}\n")


def write_json(value: Any) -> None:
    """Print a result on stdout as indented JSON."""
    import json

    write(json.dumps(value, indent=2))


def emit(event: Event) -> None:
    """Show an event on stderr: a warning about bakery.yaml with its line of the file, any other event as a log line."""
    if isinstance(event, ProblemFound):
        note(event.text)
        return
    import logging

    from bakery.report.lines import log

    log(event, logging.getLogger(__name__))


def note(text: str) -> None:
    """Print a line on stderr, unless only errors are wanted."""
    if not general.is_quiet():
        print(text, file=sys.stderr, flush=True)
