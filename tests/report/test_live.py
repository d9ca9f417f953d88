"""The live view on a real pseudo-terminal, read back from the screen of an emulated one."""

from __future__ import annotations

import contextlib
import fcntl
import io
import logging
import os
import pty
import struct
import sys
import termios
import threading
from collections.abc import Callable, Iterator

import pyte
import pytest

from bakery.events import HostPaused, RunPlace, RunStarted, RunTarget, StepFinished, StepStarted, TargetFinished
from bakery.report.live import LiveView, is_wanted, live_view, terminal_of
from bakery.report.recorder import Recorder

PLACE = "ghcr.io/acme/hello"


class FakeTerminal:
    """A pseudo-terminal with a screen: what a program writes to `stream` is drawn on it."""

    def __init__(self, columns: int, lines: int, encoding: str) -> None:
        self._ours, theirs = pty.openpty()
        self.stream = open(theirs, "w", encoding=encoding)  # noqa: PTH123, SIM115 - a descriptor, closed by `close`
        self.screen = pyte.Screen(columns, lines)
        self.written = bytearray()
        self._feed = pyte.ByteStream(self.screen)
        self._size(columns, lines)
        os.set_blocking(self._ours, False)

    def resize(self, columns: int, lines: int) -> None:
        self.rows()
        self._size(columns, lines)
        self.screen.resize(lines, columns)

    def _size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def rows(self) -> list[str]:
        """Return what is on the screen now, without the empty rows at its end."""
        while True:
            try:
                part = os.read(self._ours, 65536)
            except (BlockingIOError, OSError):
                break
            self.written += part
            self._feed.feed(part)
        rows = [row.rstrip() for row in self.screen.display]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def close(self) -> None:
        self.stream.close()
        os.close(self._ours)


@pytest.fixture
def terminal() -> Iterator[Callable[..., FakeTerminal]]:
    opened: list[FakeTerminal] = []

    def start(columns: int = 80, lines: int = 24, encoding: str = "utf-8") -> FakeTerminal:
        opened.append(FakeTerminal(columns, lines, encoding))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@contextlib.contextmanager
def viewed(terminal: FakeTerminal, count: int = 2, **environment: str) -> Iterator[tuple[Recorder, LiveView, Time]]:
    """Yield a live view of a run that is drawn only when the test says so."""
    time = Time()
    recorder = Recorder(clock=time)
    view = LiveView(recorder, terminal.stream, {"TERM": "xterm-256color", **environment})
    names = (f"hello-{number}.0" for number in range(count))
    recorder(RunStarted("publish", tuple(RunTarget(name, places=(RunPlace(PLACE, ("1",)),)) for name in names)))
    try:
        yield recorder, view, time
    finally:
        view.__exit__()


def test_the_frame_is_redrawn_in_its_place_and_gone_at_the_end(terminal):
    one = terminal()
    with viewed(one) as (recorder, view, time):
        view.draw()
        assert one.rows() == ["Publishing 0 of 2 done · 0:00", "  and 2 queued"]
        time.now = 5.0
        recorder(StepStarted("hello-0.0", f"stage {PLACE}"))
        view.draw()
        assert one.rows()[1].split() == ["▸", "hello-0.0", "stage", "ghcr.io", "0:00"]
        assert len(one.rows()) == 3
    assert one.rows() == []


def test_text_appears_above_the_frame_in_whole_lines(terminal):
    one = terminal()
    with viewed(one) as (_, view, _):
        view.write("before the first frame\n")
        view.draw()
        view.write("in ")
        assert one.rows()[0] == "before the first frame"
        view.write("two parts, with [brackets] and :smile:\n")
        assert one.rows() == [
            "before the first frame",
            "in two parts, with [brackets] and :smile:",
            "Publishing 0 of 2 done · 0:00",
            "  and 2 queued",
        ]
        view.write("no end")
    assert one.rows()[-1] == "no end"


def test_a_question_pauses_the_view_and_its_line_needs_no_end(terminal):
    one = terminal()
    with viewed(one) as (_, view, _):
        view.draw()
        with view.paused():
            view.draw()
            view.write("Delete 3 manifests? ")
            assert one.rows() == ["Delete 3 manifests?"]
            view.write("\n")
        view.draw()
        assert one.rows()[:2] == ["Delete 3 manifests?", "Publishing 0 of 2 done · 0:00"]


def test_nothing_is_written_while_nothing_changes(terminal):
    one = terminal()
    with viewed(one) as (_, view, time):
        view.draw()
        one.rows()
        before = len(one.written)
        time.now = 0.9
        view.draw()
        one.rows()
        assert len(one.written) == before  # so nothing can flicker
        time.now = 1.0
        view.draw()
        assert one.rows()[0].endswith("0:01")


@pytest.mark.parametrize(("columns", "lines"), [(40, 10), (80, 24), (200, 50)])
def test_500_targets_fit_and_scroll_nothing_away(terminal, columns, lines):
    one = terminal(columns, lines)
    with viewed(one, 500) as (recorder, view, time):
        view.write("a log line\n")
        for number in range(60):
            recorder(StepStarted(f"hello-{number}.0", f"stage {PLACE}"))
        recorder(StepFinished("hello-7.0", f"stage {PLACE}", 1.0, "cannot write blob: 403 DENIED"))
        recorder(TargetFinished("hello-7.0", "failed", 1.0))
        recorder(HostPaused("ghcr.io", 3.0, "429"))
        for second in range(3):
            time.now = float(second)
            view.draw()
            rows = one.rows()
            assert rows[0] == "a log line" or len(rows) == lines - 1
            assert sum(row.startswith("Publishing 1 of 500 done") for row in rows) == 1
            assert any(row.startswith("✗ hello-7.0") for row in rows)
            assert any(row.startswith(f"ghcr.io  throttled, {3 - second} s") for row in rows)
            assert any("queued" in row for row in rows)


def test_a_terminal_that_grows_and_shrinks_shows_one_frame_of_its_size(terminal):
    one = terminal(80, 24)
    with viewed(one, 60) as (recorder, view, time):
        for number in range(40):
            recorder(StepStarted(f"hello-{number}.0", f"stage {PLACE}"))
        view.draw()
        for columns, lines in ((200, 50), (40, 24), (120, 24), (41, 10)):
            one.resize(columns, lines)
            time.now += 1.0
            view.draw()
            view.draw()
            rows = one.rows()
            assert sum("of 60 done" in row for row in rows) == 1, rows
            assert all(len(row) < columns for row in rows)


def test_colours_are_left_out_if_the_user_wants_none(terminal):
    coloured, plain = terminal(), terminal()
    for one, no_color in ((coloured, ""), (plain, "1")):
        with viewed(one, NO_COLOR=no_color) as (recorder, view, _):
            recorder(StepStarted("hello-0.0", f"stage {PLACE}"))
            view.draw()
            one.rows()
    assert b"\x1b[36m" in coloured.written
    assert b"[36m" not in plain.written


def test_a_terminal_without_unicode_gets_ascii(terminal):
    one = terminal(encoding="latin-1")
    with viewed(one) as (recorder, view, _):
        recorder(StepStarted("hello-0.0", f"stage {PLACE}"))
        view.draw()
        rows = one.rows()
    assert rows[0] == "Publishing 0 of 2 done | 0:00"
    assert rows[1].startswith("> hello-0.0")
    assert bytes(one.written).isascii()


def test_log_records_and_what_is_printed_on_stderr_go_above_the_frame(terminal, monkeypatch):
    one, drawn = terminal(), threading.Event()
    monkeypatch.setattr(sys, "stderr", one.stream)
    handler = logging.StreamHandler(one.stream)
    logging.getLogger().addHandler(handler)
    recorder = Recorder()
    recorder(RunStarted("publish", (RunTarget("hello"),)))
    try:
        with live_view(recorder, one.stream, {"TERM": "xterm"}) as view:
            draw = view.draw

            def draw_and_say_so() -> None:
                draw()
                drawn.set()

            monkeypatch.setattr(view, "draw", draw_and_say_so)
            assert drawn.wait(30)  # by its own thread
            logging.getLogger("bakery.test").warning("a record")
            print("a print", file=sys.stderr)  # noqa: T201 - as a plugin may
            assert one.rows()[:3] == ["a record", "a print", "Publishing 0 of 1 done · 0:00"]
    finally:
        logging.getLogger().removeHandler(handler)
    assert one.rows() == ["a record", "a print"]
    assert (handler.stream, sys.stderr) == (one.stream, one.stream)


def test_a_run_that_is_over_before_the_first_frame_draws_nothing(terminal):
    one = terminal()
    with live_view(Recorder(), one.stream, {"TERM": "xterm"}) as view:
        view.write("done\n")
    assert one.rows() == ["done"]
    assert bytes(one.written) == b"done\r\n"


WANTED = {
    "a terminal": (True, "xterm", True),
    "no terminal": (False, "xterm", False),
    "a terminal that cannot move its cursor": (True, "dumb", False),
    "an unknown terminal": (True, "", False),
}


@pytest.mark.parametrize(("is_terminal", "term", "wanted"), WANTED.values(), ids=WANTED)
def test_a_live_view_needs_a_terminal_that_can_move_its_cursor(is_terminal, term, wanted):
    class Stream(io.StringIO):
        def isatty(self):
            return is_terminal

    assert is_wanted(Stream(), {"TERM": term}) is wanted


def test_a_terminal_of_unknown_size_counts_as_80_by_24(terminal):
    one = terminal()
    fcntl.ioctl(one.stream.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
    assert (terminal_of(one.stream).width, terminal_of(one.stream).height) == (79, 24)
