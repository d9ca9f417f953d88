"""The live board: what it shows, at every width and in terminals that only show ASCII."""

import io
import logging
import os
import pty
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.events import SourcesMissing, StepFinished, StepRetried, StepStarted, TargetFinished
from bakery.report.live import Board, Phase, Row, Terminal, board, clip, display_width, draw, is_wanted, terminal_of


def after(*events, row=None, now=10.0):
    row = row or Row("app-1.0")
    for event in events:
        row = row.after(event, now)
    return row


def shown(row, now=75.0, **terminal):
    return draw([row], now, Terminal(40, **terminal))[0]


def test_a_row_shows_what_it_waits_for_what_runs_and_how_it_ended():
    assert shown(Row("app-1.0")) == "  queued  app-1.0"
    started = StepStarted("app-1.0", "copy")
    running = after(started)
    assert shown(running) == "⠋ app-1.0 — copy                    1:05"
    retried = after(started, StepRetried("app-1.0", "copy", 2, 4.0, "503"))
    assert "copy (retry 2)" in shown(retried)
    waiting = after(StepStarted("app-1.0", "wait"), SourcesMissing("app-1.0", ("a", "b"), 1.0, 600.0))
    assert "wait (2 missing)" in shown(waiting)
    done = running.after(TargetFinished("app-1.0", "published", 60.0), 70.0)
    assert shown(done) == "✓ app-1.0                           1:00"
    assert shown(running.after(TargetFinished("app-1.0", "failed", 1.0), 11.0)).startswith("✗ app-1.0")
    assert shown(running.after(TargetFinished("app-1.0", "stopped", 1.0), 11.0)).startswith("· app-1.0")


def test_concurrent_steps_are_named_once_each_and_finished_ones_are_not():
    row = after(
        StepStarted("a", "stage one.example/app"),
        StepStarted("a", "stage two.example/app"),
        StepStarted("a", "soci"),
        StepFinished("a", "soci", 1.0),
    )
    assert "app-1.0 — stage " in shown(row)
    assert row.steps == ("stage one.example/app", "stage two.example/app")


def test_the_timer_starts_with_the_first_step_and_stops_at_the_end():
    row = after(StepStarted("a", "wait"), now=10.0)
    row = after(StepFinished("a", "wait", 5.0), StepStarted("a", "stage"), row=row, now=15.0)
    row = row.after(TargetFinished("a", "published", 10.0), 20.0)
    assert shown(row, now=500.0).endswith("0:10")


def test_ascii_terminals_get_ascii():
    rows = [
        Row("größe-✓"),
        after(StepStarted("a", "copy"), row=Row("größe")),
        after(StepStarted("a", "copy"), TargetFinished("a", "failed", 1.0), row=Row("x" * 100)),
    ]
    text = "\n".join(draw(rows, 11.0, Terminal(30, unicode=False)))
    assert text.isascii()
    assert "queued  gr??e-?" in text
    assert "x xxxxx" in text
    assert "~" in text


def test_colours_are_used_only_if_wanted():
    row = after(StepStarted("a", "copy"))
    assert shown(row, colour=True) == f"\x1b[34m{shown(row)}\x1b[0m"


def test_a_name_cannot_move_the_cursor():
    assert clip("a\x1b[2Jb\r\nc", 80) == "a?[2Jb??c"


@given(st.text(), st.integers(0, 200), st.booleans())
def test_clipped_text_is_never_wider_than_allowed(text, width, unicode):
    assert display_width(clip(text, width, unicode=unicode)) <= width


@given(
    st.lists(st.sampled_from(Phase), min_size=1, max_size=60),
    st.integers(1, 200),
    st.integers(1, 50),
    st.booleans(),
    st.text(max_size=50),
)
def test_the_board_fits_every_terminal(phases, width, height, unicode, label):
    rows = [Row(label, phase, ("stage", "soci"), 2, "3 missing", 1.0, 5.0) for phase in phases]
    lines = draw(rows, 7.0, Terminal(width, height, unicode))
    assert 1 <= len(lines) <= max(1, height - 1)
    assert all(display_width(line) <= width and line.isprintable() for line in lines)


def test_running_and_failed_rows_stay_if_there_are_more_rows_than_lines():
    phases = [Phase.DONE] * 20 + [Phase.FAILED] + [Phase.RUNNING] * 2 + [Phase.QUEUED] * 20
    rows = [Row(f"t{number}", phase) for number, phase in enumerate(phases)]
    lines = draw(rows, 1.0, Terminal(80, 6))
    assert [line.split()[-1] for line in lines[:3]] == ["t20", "t21", "t22"]
    assert lines[-1].split() == ["43", "targets:", "20", "queued,", "2", "running,", "20", "done,", "1", "failed"]
    assert len(lines) == 5


WANTED = {  # name: (terminal?, units, quiet, TERM, wanted?)
    "a terminal": (True, 2, False, "xterm", True),
    "no terminal": (False, 2, False, "xterm", False),
    "one unit": (True, 1, False, "xterm", False),
    "quiet": (True, 2, True, "xterm", False),
    "a terminal that cannot move its cursor": (True, 2, False, "dumb", False),
}


@pytest.mark.parametrize(("terminal", "count", "quiet", "term", "wanted"), WANTED.values(), ids=WANTED)
def test_a_board_needs_a_terminal_and_more_than_one_row(terminal, count, quiet, term, wanted):
    class Stream(io.StringIO):
        def isatty(self):
            return terminal

    assert is_wanted(Stream(), count, quiet=quiet, environment={"TERM": term}) is wanted


def test_each_drawing_replaces_the_last_one_and_text_goes_above_it():
    out, now = io.StringIO(), [0.0]
    drawing = Board({"a": "a", "b": "b"}, out, clock=lambda: now[0], terminal=lambda: Terminal(30))
    drawing.paint()
    assert out.getvalue() == "\r\x1b[J  queued  a\n  queued  b\n"
    out.truncate(0)
    out.seek(0)
    drawing.emit(StepStarted("a", "copy"))
    drawing.emit(StepStarted("a stranger", "copy"))
    drawing.write("a log line\n")
    assert out.getvalue() == "\x1b[2A\r\x1b[Ja log line\n⠋ a — copy\n  queued  b\n"


def test_a_real_terminal_shows_both_rows_and_log_lines(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "20")
    ours, theirs = pty.openpty()
    said = bytearray()

    def listen():
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # the other end is closed
                return
            said.extend(chunk)

    listener = threading.Thread(target=listen)
    listener.start()
    root = logging.getLogger()
    with open(theirs, "w", encoding="utf-8") as terminal:  # noqa: PTH123 - a descriptor
        handler = logging.StreamHandler(terminal)
        root.addHandler(handler)
        try:
            with board(["one", "two"], stream=terminal) as emit:
                emit(StepStarted("one", "copy"))
                logging.getLogger("bakery.test").warning("in between")
                emit(TargetFinished("one", "published", 1.0))
        finally:
            root.removeHandler(handler)
        assert handler.stream is terminal
    listener.join(10)
    os.close(ours)
    text = said.decode()
    assert "in between\r\n" in text
    assert "✓ one" in text
    assert "queued  two" in text


def test_what_is_drawn_follows_the_encoding_of_the_stream():
    utf = terminal_of(io.TextIOWrapper(io.BytesIO(), "utf-8"), {})
    latin = terminal_of(io.TextIOWrapper(io.BytesIO(), "latin-1"), {"NO_COLOR": "1"})
    assert (utf.unicode, utf.colour) == (True, True)
    assert (latin.unicode, latin.colour) == (False, False)


def test_nothing_is_written_without_a_board():
    out = io.StringIO()
    with board(["a", "b"], stream=out) as emit:
        emit(StepStarted("a", "copy"))
    assert out.getvalue() == ""
    assert sys.stderr is not out
