"""Draws the live view of a run on a terminal, with rich. What is drawn is `report.frame`; log lines appear above it.

rich is imported here and nowhere else, when a view is drawn. Without a view, lines are printed (`report.progress`).
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TextIO

from bakery.report.columns import Terminal
from bakery.report.frame import FrameLine, frame
from bakery.report.recorder import Recorder

if TYPE_CHECKING:
    from rich.text import Text

REDRAW_S: Final = 0.2


def is_wanted(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return whether a live view can be drawn: on a terminal that can move its cursor."""
    return environment.get("TERM", "") not in ("", "dumb") and stream.isatty()


def terminal_of(stream: TextIO) -> Terminal:
    """Return what the terminal behind a stream can show now. One column stays free: some terminals wrap a full line."""
    try:
        columns, lines = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):  # no terminal any more
        columns, lines = 80, 24
    encoding = (stream.encoding or "ascii").lower().replace("-", "").replace("_", "")
    # A size of 0 is unknown: serial lines, and terminals inside of some containers.
    return Terminal(max(1, (columns or 80) - 1), lines or 24, unicode=encoding.startswith("utf"))


class LiveView:
    """Redraws the frame of a run from its own thread whenever it differs. A context manager, and a stream of text.

    A run that is over before the first frame is due has none, and rich is not imported.
    """

    def __init__(self, recorder: Recorder, stream: TextIO, environment: Mapping[str, str]) -> None:
        self._recorder, self._stream, self._environment = recorder, stream, environment
        self._screen: _Screen | None = None
        self._drawn: tuple[Terminal, list[FrameLine]] | None = None
        self._is_paused = False
        self._unfinished = ""  # text without its line break so far
        self._drawing = threading.RLock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_drawing, name="live view", daemon=True)

    def __enter__(self) -> LiveView:
        with contextlib.suppress(RuntimeError):  # no thread can be started: then nothing is drawn
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        with self._drawing:
            if self._unfinished:
                self.write("\n")
            if self._screen is not None:
                self._screen.live.stop()  # transient: the frame goes, and the result is printed in its place

    def draw(self) -> None:
        """Draw the frame of this moment, unless it is on the screen already."""
        terminal = terminal_of(self._stream)
        with self._recorder.reading() as run:
            lines = frame(run, self._recorder.now(), terminal)
        with self._drawing:
            if self._is_paused:
                return
            if self._screen is None:
                self._screen = _Screen(self._stream, self._environment)
            if self._drawn != (terminal, lines):
                self._drawn = (terminal, lines)
                self._screen.show(lines, terminal)

    def write(self, text: str) -> int:
        """Print text above the frame as it is, as soon as its line is complete."""
        with self._drawing:
            if self._is_paused:
                self._stream.write(text)
                self._stream.flush()
                return len(text)
            whole, found, rest = (self._unfinished + text).rpartition("\n")
            self._unfinished = rest
            if found and self._screen is None:
                self._stream.write(f"{whole}\n")
                self._stream.flush()
            elif found and self._screen is not None:
                self._screen.console.out(whole, highlight=False)
        return len(text)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Show no frame meanwhile: the user is asked a question, and what is written goes to the terminal at once."""
        with self._drawing:
            self._is_paused, self._drawn = True, None
            if self._screen is not None:
                self._screen.live.stop()
                self._screen = None
        try:
            yield
        finally:
            self._is_paused = False

    def flush(self) -> None:
        """Do nothing: every line is flushed."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _keep_drawing(self) -> None:
        while not self._stop.wait(REDRAW_S):
            self.draw()


class _Screen:
    """The part of the terminal below all other output, drawn by rich."""

    def __init__(self, stream: TextIO, environment: Mapping[str, str]) -> None:
        from rich.console import Console
        from rich.live import Live

        self.console = Console(
            file=stream, force_terminal=True, markup=False, emoji=False, highlight=False, _environ=environment
        )
        self.live = Live(
            console=self.console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self.live.start()

    def show(self, lines: list[FrameLine], terminal: Terminal) -> None:
        self.console.size = (terminal.width + 1, terminal.height)
        self.live.update(_text(lines), refresh=True)


def _text(lines: list[FrameLine]) -> Text:
    from rich.text import Text

    text = Text(no_wrap=True, overflow="crop", end="")
    for number, line in enumerate(lines):
        if number:
            text.append("\n")
        for words, style in line:
            text.append(words, style or None)
    return text


@contextmanager
def live_view(recorder: Recorder, stream: TextIO, environment: Mapping[str, str] = os.environ) -> Iterator[LiveView]:
    """Draw a live view on a stream while the block runs. What is printed on stderr meanwhile appears above it."""
    import logging

    handlers = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream is stream
    ]
    with LiveView(recorder, stream, environment) as view, contextlib.redirect_stderr(view):
        for handler in handlers:
            handler.setStream(view)
        try:
            yield view
        finally:
            for handler in handlers:
                handler.setStream(stream)
