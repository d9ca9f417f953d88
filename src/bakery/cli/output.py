"""What commands print: results on stdout, everything else on stderr."""

from __future__ import annotations

import os
import sys
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bakery.cli import general
from bakery.events import Event, HostPaused, ProblemFound, RequestRetried
from bakery.text import clean, json_text, without_commands

if TYPE_CHECKING:
    from bakery.report.retrying import RetryGroups


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
    """Show an event on stderr: a warning about bakery.yaml with its line of the file, any other event as a log line."""
    if isinstance(event, ProblemFound):
        note(event.text)
        return
    import logging

    from bakery.report.lines import line_of, log

    logger = logging.getLogger(__name__)
    if isinstance(event, RequestRetried | HostPaused):
        logger.debug("%s", line_of(event).text)
        if line := _retries().line(event, time.monotonic()):
            logger.warning("%s", line)
        return
    log(event, logger)


@lru_cache(maxsize=1)
def _retries() -> RetryGroups:
    from bakery.report.retrying import RetryGroups

    return RetryGroups()


def note(text: str) -> None:
    """Print a line on stderr, unless only errors are wanted."""
    if not general.is_quiet():
        print_line(text)


def confirm(question: str) -> bool:
    """Ask a question on the terminal. The end of the input is a no."""
    import click

    try:
        return click.confirm(question, err=True)
    except click.Abort:
        print_line("")
        return False


def print_line(text: str) -> None:
    """Print a line on stderr."""
    from bakery.report.printing import print_text

    print_text(f"{text}\n")
