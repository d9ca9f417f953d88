"""The files of one archive, stored in the layout that they have in its ztoc. soci.md, "files".

A FlatBuffer is written from its end to its beginning, but the scanner finds the first file first. So every file is
stored: its strings laid out, its numbers in a record of fixed size. What files have in common (type, owner, mode) is
laid out once, and so is their table, in which only offset and size of the data and the distance to the vtable differ.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from msgspec import Struct

from bakery.soci.flat import Field, Writer, table_shape

_U32 = struct.Struct("<I")
_PADS: Final = (bytes(4), bytes(3), bytes(2), bytes(1))  # by length modulo 4: the NUL, and zeros to a multiple of four
# mode, devmajor, devminor, uid, gid; lengths of type, link, uname and gname, laid out
_COMMON = struct.Struct("<qqqIIIIII")
_RECORD = struct.Struct("<qqIII48s")  # offset, size; lengths of all strings, of the PAX records, of the time; _COMMON
_STORED = struct.Struct("<qqII52s")  # the same, with everything that determines a file's table as one field
_KEY = struct.Struct("<IqqqIIIIII")  # that field
_MAX_TABLE: Final = 104  # with all fields, padding, and the count of an empty vector
_MAX_VTABLES: Final = 256 * 32 + 64  # one for each set of fields and alignment, and that of Xattr
_MAX_ROWS: Final = 8192
_XATTR_FIELDS: Final = ((0, "I"), (1, "I"))
_INT = struct.Struct("<i")
_XATTR_TABLE = struct.Struct("<iII")  # to the vtable, value, key


def flat_text(content: bytes) -> bytes:
    """Return a string in the layout of a FlatBuffer."""
    return _U32.pack(len(content)) + content + _PADS[len(content) & 3]


class Common(NamedTuple):
    """Everything about a file except name, offset, size, time and PAX records, laid out."""

    strings: bytes
    record: bytes


def lay_out(
    kind: bytes,
    linkname: bytes,
    mode: int,
    uid: int,
    gid: int,
    uname: bytes,
    gname: bytes,
    devmajor: int,
    devminor: int,
) -> Common:
    """Lay out what many files have in common."""
    strings = [flat_text(content) for content in (kind, linkname, uname, gname)]
    record = _COMMON.pack(mode, devmajor, devminor, uid & 0xFFFFFFFF, gid & 0xFFFFFFFF, *map(len, strings))
    return Common(b"".join(reversed(strings)), record)


class _Row(Struct):
    """The table of similar files.

    pack_into: takes the distance to the vtable, `before`, size and offset unless they are 0, and `after`.
    vtable: its place.
    """

    pack_into: Callable[..., None]
    length: int
    before: bytes
    after: bytes
    vtable: int


class FileTable:
    """Files in the order of the archive."""

    def __init__(self) -> None:
        self._records = bytearray()
        self._objects = bytearray()  # for each file its PAX records and strings, laid out for the ztoc
        self.count = 0

    @property
    def size(self) -> int:
        """Return the number of bytes stored so far."""
        return len(self._records) + len(self._objects)

    def add(
        self,
        name: bytes,
        offset: int,
        size: int,
        time: bytes,
        common: Common,
        records: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Add a file. time: laid out by `flat_text`. records: the PAX records."""
        strings, record = common
        pax = 0
        if records:
            listed = _flat_records(records)
            self._objects += listed
            pax = len(listed)
        text = _U32.pack(len(name)) + name + _PADS[len(name) & 3]
        self._objects += time
        self._objects += strings
        self._objects += text
        self._records += _RECORD.pack(offset, size, len(time) + len(strings) + len(text), pax, len(time), record)
        self.count += 1

    def _backwards(self) -> Iterator[tuple[int, int, int, int, bytes]]:
        # In pieces: one list of all files would take more memory than the ztoc.
        view, step = memoryview(self._records), 4096 * _STORED.size
        for start in range((len(view) - 1) // step * step, -1, -step):
            yield from reversed(list(_STORED.iter_unpack(view[start : start + step])))

    def write(self, writer: Writer) -> array[int]:
        """Write all files, last one first, and return their places in the order of the archive. Empties the table."""
        # Backwards into one buffer: separate parts for each of 500,000 files would cost more than their bytes.
        buffer = bytearray(len(self._objects) + self.count * _MAX_TABLE + _MAX_VTABLES)
        objects = memoryview(self._objects)
        head, read_at = len(buffer), len(objects)
        top = head + writer.place  # index i of the buffer has the place top - i
        places = array("Q")
        rows: dict[tuple[bytes, int], _Row] = {}
        for offset, size, length, pax_length, key in self._backwards():
            strings = head = head - length
            read_at -= length
            buffer[head : head + length] = objects[read_at : read_at + length]
            if pax_length:
                head = _put_records(writer, buffer, head, top, objects[read_at - pax_length : read_at])
                read_at -= pax_length
            else:
                head -= 4  # an empty vector is its count, 0
            at = top - head
            choice = (strings - head) << 3 | at & 4 | (2 if size else 0) | (1 if offset else 0)
            vtable = b""
            row = rows.get((key, choice))
            if row is None:
                if len(rows) >= _MAX_ROWS:
                    rows.clear()
                row, vtable = _row(writer, key, at, strings - head, offset, size)
                rows[key, choice] = row
            head -= row.length
            place = at + row.length
            if size and offset:
                row.pack_into(buffer, head, row.vtable - place, row.before, size, offset, row.after)
            else:
                row.pack_into(buffer, head, row.vtable - place, row.before, *filter(None, (size, offset)), row.after)
            places.append(place)
            if vtable:
                head -= len(vtable)
                buffer[head : head + len(vtable)] = vtable
        writer.put(memoryview(buffer)[head:])
        objects.release()
        self._objects, self._records = bytearray(), bytearray()
        places.reverse()
        return places


def _row(writer: Writer, key: bytes, at: int, distance: int, offset: int, size: int) -> tuple[_Row, bytes]:
    """Return how to pack the table of such a file before `at`, and its vtable unless an equal one was written.

    distance: from `at` back to the place of the file's first string, its time.
    """
    time, mode, devmajor, devminor, uid, gid, kind, link, uname, gname = _KEY.unpack(key)
    gname_at = distance + time
    uname_at = gname_at + gname
    link_at = uname_at + uname
    kind_at = link_at + link
    fields = [  # of FileMetadata, in the order of adding
        Field(0, "I", kind_at + kind, offset=True),  # name
        Field(1, "I", kind_at, offset=True),
        Field(2, "q", offset),
        Field(3, "q", size),
        Field(4, "I", link_at, offset=True),
        Field(5, "q", mode),
        Field(6, "I", uid),
        Field(7, "I", gid),
        Field(8, "I", uname_at, offset=True),
        Field(9, "I", gname_at, offset=True),
        Field(10, "I", distance, offset=True),  # mod_time
        Field(11, "q", devmajor),
        Field(12, "q", devminor),
        Field(13, "I", 0, offset=True),  # xattrs
    ]
    fields = [field for field in fields if field.offset or field.value]
    shape = table_shape(tuple((field.slot, field.format) for field in fields), at & 4)
    values = [
        start + field.value if field.offset else field.value for field, start in zip(fields, shape.starts, strict=True)
    ]
    table = shape.packer.pack(0, *reversed(values))
    # The last field comes first: so the size precedes the offset, and both have eight bytes, without a gap.
    variable = [shape.size - start for field, start in zip(fields, shape.starts, strict=True) if field.slot in (2, 3)]
    first, end = (variable[-1], variable[0] + 8) if variable else (shape.size, shape.size)
    place = at + shape.size
    known = writer.vtable_place(shape, place)
    row = _Row(
        struct.Struct(f"<i{first - 4}s{len(variable)}q{shape.size - end}s").pack_into,
        shape.size,
        table[4:first],
        table[end:],
        known or place + len(shape.vtable),
    )
    return row, b"" if known else shape.vtable


def _flat_records(records: Mapping[bytes, bytes]) -> bytes:
    """Return the Xattr tables of one file and their vector. The distances to the vtable are filled in later."""
    parts: list[bytes] = []
    places: list[int] = []
    place = 0
    for key in sorted(records):
        value = flat_text(records[key])
        table = _XATTR_TABLE.pack(0, 8, 4 + len(value)) + value + flat_text(key)
        place += len(table)
        parts.append(table)
        places.append(place)
    count = len(places)
    vector = [place + 4 * (count - n) - at for n, at in enumerate(places)]
    parts.append(struct.pack(f"<I{count}I", count, *vector))
    parts.reverse()
    return b"".join(parts)


def _put_records(writer: Writer, buffer: bytearray, head: int, top: int, block: memoryview) -> int:
    """Write PAX records before `head`, fill in their distances to the vtable, and return the new head."""
    (count,) = _U32.unpack_from(block)
    first = 4 + _U32.unpack_from(block, 4)[0]  # index of the first record's table, which is the last one in the block
    shape = table_shape(_XATTR_FIELDS, 4)
    first_place = top - (head - (len(block) - first))
    vtable = writer.vtable_place(shape, first_place)
    shift = 0
    if not vtable:
        # The vtable is written before the first of all tables; the other tables of this file come before both.
        shift = len(shape.vtable)
        vtable = first_place + shift
    start = head - len(block) - shift
    buffer[start : start + first] = block[:first]
    buffer[start + first + shift : head] = block[first:]
    if shift:
        buffer[start + first : start + first + shift] = shape.vtable
        _U32.pack_into(buffer, start + 4, first - 4 + shift)
    for number in range(count):
        slot = start + 4 + 4 * number
        table = slot + _U32.unpack_from(buffer, slot)[0]
        _INT.pack_into(buffer, table, vtable - (top - table))
    return start
