"""Range requests (RFC 9110 section 14): the part of some content that a request names."""

from __future__ import annotations

import re
from typing import Final

_ONE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)


class NotSatisfiable(Exception):
    """The range starts after the end of the content, or after its own end (RFC 9110 15.5.17)."""


def requested_range(header: str, size: int) -> tuple[int, int] | None:
    """Return offset and length of the requested range, or None to send the whole content.

    A header that is not a single byte range is ignored, as RFC 9110 14.2 allows. Raises NotSatisfiable.
    """
    match = _ONE.fullmatch(header.replace(" ", ""))
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        length = min(int(match[2]), size)
        if length == 0:
            raise NotSatisfiable
        return size - length, length
    start = int(match[1])
    last = int(match[2]) if match[2] else size - 1
    if start >= size or (match[2] and last < start):
        raise NotSatisfiable
    return start, min(last, size - 1) - start + 1
