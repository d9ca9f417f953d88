"""Content-Range: the requested part, or an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.registry.ranges import BadRange, ContentRange, check_resumed, parse_content_range, received_bytes

READ = {
    "bytes 0-9/10": ContentRange(0, 9, 10),
    "bytes 9-9/10": ContentRange(9, 9, 10),
    "bytes 5-9/*": ContentRange(5, 9, None),
    "BYTES 5-9/10": ContentRange(5, 9, 10),
    " bytes 5-9/10 ": ContentRange(5, 9, 10),
}
REFUSED = [
    "bytes 9-5/10",
    "bytes 0-10/10",
    "bytes */10",
    "bytes 0-9",
    "0-9/10",
    "items 0-9/10",
    "bytes -1-9/10",
    "bytes 0-9/10, bytes 0-9/10",
    "bytes 0 - 9 / 10",
    "bytes 0x0-9/10",
    "bytes 99999999999999999999-99999999999999999999/*",
    "bytes ٠-٩/10",
    "",
]


@pytest.mark.parametrize(("text", "expected"), READ.items())
def test_ranges_are_read(text, expected):
    assert parse_content_range([text]) == expected


@pytest.mark.parametrize("text", REFUSED)
def test_invalid_ranges_are_refused(text):
    with pytest.raises(BadRange):
        parse_content_range([text])


def test_a_response_has_exactly_one_content_range():
    for headers in ([], ["bytes 0-9/10", "bytes 0-9/10"]):
        with pytest.raises(BadRange):
            parse_content_range(headers)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 60) | st.none(), st.integers(0, 49), st.integers(1, 50))
def test_only_the_rest_from_the_offset_to_the_end_is_accepted(first, last, total, offset, size):
    header = f"bytes {first}-{last}/{'*' if total is None else total}"
    right = first == offset and last == size - 1 and first <= last and total in (None, size)
    try:
        check_resumed([header], offset=offset, size=size)
    except BadRange:
        assert not right
    else:
        assert right


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("0-4194303", 4194304),
        ("bytes=0-9", 10),
        (" bytes 0-9 ", 10),
        ("0-0", 0),  # as distribution writes an empty session
        ("", None),
        ("0-", None),
        ("0--1", None),
        ("5-9", None),
        ("0-9/10", None),
        ("0-\xb2", None),
        ("0-" + "9" * 5000, None),
    ],
)
def test_what_an_upload_session_has_received_is_read_or_unknown(header, expected):
    assert received_bytes(header) == expected
