"""Extents: parts of an open file, so that content moves between rooms without a copy in Python's memory."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable

from msgspec import Struct


class Extent(Struct, frozen=True):
    """`size` bytes of an open file, from `offset`. file: its descriptor; valid while the owner keeps it open."""

    file: int
    offset: int
    size: int

    def __len__(self) -> int:
        return self.size

    def read(self) -> bytes:
        """Return the bytes. Call it in a thread: a disk may be slow."""
        content = os.pread(self.file, self.size, self.offset)
        while len(content) < self.size:
            more = os.pread(self.file, self.size - len(content), self.offset + len(content))
            if not more:
                raise EOFError(f"the file ends before {self.offset + self.size} bytes")
            content += more
        return content

    def read_into(self, buffer: memoryview) -> memoryview:
        """Read the bytes into a buffer that is large enough, and return that part of it. Call it in a thread."""
        view, at = buffer[: self.size], 0
        while at < self.size:
            got = os.preadv(self.file, [view[at:]], self.offset + at)
            if not got:
                raise EOFError(f"the file ends before {self.offset + self.size} bytes")
            at += got
        return view

    def pieces(self, most_bytes: int) -> list[Extent]:
        """Return the same bytes as extents of at most `most_bytes` each."""
        end = self.offset + self.size
        return [Extent(self.file, at, min(most_bytes, end - at)) for at in range(self.offset, end, most_bytes)]


Piece = bytes | memoryview | Extent
"""Content on its way: bytes, memory that its owner uses again after the call, or a part of a file."""


def part_of(content: memoryview | Extent, start: int, size: int) -> memoryview | Extent:
    """Return `size` bytes of the content, from `start`; none of them are read or copied."""
    if isinstance(content, memoryview):
        return content[start : start + size]
    return Extent(content.file, content.offset + start, size)


def rest(content: memoryview | Extent, size: int) -> memoryview | Extent:
    """Return the content without its first `size` bytes."""
    return part_of(content, size, len(content) - size)


OpenBody = Callable[[], AsyncIterator[Piece]]
"""Opens content at its start. Called once per attempt: a retry reads the content again."""

Keep = Callable[[memoryview, int], object]
"""Stores a piece of content at this position. Runs in a thread; the memory is only valid during the call."""
