"""Plain lines for stderr: events and log records as text, JSON or GitHub annotations. Pure.

Lines are never wrapped and contain no markup; stdout is for machines. A character that the terminal cannot show is
replaced by a plain one. Source: pipeline.md 2.8 and 11, "ours".
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from bakery.errors import message
from bakery.events import (
    ArtifactAdded,
    Event,
    HostPaused,
    ManifestDeleted,
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

_PLAIN = str.maketrans(
    {"✅": "ok:", "❌": "FAILED:", "✓": "+", "✗": "x", "⚠": "!", "…": "...", "→": "->", "—": "-", "·": "|"}
)
_COLOURS: Final = {"e": "1;31", "w": "1;33", "h": "36", "✅": "32", "❌": "31"}
_STARTS: Final = re.compile(r"^(?:error(?:\[[\w/-]+\])?:|warning:|hint:|✅|❌)", re.MULTILINE)
_REPORTED: Final = re.compile(r"^(error|warning)(?:\[([\w/-]+)\])?: (.*(?:\nhint: .*)?)$", re.MULTILINE)


class Line(Struct, frozen=True):
    """A line for people, or its values for programs.

    style: `log` has time and level; `report` has not, but begins with `error[code]:` or `warning:`; `plain` is only the
    text; `output` is what a command of the target wrote. hint: a second line. members: further members of its JSON
    object. title, file, line, column: of its annotation on GitHub.
    """

    level: int
    text: str
    target: str = ""
    step: str = ""
    style: Literal["log", "report", "plain", "output"] = "log"
    code: str = ""
    hint: str = ""
    members: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    file: str = ""
    line: int = 0
    column: int = 0


class Form(Struct, frozen=True):
    """How lines are written. dated: with the time. github: warnings and errors become annotations."""

    json: bool = False
    dated: bool = False
    github: bool = False


def render(line: Line, when: datetime, form: Form) -> str:
    """Return a line in its form, without a line break at the end. Further lines, such as a hint, follow the first."""
    if form.json:
        return json_text(_members(line, when))
    about = " ".join(part for part in (line.target, line.step and f"[{line.step}]") if part)
    hint = f"\nhint: {line.hint}" if line.hint else ""
    if form.github and line.level >= logging.WARNING and line.style != "plain":
        kind, title = _kind(line), line.title or line.code or about
        return annotation(kind, f"{line.text}{hint}", title=title, file=line.file, line=line.line, column=line.column)
    if line.style == "plain" or line.file:  # with a file, the text begins with its place
        text = f"{line.text}{hint}"
    elif line.style == "output":
        text = f"[{line.target}] {line.text}" if line.target else line.text
    elif line.style == "report":
        code = f"[{line.code}]" if line.code else ""
        text = f"{_kind(line)}{code}: {line.text}{hint}" if line.level >= logging.WARNING else line.text
    else:
        # Further lines, such as a traceback, are indented, so that a search for a level or date finds only records.
        time = f"{_time(when)} " if form.dated else ""
        message = f"{about}: {line.text}" if about else line.text
        text = f"{time}{logging.getLevelName(line.level)} {message}".replace("\n", "\n    ")
    return without_commands(text) if form.github else text


def _kind(line: Line) -> str:
    return "error" if line.level >= logging.ERROR else "warning"


def _time(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _members(line: Line, when: datetime) -> dict[str, Any]:
    given = {
        "time": _time(when),
        "level": logging.getLevelName(line.level).lower(),
        "target": line.target,
        "step": line.step,
        "code": line.code,
        "message": line.text,
        "hint": line.hint,
        "file": line.file,
        "line": line.line,
    }
    return {name: value for name, value in given.items() if value} | dict(line.members)


def line_of(event: Event) -> Line:
    """Return the event as a cleaned line. Events that few users need have level DEBUG."""
    line = _line_of(event)
    several = isinstance(event, ProblemFound)  # its lines were cleaned one by one
    return replace(line, text=clean(line.text, lines=several), target=clean(line.target), step=clean(line.step))


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
            return Line(logging.DEBUG, text, event.target, "commit")
        case TagRestored():
            text = f"{event.reference} -> {event.digest or 'deleted'} (restored; was {event.replaced})"
            return Line(logging.INFO, text, event.target, "commit")
        case ArtifactAdded():
            text = f"{event.kind} of {event.subject}" + (f": {event.digest}" if event.digest else "")
            return Line(logging.DEBUG, text, event.target, "stage")
        case ManifestDeleted():
            return Line(logging.INFO, f"deleted {event.reference} ({event.reason})", event.target)
        case Noted():
            return Line(logging.WARNING if event.warning else logging.INFO, event.message, event.target)
        case ProblemFound():
            return Line(
                logging.WARNING, event.text, style="report", file=event.file, line=event.line, column=event.column
            )
        case StepFinished(error=error) if error:
            return Line(logging.DEBUG, f"failed after {event.elapsed_s:.1f} s: {error}", event.target, event.step)
        case _:
            return Line(logging.DEBUG, str(event), getattr(event, "target", ""))


def log(event: Event, logger: logging.Logger) -> None:
    """Log an event."""
    line = line_of(event)
    logger.log(line.level, "%s", line.text, extra={"target": line.target, "step": line.step})


class LineFormatter(logging.Formatter):
    """Formats a log record as a line."""

    def __init__(self, form: Form | None = None) -> None:
        super().__init__()
        self._form = form or Form()

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        target, step = getattr(record, "target", ""), getattr(record, "step", "")
        line = Line(record.levelno, clean(text, lines=True), target, step)
        return render(line, datetime.fromtimestamp(record.created, UTC), self._form)


def annotation(kind: str, text: str, *, title: str = "", file: str = "", line: int = 0, column: int = 0) -> str:
    """Return the GitHub workflow command that shows this text on the page of the run, and at this place in a file."""

    def escaped(value: str, *, in_property: bool) -> str:
        value = value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        return value.replace(":", "%3A").replace(",", "%2C") if in_property else value

    named = {"file": file, "line": line if file else 0, "col": column if file and line else 0, "title": title}
    properties = ",".join(
        f"{name}={escaped(without_commands(clean(str(value))), in_property=True)}"
        for name, value in named.items()
        if value
    )
    return f"::{kind}{f' {properties}' if properties else ''}::{without_commands(escaped(text, in_property=False))}"


def annotated(text: str) -> str:
    """Return a report with its lines `error[CODE]: …` and `warning: …` as annotations, each with its hint. Code: title.

    Any other line that GitHub would read as a command is made harmless.
    """
    harmless = without_commands(clean(text, lines=True))
    return _REPORTED.sub(lambda found: annotation(found[1], found[3], title=found[2] or ""), harmless)


def lines_of_error(error: BaseException) -> list[Line]:
    """Return an error as lines: each problem of a project with its place in the file, then the error as a whole."""
    lines = [
        Line(
            logging.WARNING if problem.warning else logging.ERROR,
            str(problem),
            style="report",
            title=clean(problem.path),
            file=clean(problem.file),
            line=problem.line,
            column=problem.column,
        )
        for problem in getattr(error, "problems", ())
    ]
    text = message(error)
    return [*lines, *lines_of(text.partition("\n")[0] if lines else text)]  # the other lines of it are the problems


def lines_of(text: str) -> list[Line]:
    """Return the lines of a report; an error or warning is one together with its hint."""
    found: list[Line] = []
    for row in text.splitlines():
        reported = _REPORTED.fullmatch(row)
        if reported is not None:
            level = logging.ERROR if reported[1] == "error" else logging.WARNING
            found.append(Line(level, reported[3], style="report", code=reported[2] or ""))
        elif row.startswith("hint: ") and found and found[-1].level > logging.INFO and not found[-1].hint:
            found[-1] = replace(found[-1], hint=row.removeprefix("hint: "))
        elif row:
            found.append(Line(logging.INFO, row, style="report"))
    return found


def coloured(text: str) -> str:
    """Return a report with the words that start its lines in colour, as a terminal obeys."""
    return _STARTS.sub(lambda found: f"\x1b[{_COLOURS[found[0][0]]}m{found[0]}\x1b[0m", text)


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
