"""Byte ranges: which 206 responses continue a download, and how much an upload session has after a doubtful chunk.

Source: RFC 9110 section 14.4; registry.md 2.5 and 7 row 17; upload ranges are stale on ECR and wrong elsewhere (2.2).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from bakery.errors import InvalidContent

_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", re.IGNORECASE)
_RECEIVED: Final = re.compile(r"(?:bytes[= ])?0-([0-9]{1,18})", re.IGNORECASE)


class BadRange(InvalidContent):
    """A partial response that is not the requested part: its bytes do not belong to those already received."""


class ContentRange(Struct, frozen=True):
    """`bytes first-last/total`, both ends included; total is None if the server does not state it."""

    first: int
    last: int
    total: int | None


def parse_content_range(headers: Sequence[str]) -> ContentRange:
    """Return the only Content-Range of a response. Raises BadRange if it is missing, repeated or invalid."""
    if len(headers) != 1:
        raise _bad(f"{len(headers)} Content-Range headers, expected one")
    match = _CONTENT_RANGE.fullmatch(headers[0].strip())
    if match is None:
        raise _bad(f"malformed Content-Range {headers[0]!r:.80}")
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    if last < first or (total is not None and last >= total):
        raise _bad(f"impossible Content-Range {headers[0]!r:.80}")
    return ContentRange(first, last, total)


def check_resumed(headers: Sequence[str], *, offset: int, size: int) -> None:
    """Accept a 206 that continues at `offset` up to the end of `size` bytes. Raises BadRange for any other."""
    found = parse_content_range(headers)
    if found.first != offset or found.last != size - 1 or found.total not in (None, size):
        raise _bad(f"requested bytes {offset}-{size - 1}/{size}, got {found.first}-{found.last}/{found.total}")


def received_bytes(header: str) -> int | None:
    """Return how many bytes the `Range` of an upload session states, None if it is not one.

    `0-0` is an empty session, or one byte: distribution writes both so. Chunks are larger.
    """
    match = _RECEIVED.fullmatch(header.strip())
    last = int(match[1]) if match else None
    return last + 1 if last else last


def _bad(why: str) -> BadRange:
    return BadRange("cannot resume the download", why=why)
