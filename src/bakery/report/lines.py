"""Plain lines for stderr: events and log records as text, JSON or GitHub annotations. Pure.

Lines are never wrapped and contain no markup; stdout is for machines. A character that the terminal cannot show is
replaced by a plain one. Source: pipeline.md 2.8 and 11, "ours".
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from bakery.events import (
    ArtifactAdded,
    Event,
    HostPaused,
    Noted,
    ProblemFound,
    RequestRetried,
    SourcesMissing,
    StepFinished,
    StepOutput,
    StepRetried,
    TagMoved,
    TagRestored,
)
from bakery.text import clean, json_text, without_commands

_PLAIN = str.maketrans({"✅": "ok:", "❌": "FAILED:", "✓": "+", "✗": "x", "⚠": "!", "…": "...", "→": "->", "—": "-"})
_REPORTED: Final = re.compile(r"^(error|warning)(?:\[([\w/-]+)\])?: (.*(?:\nhint: .*)?)$", re.MULTILINE)


class Line(Struct, frozen=True):
    """An event as a log line."""

    level: int
    text: str
    target: str = ""
    step: str = ""


def line_of(event: Event) -> Line:
    """Return the event as a cleaned line. Events that few users need have level DEBUG."""
    line = _line_of(event)
    several = isinstance(event, ProblemFound)  # its lines were cleaned one by one
    return Line(line.level, clean(line.text, lines=several), clean(line.target), clean(line.step))


def _line_of(event: Event) -> Line:
    match event:
        case RequestRetried():
            retry = f"retrying in {event.wait_s:.1f} s: {event.action} {event.about}"
            return Line(logging.WARNING, f"{retry} (attempt {event.attempt} failed: {event.reason})")
        case HostPaused():
            return Line(logging.WARNING, f"{event.host} requests a wait of {event.wait_s:.1f} s: {event.reason}")
        case StepRetried():
            text = f"attempt {event.attempt} failed: {event.reason}; retrying in {event.wait_s:.1f} s"
            return Line(logging.WARNING, text, event.target, event.step)
        case StepOutput(text=text):
            return Line(logging.INFO, text, event.target, event.step)
        case SourcesMissing():
            missing = ", ".join(event.missing)
            text = f"waiting for {missing} ({event.waited_s:.0f} of {event.limit_s:.0f} s)"
            return Line(logging.INFO, text, event.target, "wait")
        case TagMoved():
            text = f"{event.reference} -> {event.digest} (was {event.previous or 'new'})"
            return Line(logging.INFO, text, event.target, "commit")
        case TagRestored():
            text = f"{event.reference} -> {event.digest or 'deleted'} (restored; was {event.replaced})"
            return Line(logging.INFO, text, event.target, "commit")
        case ArtifactAdded():
            text = f"{event.kind} of {event.subject}" + (f": {event.digest}" if event.digest else "")
            return Line(logging.INFO, text, event.target, "stage")
        case Noted():
            return Line(logging.WARNING if event.warning else logging.INFO, event.message, event.target)
        case ProblemFound():
            return Line(logging.WARNING, event.text)
        case StepFinished(error=error) if error:
            return Line(logging.DEBUG, f"failed after {event.elapsed_s:.1f} s: {error}", event.target, event.step)
        case _:
            return Line(logging.DEBUG, str(event), getattr(event, "target", ""))


def log(event: Event, logger: logging.Logger) -> None:
    """Log an event."""
    line = line_of(event)
    logger.log(line.level, "%s", line.text, extra={"target": line.target, "step": line.step})


class LineFormatter(logging.Formatter):
    """Formats a log record as one line.

    form: text or json. dated: with the time. github: warnings and errors become annotations.
    """

    def __init__(self, form: str = "text", *, dated: bool = False, github: bool = False) -> None:
        super().__init__()
        self._form, self._dated, self._github = form, dated, github

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        text = clean(text, lines=True)
        target, step = getattr(record, "target", ""), getattr(record, "step", "")
        when = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if self._form == "json":
            members = {"time": when, "level": record.levelname.lower(), "target": target, "step": step, "message": text}
            return json_text({key: value for key, value in members.items() if value})
        about = " ".join(part for part in (target, step and f"[{step}]") if part)
        message = f"{about}: {text}" if about else text
        if self._github and record.levelno >= logging.WARNING:
            return annotation("error" if record.levelno >= logging.ERROR else "warning", text, title=about)
        date = f"{when} " if self._dated else ""
        # Further lines, such as a traceback, are indented, so that a search for a level or date finds only records.
        line = f"{date}{record.levelname} {message}".replace("\n", "\n    ")
        return without_commands(line) if self._github else line


def annotation(kind: str, text: str, *, title: str = "", file: str = "", line: int = 0) -> str:
    """Return the GitHub workflow command that shows this text on the page of the run, and at this line of a file."""

    def escaped(value: str, *, in_property: bool) -> str:
        value = value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        return value.replace(":", "%3A").replace(",", "%2C") if in_property else value

    named = {"file": file, "line": str(line) if file and line else "", "title": title}
    properties = ",".join(
        f"{name}={escaped(without_commands(value), in_property=True)}" for name, value in named.items() if value
    )
    return f"::{kind}{f' {properties}' if properties else ''}::{without_commands(escaped(text, in_property=False))}"


def annotated(text: str) -> str:
    """Return a report with its lines `error[CODE]: …` and `warning: …` as annotations, each with its hint. Code: title.

    Any other line that GitHub would read as a command is made harmless.
    """
    harmless = without_commands(clean(text, lines=True))
    return _REPORTED.sub(lambda found: annotation(found[1], found[3], title=found[2] or ""), harmless)


def is_github(environment: Mapping[str, str]) -> bool:
    """Return whether this runs in a GitHub Actions job."""
    return environment.get("GITHUB_ACTIONS") == "true"


def showable(text: str, encoding: str) -> str:
    """Return the text, with characters that the encoding lacks replaced by plain ones."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    except LookupError:
        return text.translate(_PLAIN).encode("ascii", "replace").decode()
    return text
