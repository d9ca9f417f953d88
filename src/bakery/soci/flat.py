"""FlatBuffers: a writer that lays bytes out as the `flatbuffers` package does, and a reader that trusts nothing.

Only what a ztoc needs. FlatBuffers are written from their end to their beginning, and every alignment counts from the
end; so a place is named by its distance from the end, which does not change when more is written before it.
Source: FlatBuffers "Internals"; the tests compare with the package, which is slow where files are many.
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
    """One field of a table that is to be written. `offset`: its value is the place of another object."""

    slot: int
    format: str  # of struct; I for an offset
    value: int
    offset: bool = False


class TableShape(Struct, frozen=True):
    """Where the fields of a table lie. `starts` are their distances from the end of what was before the table."""

    packer: struct.Struct  # the table's bytes: the distance to the vtable, then the fields, last one first
    starts: tuple[int, ...]  # in the order in which the fields are added
    size: int
    vtable: bytes
    entries: bytes  # the vtable without its head: what makes two of them equal
    align: int


@cache
def table_shape(fields: tuple[tuple[int, str], ...], phase: int) -> TableShape:
    """The shape of a table whose fields (slot, format) are added in this order, where `phase` = place modulo 8."""
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
    """Bytes from the end to the beginning. `place` is how many there are; every object's name is its place."""

    def __init__(self) -> None:
        self._parts: list[Bytes] = []
        self.place = 0
        self._align = 4
        self._vtables: dict[bytes, int] = {}

    def put(self, part: Bytes) -> int:
        """These bytes before the others, as they are. Gives their place."""
        self._parts.append(part)
        self.place += len(part)
        return self.place

    def text(self, content: bytes) -> int:
        """A string: length, bytes, a NUL, and zeros up to a multiple of four."""
        return self.put(_U32.pack(len(content)) + content + _ZEROS[: 1 + -(self.place + len(content) + 1) % 4])

    def byte_vector(self, *pieces: Bytes) -> int:
        """A vector of bytes, in pieces that are not copied here."""
        length = sum(map(len, pieces))
        self.put(_ZEROS[: -(self.place + length) % 4])
        for piece in reversed(pieces):
            self.put(piece)
        return self.put(_U32.pack(length))

    def offset_vector(self, places: Sequence[int]) -> int:
        """A vector of objects."""
        self.put(_ZEROS[: -self.place % 4])  # a vtable of an odd number of fields leaves two bytes over
        count = len(places)
        end = self.place  # the last element's place is end + 4, the first one's end + 4 * count
        values = array("I", (end + 4 * (count - n) - place for n, place in enumerate(places)))
        if sys.byteorder == "big":
            values.byteswap()
        self.put(values.tobytes())
        return self.put(_U32.pack(count))

    def table(self, fields: Sequence[Field]) -> int:
        """A table of these fields, in the order of adding; the vtable before it, unless an equal one is there."""
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
        """Where the vtable of a table at `place` lies; 0 where it is new, and then it must be put right after."""
        self._align = max(self._align, shape.align)
        known = self._vtables.get(shape.entries, 0)
        if not known:
            self._vtables[shape.entries] = place + len(shape.vtable)
        return known

    def finish(self, root: int) -> bytes:
        """The whole buffer, whose first four bytes point to `root`."""
        self.put(_ZEROS[: -(self.place + 4) % self._align])
        self.put(_U32.pack(self.place + 4 - root))
        parts = self._parts
        self._parts = []
        parts.reverse()
        return b"".join(parts)


class Table:
    """A table in foreign bytes. Every access is checked against the buffer; raises BadDocument."""

    __slots__ = ("_at", "_buffer", "_slots", "_vtable", "about")

    def __init__(self, buffer: memoryview, at: int, about: str) -> None:
        self._buffer, self._at, self.about = buffer, at, about
        self._vtable = at - self._read("<i", at)
        self._slots = (self._read("<H", self._vtable) - 4) // 2

    @classmethod
    def root(cls, content: Bytes, about: str) -> Table:
        """The root table of a buffer."""
        buffer = memoryview(content)
        if len(buffer) < 4:
            raise BadDocument("reading a FlatBuffer", about=about, why="it is shorter than four bytes")
        return cls(buffer, _U32.unpack_from(buffer)[0], about)

    def number(self, slot: int, code: str, default: int = 0) -> int:
        """A scalar field."""
        at = self._field(slot)
        return default if at is None else self._read(f"<{code}", at)

    def content(self, slot: int) -> memoryview:
        """A string or a vector of bytes; empty where it is missing."""
        start, count = self._vector(slot, 1)
        return self._buffer[start : start + count]

    def position(self, slot: int) -> int:
        """Where in the buffer a vector's first element lies."""
        return self._vector(slot, 1)[0]

    def table(self, slot: int) -> Table | None:
        """A table inside this one."""
        at = self._field(slot)
        return None if at is None else Table(self._buffer, at + self._read("<I", at), self.about)

    def tables(self, slot: int) -> Iterator[Table]:
        """A vector of tables, one after the other."""
        start, count = self._vector(slot, 4)
        for at in range(start, start + 4 * count, 4):
            yield Table(self._buffer, at + self._read("<I", at), self.about)

    def count(self, slot: int) -> int:
        """How many elements a vector of objects has."""
        return self._vector(slot, 4)[1]

    def texts(self, slot: int) -> Iterator[memoryview]:
        """A vector of strings."""
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
            raise BadDocument("reading a FlatBuffer", about=self.about, why="it points outside itself")

    def _read(self, code: str, at: int) -> int:
        self._check(at, struct.calcsize(code))
        found: int = struct.unpack_from(code, self._buffer, at)[0]
        return found
