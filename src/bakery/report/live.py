"""The live board on a terminal: one row per target, in the order given. Driven by events; drawing is a pure function.

Without a terminal, plain lines are printed instead (`report.lines`). Source: pipeline.md 2.7.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Final, TextIO

from msgspec import Struct
from msgspec.structs import replace

from bakery.events import (
    Emit,
    Event,
    SourcesMissing,
    StepFinished,
    StepRetried,
    StepStarted,
    TargetFinished,
    ignore,
)
from bakery.text import plural

REPAINT_S: Final = 0.1


class Phase(Enum):
    """The state of a row."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


_ENDS = {"failed": Phase.FAILED, "stopped": Phase.STOPPED}


class Row(Struct, frozen=True):
    """One target on the board. Times are in seconds of the board's clock."""

    label: str
    phase: Phase = Phase.QUEUED
    steps: tuple[str, ...] = ()  # running, in the order in which they started
    retries: int = 0  # of the most recently retried step
    note: str = ""
    began: float = 0.0
    ended: float = 0.0

    def after(self, event: Event, now: float) -> Row:
        """Return the row after an event."""
        match event:
            case StepStarted(step=step):
                began = self.began if self.phase is Phase.RUNNING else now
                return replace(self, phase=Phase.RUNNING, steps=(*self.steps, step), began=began, retries=0, note="")
            case StepFinished(step=step):
                left = list(self.steps)
                if step in left:
                    left.remove(step)
                return replace(self, steps=tuple(left), note="")
            case StepRetried(attempt=attempt):
                return replace(self, retries=attempt)
            case SourcesMissing(missing=missing):
                return replace(self, note=f"{len(missing)} missing")
            case TargetFinished(state=state):
                return replace(self, phase=_ENDS.get(state, Phase.DONE), steps=(), retries=0, note="", ended=now)
            case _:
                return self


class Terminal(Struct, frozen=True):
    """What the terminal can show: its size, whether it shows more than ASCII, and colours."""

    width: int = 80
    height: int = 24
    unicode: bool = True
    colour: bool = False


_SPINNER = {True: "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", False: "|/-\\"}
_MARKS = {
    Phase.QUEUED: {True: " ", False: " "},
    Phase.DONE: {True: "✓", False: "+"},
    Phase.FAILED: {True: "✗", False: "x"},
    Phase.STOPPED: {True: "·", False: "."},
}
_COLOURS = {Phase.QUEUED: "2", Phase.RUNNING: "34", Phase.DONE: "32", Phase.FAILED: "31", Phase.STOPPED: "33"}


def draw(rows: Sequence[Row], now: float, terminal: Terminal) -> list[str]:
    """Return the board as lines, none wider than the terminal.

    If there are more rows than lines, finished and queued rows are left out first, and the last line counts all rows.
    """
    room = max(1, terminal.height - 1)
    shown = list(range(len(rows)))
    if len(rows) > room:
        urgency = {Phase.RUNNING: 0, Phase.FAILED: 1, Phase.STOPPED: 2, Phase.QUEUED: 3, Phase.DONE: 4}
        first = sorted(shown, key=lambda number: (urgency[rows[number].phase], number))
        shown = sorted(first[: room - 1])
    lines = [_row(rows[number], now, terminal) for number in shown]
    if len(shown) < len(rows):
        counts = [(phase, sum(row.phase is phase for row in rows)) for phase in Phase]
        by_phase = ", ".join(f"{count} {phase.value}" for phase, count in counts if count)
        lines.append(clip(f"  {plural(len(rows), 'target')}: {by_phase}", terminal.width, unicode=terminal.unicode))
    return lines


def _row(row: Row, now: float, terminal: Terminal) -> str:
    if row.phase is Phase.RUNNING:
        frames = _SPINNER[terminal.unicode]
        mark = frames[int(now / REPAINT_S) % len(frames)]
    else:
        mark = _MARKS[row.phase][terminal.unicode]
    text = row.label
    if row.phase is Phase.QUEUED:
        text = f"queued  {row.label}"
    elif row.phase is Phase.RUNNING:
        step = ", ".join(dict.fromkeys(step.partition(" ")[0] for step in row.steps))
        more = "".join(f" ({text})" for text in (row.note, f"retry {row.retries}" if row.retries else "") if text)
        dash = "—" if terminal.unicode else "-"
        text = f"{row.label}{f' {dash} {step}' if step else ''}{more}"
    elapsed = ""
    if row.phase is not Phase.QUEUED and row.began:
        elapsed = _duration((now if row.phase is Phase.RUNNING else row.ended) - row.began)
    room = terminal.width - len(elapsed) - 1 if terminal.width > len(elapsed) + 12 else terminal.width
    line = clip(f"{mark} {text}", room, unicode=terminal.unicode)
    if room < terminal.width and elapsed:
        line = f"{line}{' ' * (terminal.width - display_width(line) - len(elapsed))}{elapsed}"
    return f"\x1b[{_COLOURS[row.phase]}m{line}\x1b[0m" if terminal.colour else line


def _duration(seconds: float) -> str:
    whole = max(0, int(seconds))
    return f"{whole // 60}:{whole % 60:02d}"


def display_width(text: str) -> int:
    """Return how many columns of a terminal the text takes."""
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def clip(text: str, width: int, *, unicode: bool = True) -> str:
    """Return the text in at most `width` columns, with a mark if it is cut off.

    Control characters, such as an escape sequence in a name, and characters that the terminal cannot show become `?`.
    """
    shown = "".join(character if character.isprintable() else "?" for character in text)
    if not unicode:
        shown = shown.encode("ascii", "replace").decode()
    if display_width(shown) <= width:
        return shown
    mark = "…" if unicode else "~"
    kept, taken = "", 0
    for character in shown:
        taken += _character_width(character)
        if taken > width - 1:
            break
        kept += character
    return kept + mark if width > 0 else ""


class Board:
    """Redraws the rows on a terminal from its own thread. Log lines appear above it."""

    def __init__(
        self,
        labels: Mapping[str, str],
        stream: TextIO,
        *,
        clock: Callable[[], float] = time.monotonic,
        terminal: Callable[[], Terminal] | None = None,
    ) -> None:
        self._rows = {key: Row(label) for key, label in labels.items()}
        self._stream, self._clock = stream, clock
        self._terminal = terminal or (lambda: terminal_of(stream))
        self._lock = threading.Lock()
        self._drawn = 0  # lines of the board on the screen
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_drawing, name="board", daemon=True)

    def emit(self, event: Event) -> None:
        """Record an event; the next drawing shows it."""
        target = getattr(event, "target", "")
        with self._lock:
            if target in self._rows:
                self._rows[target] = self._rows[target].after(event, self._clock())

    def __enter__(self) -> Board:
        with contextlib.suppress(RuntimeError):  # no thread can be started: drawn with log lines and at the end only
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self.paint()

    def paint(self) -> None:
        """Draw the current rows over the last drawing."""
        self.write("")

    def write(self, text: str) -> int:
        """Print text above the board as it is. Together with `flush`, this makes the board a stream for logging."""
        with self._lock:
            lines = draw(list(self._rows.values()), self._clock(), self._terminal())
            back = f"\x1b[{self._drawn}A" if self._drawn else ""
            board = "".join(f"{line}\n" for line in lines)
            self._stream.write(f"{back}\r\x1b[J{text}{board}")
            self._stream.flush()
            self._drawn = len(lines)
        return len(text)

    def flush(self) -> None:
        """Do nothing: every write is flushed."""

    def _keep_drawing(self) -> None:
        while not self._stop.wait(REPAINT_S):
            self.paint()


def terminal_of(stream: TextIO, environment: Mapping[str, str] = os.environ) -> Terminal:
    """Return what a terminal can show."""
    import shutil  # only needed with a terminal

    size = shutil.get_terminal_size()
    encoding = (stream.encoding or "ascii").lower().replace("-", "").replace("_", "")
    colour = not environment.get("NO_COLOR")
    # One column stays free: some terminals start a new line as soon as the last column is filled.
    return Terminal(max(1, size.columns - 1), size.lines, unicode=encoding.startswith("utf"), colour=colour)


def is_wanted(stream: TextIO, count: int, *, quiet: bool, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether to draw a board: a terminal that can move its cursor, more than one row, and not --quiet."""
    return not quiet and count > 1 and environment.get("TERM", "") not in ("", "dumb") and stream.isatty()


@contextmanager
def board(labels: Sequence[str], *, quiet: bool = False, stream: TextIO | None = None) -> Iterator[Emit]:
    """Yield an `Emit` that shows events on a board on stderr, or `ignore` if no board is drawn."""
    out = sys.stderr if stream is None else stream
    if not is_wanted(out, len(labels), quiet=quiet):
        yield ignore
        return
    drawing = Board({label: label for label in labels}, out)
    handlers = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream is out
    ]
    with drawing:
        for handler in handlers:
            handler.setStream(drawing)
        try:
            yield drawing.emit
        finally:
            for handler in handlers:
                handler.setStream(out)
