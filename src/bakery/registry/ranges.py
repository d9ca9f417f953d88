"""Byte ranges: what a 206 must say to be believed. What an upload session says of itself is not read at all.

Source: RFC 9110 section 14.4; registry.md 2.5 and 7 row 17; upload ranges are stale on ECR and false elsewhere (2.2).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from bakery.errors import InvalidContent

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", re.IGNORECASE)


class BadRange(InvalidContent):
    """A partial answer that is not the part that was asked for: its bytes do not belong to those we have."""


class ContentRange(Struct, frozen=True):
    """`bytes first-last/total`, both ends included; total is None where the server does not say."""

    first: int
    last: int
    total: int | None


def parse_content_range(headers: Sequence[str]) -> ContentRange:
    """The one Content-Range of an answer. Raises BadRange where there is none, more than one, or it makes no sense."""
    if len(headers) != 1:
        raise BadRange("resuming a download", why=f"{len(headers)} Content-Range headers, expected one")
    match = _CONTENT_RANGE.fullmatch(headers[0].strip())
    if match is None:
        raise BadRange("resuming a download", why=f"Content-Range {headers[0]!r:.80} is malformed")
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    if last < first or (total is not None and last >= total):
        raise BadRange("resuming a download", why=f"Content-Range {headers[0]!r:.80} makes no sense")
    return ContentRange(first, last, total)


def check_resumed(headers: Sequence[str], *, offset: int, size: int) -> None:
    """Accept a 206 that continues at `offset` up to the end of `size` bytes; raise BadRange for any other."""
    found = parse_content_range(headers)
    if found.first != offset or found.last != size - 1 or found.total not in (None, size):
        raise BadRange(
            "resuming a download",
            why=f"asked for bytes {offset}-{size - 1}/{size}, got {found.first}-{found.last}/{found.total}",
        )
