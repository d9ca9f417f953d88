"""Memory for blobs in transit: one mapping whose parts are lent and used again.

The kernel maps and clears each page once. A file, or memory that is allocated for each blob, costs that for every blob.
"""

from __future__ import annotations

import contextlib
import mmap
from bisect import insort
from typing import Final

from msgspec import Struct

_ALIGNMENT: Final = mmap.PAGESIZE


class Loan(Struct, frozen=True):
    """A part of an arena: `memory` has the size that was asked for, and any content."""

    offset: int
    memory: memoryview


class Arena:
    """At most `size` bytes, which take up memory once they are lent. Not thread-safe, but a loan is its borrower's."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._memory = memoryview(b"")
        self._free = [(0, size)] if size else []  # parts (offset, size), in order, some of them empty

    def lend(self, size: int) -> Loan | None:
        """Return the first free part of `size` bytes, None if all are too small or the system has no memory for it."""
        rounded = _rounded(size)
        index = next((index for index, (_, free) in enumerate(self._free) if free >= rounded), None)
        if index is None:
            return None
        if not self._memory:
            try:
                self._memory = _mapped(self._size)
            except OSError:  # such as a limit of the process
                self._free.clear()
                return None
        offset, free = self._free[index]
        self._free[index] = (offset + rounded, free - rounded)
        return Loan(offset, self._memory[offset : offset + size])

    def take_back(self, loan: Loan) -> None:
        """Make a part free again. Its borrower no longer uses it."""
        part = (loan.offset, _rounded(len(loan.memory)))
        insort(self._free, part)
        index = self._free.index(part)
        around = self._free[max(0, index - 1) : index + 2]
        self._free[max(0, index - 1) : index + 2] = _joined(around)


def _mapped(size: int) -> memoryview:
    mapping = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # Linux
        with contextlib.suppress(OSError):  # a kernel without large pages
            mapping.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(mapping)


def _rounded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _joined(parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the same parts, adjacent ones as one."""
    joined: list[tuple[int, int]] = []
    for offset, size in parts:
        if joined and sum(joined[-1]) == offset:
            joined[-1] = (joined[-1][0], joined[-1][1] + size)
        else:
            joined.append((offset, size))
    return joined
