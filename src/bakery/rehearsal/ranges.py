"""Range requests (RFC 9110 section 14): which part of some content one asks for."""

from __future__ import annotations

import re
from typing import Final

_ONE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)


class NotSatisfiable(Exception):
    """The range begins after the content's end, or after its own (RFC 9110 15.5.17)."""


def wanted(header: str, size: int) -> tuple[int, int] | None:
    """First offset and length of the one range that is asked for; None where the whole is to be sent.

    A header that is no single byte range is ignored, as RFC 9110 14.2 allows. Raises NotSatisfiable.
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
