"""Text in columns: cut where it must be, never wider than allowed, never able to move the cursor."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.report.columns import clip, display_width, fitting, pad, shown, wrapped
from bakery.report.live import terminal_of
from bakery.report.units import clock, duration, short_digest, size


def test_a_name_cannot_move_the_cursor():
    assert clip("a\x1b[2Jb\r\nc", 80) == "a?[2Jb??c"


def test_wide_letters_take_two_columns_and_marks_take_none():
    assert [display_width(text) for text in ("abc", "表", "e\u0301", "👩")] == [3, 2, 1, 2]
    assert clip("表表表", 5) == "表表…"
    assert pad("表", 4) == "表  "


def test_ascii_terminals_get_ascii_of_the_same_width():
    assert shown("größe ▸ ✗ · →", unicode=False) == "gr??e > x | >"
    assert clip("x" * 9, 5, unicode=False) == "xxxx~"


@given(st.text(), st.integers(0, 200), st.booleans())
def test_clipped_text_is_never_wider_than_allowed(text, width, unicode):
    assert display_width(clip(text, width, unicode=unicode)) <= width


@given(st.lists(st.text(max_size=30), min_size=1, max_size=9), st.integers(4, 90), st.booleans())
def test_wrapped_lines_are_never_wider_than_allowed(parts, width, unicode):
    assert all(display_width(line) <= width for line in wrapped(parts, width, unicode=unicode))


def test_lines_break_between_parts_and_are_indented():
    assert wrapped(["docs", "linux/amd64", "linux/arm64"], 17) == ["docs linux/amd64", "  linux/arm64"]
    assert wrapped(["docs", "linux/amd64", "linux/arm64"], None) == ["docs linux/amd64 linux/arm64"]


def test_the_least_important_parts_are_left_out_first():
    parts = [(9, "3 of 7"), (1, "24 MB"), (5, "0:12"), (7, "")]
    assert fitting(parts, 80, " · ") == "3 of 7 · 24 MB · 0:12"
    assert fitting(parts, 20, " · ") == "3 of 7 · 0:12"
    assert fitting(parts, 3, " · ") == "3 of 7"
    assert fitting([], 3, " · ") == ""


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (99_940, "99.9 kB"), (100_000, "100 kB"), (999_600, "1.0 MB"),
     (24_100_000, "24.1 MB"), (5e15, "5000.0 TB")],
)  # fmt: skip
def test_sizes_are_in_powers_of_1000_with_three_digits(count, text):
    assert size(count) == text


def test_times_are_for_people():
    assert [duration(number) for number in (0.04, 3.25, 12.3, 60, 185, 7440)] == [
        "0.0 s", "3.2 s", "12 s", "1 min", "3 min 5 s", "2 h 4 min",
    ]  # fmt: skip
    assert [clock(number) for number in (-1, 5, 754, 3723)] == ["0:00", "0:05", "12:34", "1:02:03"]


def test_a_digest_is_short_enough_to_recognize_it():
    assert short_digest(f"sha256:{'7ad7c02f' * 8}") == "sha256:7ad7c02…"
    assert short_digest("") == ""


def test_what_is_drawn_follows_the_encoding_of_the_stream():
    assert terminal_of(io.TextIOWrapper(io.BytesIO(), "utf-8")).unicode
    assert not terminal_of(io.TextIOWrapper(io.BytesIO(), "latin-1")).unicode
