"""FlatBuffers: a writer with the layout of the `flatbuffers` package, and a reader that checks every access.

Only what a ztoc needs. FlatBuffers are written from their end to their beginning, and alignment counts from the end. So
a place is the distance from the end, which does not change when more is written before it.
Source: FlatBuffers "Internals". The tests compare with the package, which is slow for archives with many files.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

from msgspec import Struct

from bakery.errors import BadDocument

_U32 = struct.Struct("<I")
_ZEROS: Final = bytes(8)
Bytes = bytes | bytearray | memoryview


class Field(Struct, frozen=True):
    """One field of a table to write. offset: the value is the place of another object."""

    slot: int
    format: str  # of struct; I for an offset
    value: int
    offset: bool = False


class TableShape(Struct, frozen=True):
    """The layout of a table. starts: the distance of each field from the end of what was written before the table."""

    packer: struct.Struct  # the table's bytes: the distance to the vtable, then the fields, last one first
    starts: tuple[int, ...]  # in the order in which the fields are added
    size: int
    vtable: bytes
    entries: bytes  # the vtable without its head, which identifies it
    align: int


@cache
def table_shape(fields: tuple[tuple[int, str], ...], phase: int) -> TableShape:
    """Return the layout of a table whose fields (slot, format) are added in this order. phase: place modulo 8."""
    at, align = phase, 4
    starts: list[int] = []
    pieces: list[str] = []
    for _, code in fields:
        size = struct.calcsize(f"<{code}")
        align = max(align, size)
        pad = -at % size
        at += pad + size
        starts.append(at - phase)
        if pad:
            pieces.append(f"{pad}x")
        pieces.append(code)
    pad = -at % 4
    at += pad + 4
    pieces.append(f"{pad}x" if pad else "")
    size = at - phase
    slots = [0] * (max((slot for slot, _ in fields), default=-1) + 1)
    for (slot, _), start in zip(fields, starts, strict=True):
        slots[slot] = size - start
    entries = struct.pack(f"<{len(slots)}H", *slots)
    vtable = struct.pack("<HH", len(entries) + 4, size) + entries
    return TableShape(struct.Struct("<i" + "".join(reversed(pieces))), tuple(starts), size, vtable, entries, align)


class Writer:
    """Writes from the end to the beginning. place: the number of bytes so far. Objects are named by their place."""

    def __init__(self) -> None:
        self._parts: list[Bytes] = []
        self.place = 0
        self._align = 4
        self._vtables: dict[bytes, int] = {}

    def put(self, part: Bytes) -> int:
        """Write bytes before the others, and return their place."""
        self._parts.append(part)
        self.place += len(part)
        return self.place

    def text(self, content: bytes) -> int:
        """Write a string: length, bytes, a NUL, and zeros up to a multiple of four."""
        return self.put(_U32.pack(len(content)) + content + _ZEROS[: 1 + -(self.place + len(content) + 1) % 4])

    def byte_vector(self, *pieces: Bytes) -> int:
        """Write a vector of bytes from pieces, which are not copied here."""
        length = sum(map(len, pieces))
        self.put(_ZEROS[: -(self.place + length) % 4])
        for piece in reversed(pieces):
            self.put(piece)
        return self.put(_U32.pack(length))

    def offset_vector(self, places: Sequence[int]) -> int:
        """Write a vector of objects."""
        self.put(_ZEROS[: -self.place % 4])  # a vtable with an odd number of fields has two bytes too many
        count = len(places)
        end = self.place  # the last element's place is end + 4, the first one's end + 4 * count
        values = array("I", (end + 4 * (count - n) - place for n, place in enumerate(places)))
        if sys.byteorder == "big":
            values.byteswap()
        self.put(values.tobytes())
        return self.put(_U32.pack(count))

    def table(self, fields: Sequence[Field]) -> int:
        """Write a table of these fields, added in this order, and its vtable unless an equal one was written."""
        shape = table_shape(tuple((field.slot, field.format) for field in fields), self.place % 8)
        values = [
            self.place + start - field.value if field.offset else field.value
            for field, start in zip(fields, shape.starts, strict=True)
        ]
        place = self.place + shape.size
        known = self.vtable_place(shape, place)
        self.put(shape.packer.pack((known or place + len(shape.vtable)) - place, *reversed(values)))
        if not known:
            self.put(shape.vtable)
        return place

    def vtable_place(self, shape: TableShape, place: int) -> int:
        """Return the place of the vtable for a table at `place`; 0 if it is new and must be written right after it."""
        self._align = max(self._align, shape.align)
        known = self._vtables.get(shape.entries, 0)
        if not known:
            self._vtables[shape.entries] = place + len(shape.vtable)
        return known

    def finish(self, root: int) -> bytes:
        """Return the whole buffer, whose first four bytes point to `root`."""
        self.put(_ZEROS[: -(self.place + 4) % self._align])
        self.put(_U32.pack(self.place + 4 - root))
        parts = self._parts
        self._parts = []
        parts.reverse()
        return b"".join(parts)


class Table:
    """A table in untrusted bytes. Checks every access against the buffer and raises BadDocument."""

    __slots__ = ("_at", "_buffer", "_slots", "_vtable", "about")

    def __init__(self, buffer: memoryview, at: int, about: str) -> None:
        self._buffer, self._at, self.about = buffer, at, about
        self._vtable = at - self._read("<i", at)
        self._slots = (self._read("<H", self._vtable) - 4) // 2

    @classmethod
    def root(cls, content: Bytes, about: str) -> Table:
        """Return the root table of a buffer."""
        buffer = memoryview(content)
        if len(buffer) < 4:
            raise BadDocument("invalid FlatBuffer in", about=about, why="it is shorter than four bytes")
        return cls(buffer, _U32.unpack_from(buffer)[0], about)

    def number(self, slot: int, code: str, default: int = 0) -> int:
        """Return a scalar field."""
        at = self._field(slot)
        return default if at is None else self._read(f"<{code}", at)

    def content(self, slot: int) -> memoryview:
        """Return a string or a vector of bytes; empty if the field is missing."""
        start, count = self._vector(slot, 1)
        return self._buffer[start : start + count]

    def position(self, slot: int) -> int:
        """Return the position of a vector's first element in the buffer."""
        return self._vector(slot, 1)[0]

    def table(self, slot: int) -> Table | None:
        """Return a table inside this one."""
        at = self._field(slot)
        return None if at is None else Table(self._buffer, at + self._read("<I", at), self.about)

    def tables(self, slot: int) -> Iterator[Table]:
        """Yield the tables of a vector."""
        start, count = self._vector(slot, 4)
        for at in range(start, start + 4 * count, 4):
            yield Table(self._buffer, at + self._read("<I", at), self.about)

    def count(self, slot: int) -> int:
        """Return the number of elements in a vector of objects."""
        return self._vector(slot, 4)[1]

    def texts(self, slot: int) -> Iterator[memoryview]:
        """Yield the strings of a vector."""
        start, count = self._vector(slot, 4)
        for at in range(start, start + 4 * count, 4):
            text = at + self._read("<I", at)
            length = self._read("<I", text)
            self._check(text + 4, length)
            yield self._buffer[text + 4 : text + 4 + length]

    def _field(self, slot: int) -> int | None:
        if slot >= self._slots:
            return None
        offset = self._read("<H", self._vtable + 4 + 2 * slot)
        return self._at + offset if offset else None

    def _vector(self, slot: int, width: int) -> tuple[int, int]:
        at = self._field(slot)
        if at is None:
            return 0, 0
        start = at + self._read("<I", at)
        count = self._read("<I", start)
        self._check(start + 4, count * width)
        return start + 4, count

    def _check(self, at: int, size: int) -> None:
        if at < 0 or at + size > len(self._buffer):
            raise BadDocument("invalid FlatBuffer in", about=self.about, why="it points outside the buffer")

    def _read(self, code: str, at: int) -> int:
        self._check(at, struct.calcsize(code))
        found: int = struct.unpack_from(code, self._buffer, at)[0]
        return found
