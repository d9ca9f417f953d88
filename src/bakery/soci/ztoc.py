"""The ztoc of one layer: its files, and where inflating can begin. Written and read; soci.md says what each byte is.

`FileTable` takes files as a scanner finds them and keeps each in one short record, because a FlatBuffer is written
from the last file to the first; `encode` writes; `Ztoc` reads what anybody wrote.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any, Final, NamedTuple

from msgspec import Struct

from bakery.errors import BadDocument
from bakery.soci.checkpoint import GZIP, HEAD, POINT, POINT_SIZE, UNCOMPRESSED, GzipSpans, Spans
from bakery.soci.flat import Bytes, Field, Table, TableShape, Writer, table_shape

VERSION: Final = b"0.9"
TAR_VERSION: Final = 2  # of the plain tar's checkpoint table

_U32 = struct.Struct("<I")
_PADS: Final = (bytes(4), bytes(3), bytes(2), bytes(1))  # by length modulo 4: the NUL, and zeros to a multiple of four
# offset, size, mode, uid, gid, devmajor, devminor; lengths of name, type, link, uname, gname and time as laid out, and
# of the PAX records
_RECORD = struct.Struct("<qqqIIqqIIIIIII")
# Fields of FileMetadata in the order of adding: slot, format, and the bit of those left out where they are 0.
_FILE_FIELDS: Final = (
    (0, "I", 0),  # name
    (1, "I", 0),  # type
    (2, "q", 1),  # uncompressed_offset
    (3, "q", 2),  # uncompressed_size
    (4, "I", 0),  # linkname
    (5, "q", 4),  # mode
    (6, "I", 8),  # uid
    (7, "I", 16),  # gid
    (8, "I", 0),  # uname
    (9, "I", 0),  # gname
    (10, "I", 0),  # mod_time
    (11, "q", 32),  # devmajor
    (12, "q", 64),  # devminor
    (13, "I", 0),  # xattrs
)
_MAX_FILE_TABLE: Final = 104  # with all fields and paddings; and the count of an empty vector
_MAX_VTABLES: Final = 256 * 32 + 64  # one for each choice of fields and each alignment; and the Xattr's
_XATTR_FIELDS: Final = ((0, "I"), (1, "I"))
_INT = struct.Struct("<i")
_XATTR_TABLE = struct.Struct("<iII")  # to the vtable, value, key
_MAX_TAILS: Final = 8192

_Shape = tuple[Any, int, tuple[int, ...], Any, TableShape]


def _flat_text(content: bytes) -> bytes:
    return _U32.pack(len(content)) + content + _PADS[len(content) & 3]


def _flat_records(records: Mapping[bytes, bytes]) -> bytes:
    """The Xattr tables of one file and their vector; the distance to the vtable is filled in when it is known."""
    parts: list[bytes] = []
    places: list[int] = []
    place = 0
    for key in sorted(records):
        value = _flat_text(records[key])
        table = _XATTR_TABLE.pack(0, 8, 4 + len(value)) + value + _flat_text(key)
        place += len(table)
        parts.append(table)
        places.append(place)
    count = len(places)
    vector = [place + 4 * (count - n) - at for n, at in enumerate(places)]
    parts.append(struct.pack(f"<I{count}I", count, *vector))
    parts.reverse()
    return b"".join(parts)


def _file_shape(mask: int, phase: int) -> _Shape:
    """How a file with these scalars is packed: packer, size, starts of the fourteen fields, choice of values."""
    used = [number for number, (_, _, bit) in enumerate(_FILE_FIELDS) if not bit or bit & mask]
    shape = table_shape(tuple(_FILE_FIELDS[number][:2] for number in used), phase)
    starts = [0] * len(_FILE_FIELDS)
    for number, start in zip(used, shape.starts, strict=True):
        starts[number] = start
    # The values lie in memory last field first, behind the distance to the vtable.
    choose = itemgetter(0, *(len(_FILE_FIELDS) - number for number in reversed(used)))
    return shape.packer.pack_into, shape.size, tuple(starts), choose, shape


class FileTable:
    """The files of one archive, in the order of the archive, each as one record of bytes."""

    def __init__(self) -> None:
        self._records = bytearray()
        self._objects = bytearray()  # for each file its PAX records and its strings, as they will lie in the ztoc
        self._tails: dict[tuple[bytes, ...], tuple[bytes, tuple[int, ...]]] = {}
        self._shapes: dict[int, _Shape] = {}
        self.count = 0

    @property
    def size(self) -> int:
        """Bytes that the files take so far."""
        return len(self._records) + len(self._objects)

    def add(
        self,
        name: bytes,
        kind: bytes,
        offset: int,
        size: int,
        linkname: bytes,
        mode: int,
        uid: int,
        gid: int,
        uname: bytes,
        gname: bytes,
        mod_time: bytes,
        devmajor: int,
        devminor: int,
        records: Mapping[bytes, bytes] | None,
    ) -> None:
        """One more file. `records` are its PAX records."""
        key = (kind, linkname, uname, gname)
        tail, lengths = self._tails.get(key) or self._tail(key)
        time = _U32.pack(len(mod_time)) + mod_time + _PADS[len(mod_time) & 3]
        text = _U32.pack(len(name)) + name + _PADS[len(name) & 3]
        pax = 0
        if records:
            listed = _flat_records(records)
            self._objects += listed
            pax = len(listed)
        self._objects += time
        self._objects += tail
        self._objects += text
        self._records += _RECORD.pack(
            offset, size, mode, uid, gid, devmajor, devminor, len(text), *lengths, len(time), pax
        )
        self.count += 1

    def _tail(self, key: tuple[bytes, ...]) -> tuple[bytes, tuple[int, ...]]:
        # Most files share these four strings, so they are laid out once for all of them.
        objects = [_flat_text(content) for content in key]
        if len(self._tails) >= _MAX_TAILS:
            self._tails.clear()
        tail = self._tails[key] = b"".join(reversed(objects)), tuple(map(len, objects))
        return tail

    def _backwards(self) -> Iterator[tuple[int, ...]]:
        # In pieces: a list of all would take more memory than the ztoc.
        view, step = memoryview(self._records), 4096 * _RECORD.size
        for start in range((len(view) - 1) // step * step, -1, -step):
            yield from reversed(list(_RECORD.iter_unpack(view[start : start + step])))

    def write(self, writer: Writer) -> array[int]:
        """All files, last one first. Gives their places, in the order of the archive. The table is used up."""
        # Backwards into one buffer: a part for each of 500,000 files would cost more than its bytes.
        buffer = bytearray(len(self._objects) + self.count * _MAX_FILE_TABLE + _MAX_VTABLES)
        objects = memoryview(self._objects)
        head, read_at = len(buffer), len(objects)
        top = head + writer.place  # what begins at index i of the buffer has the place top - i
        places = array("Q")
        shapes = self._shapes
        for record in self._backwards():
            (
                offset,
                size,
                mode,
                uid,
                gid,
                devmajor,
                devminor,
                name_size,
                kind_size,
                link_size,
                uname_size,
                gname_size,
                time_size,
                pax_size,
            ) = record
            name = top - head + name_size
            kind = name + kind_size
            link = kind + link_size
            uname = link + uname_size
            gname = uname + gname_size
            mod_time = gname + time_size
            length = mod_time - top + head
            buffer[head - length : head] = objects[read_at - length : read_at]
            head -= length
            read_at -= length
            if pax_size:
                head = _put_records(writer, buffer, head, top, objects[read_at - pax_size : read_at])
                read_at -= pax_size
            else:
                head -= 4  # an empty vector is its count, 0
            at = top - head
            mask = (
                (1 if offset else 0)
                + (2 if size else 0)
                + (4 if mode else 0)
                + (8 if uid else 0)
                + (16 if gid else 0)
                + (32 if devmajor else 0)
                + (64 if devminor else 0)
            )
            found = shapes.get(mask + (at & 4) * 32)
            if found is None:
                found = shapes[mask + (at & 4) * 32] = _file_shape(mask, at & 4)
            pack_into, table_size, starts, choose, shape = found
            head -= table_size
            place = at + table_size
            known = writer.vtable_place(shape, place)
            values = (
                (known or place + len(shape.vtable)) - place,
                starts[13],
                devminor,
                devmajor,
                starts[10] + at - mod_time,
                starts[9] + at - gname,
                starts[8] + at - uname,
                gid,
                uid,
                mode,
                starts[4] + at - link,
                size,
                offset,
                starts[1] + at - kind,
                starts[0] + at - name,
            )
            pack_into(buffer, head, *choose(values))
            places.append(place)
            if not known:
                head -= len(shape.vtable)
                buffer[head : head + len(shape.vtable)] = shape.vtable
        writer.put(memoryview(buffer)[head:])
        objects.release()
        self._objects, self._records = bytearray(), bytearray()
        places.reverse()
        return places


def _put_records(writer: Writer, buffer: bytearray, head: int, top: int, block: memoryview) -> int:
    """PAX records before `head`, their distances to the vtable filled in. Gives the new head."""
    (count,) = _U32.unpack_from(block)
    first = 4 + _U32.unpack_from(block, 4)[0]  # index of the first record's table in the block; it lies last
    shape = table_shape(_XATTR_FIELDS, 4)
    first_place = top - (head - (len(block) - first))
    vtable = writer.vtable_place(shape, first_place)
    shift = 0
    if not vtable:
        # The first table of all has the vtable before it: so do the others of this file, which lie before both.
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


class CompressionInfo(Struct, frozen=True):
    """What a ztoc says of a layer's bytes. checkpoints: the bytes of that field."""

    algorithm: int
    max_span_id: int
    digests: Sequence[str]
    checkpoints: Bytes
    compressed_size: int


def compression_info(spans: Spans, span_size: int) -> CompressionInfo:
    """The same from a finished pass over the layer."""
    points = spans.checkpoints if isinstance(spans, GzipSpans) else _plain_table(span_size, spans.compressed_size)
    return CompressionInfo(spans.algorithm, spans.max_span_id, spans.digests, points, spans.compressed_size)


def encode(files: FileTable, spans: CompressionInfo, *, archive_size: int, identifier: bytes) -> bytes:
    """The ztoc's bytes. `archive_size` is the length of the tar up to its end mark."""
    writer = Writer()
    version = writer.text(VERSION)
    tool = writer.text(identifier)
    metadata = writer.offset_vector(files.write(writer))
    toc = writer.table([Field(0, "I", metadata, offset=True)])
    checkpoints = writer.byte_vector(spans.checkpoints)
    digests = writer.offset_vector([writer.text(digest.encode()) for digest in spans.digests])
    info = writer.table(
        [
            *([Field(1, "i", spans.max_span_id)] if spans.max_span_id else []),
            Field(2, "I", digests, offset=True),
            Field(3, "I", checkpoints, offset=True),
            *([Field(0, "b", spans.algorithm)] if spans.algorithm != GZIP else []),
        ]
    )
    root = writer.table(
        [
            Field(0, "I", version, offset=True),
            Field(1, "I", tool, offset=True),
            Field(4, "I", toc, offset=True),
            *([Field(2, "q", spans.compressed_size)] if spans.compressed_size else []),
            *([Field(3, "q", archive_size)] if archive_size else []),
            Field(5, "I", info, offset=True),
        ]
    )
    return writer.finish(root)


def _plain_table(span_size: int, size: int) -> bytes:
    """The checkpoints of a plain tar: a FlatBuffer of its own inside the ztoc."""
    writer = Writer()
    fields = [Field(0, "i", TAR_VERSION), Field(1, "q", span_size), Field(2, "q", size)]
    return writer.finish(writer.table([field for field in fields if field.value]))


class File(NamedTuple):
    """One file as a ztoc lists it. `offset` and `size` are those of its data in the uncompressed archive."""

    name: bytes
    kind: bytes
    offset: int
    size: int
    linkname: bytes
    mode: int
    uid: int
    gid: int
    uname: bytes
    gname: bytes
    mod_time: bytes
    devmajor: int
    devminor: int
    records: tuple[tuple[bytes, bytes], ...]


class Point(Struct, frozen=True):
    """One checkpoint of a gzip layer."""

    compressed: int
    uncompressed: int
    bits: int
    window: memoryview


class Ztoc:
    """A ztoc that somebody wrote, read where it is asked. Raises BadDocument for what is none."""

    def __init__(self, content: Bytes, *, about: str = "ztoc") -> None:
        self._root = Table.root(content, about)
        self.about = about
        self.version = bytes(self._root.content(0))
        self.build_tool_identifier = bytes(self._root.content(1))
        self.compressed_size = self._root.number(2, "q")
        self.archive_size = self._root.number(3, "q")
        toc, info = self._root.table(4), self._root.table(5)
        if toc is None or info is None:
            raise BadDocument("reading a ztoc", about=about, answer="it has no table of contents or no checkpoints")
        self._toc, self._info = toc, info
        self.algorithm = info.number(0, "b", GZIP)
        self.max_span_id = info.number(1, "i")
        raw = info.content(3)
        self._points = memoryview(b"")
        self._count = self.points_at = 0
        self.layer_size = self.compressed_size
        if self.algorithm == GZIP:
            if len(raw) < HEAD.size:
                raise self._bad("its checkpoints are cut off")
            self._count, self.span_size = HEAD.unpack_from(raw)
            self._points = raw[HEAD.size :]
            self.points_at = info.position(3) + HEAD.size  # the first checkpoint's place in these bytes
            if self._count < 1 or len(self._points) != self._count * POINT_SIZE:
                raise self._bad(f"it says {self._count} checkpoints and has room for {len(self._points) / POINT_SIZE}")
            if self._count != self.max_span_id + 1:
                raise self._bad(f"it has {self._count} checkpoints, its last span is {self.max_span_id}")
        elif self.algorithm == UNCOMPRESSED:
            table = Table.root(raw, about)
            self.span_size, self.layer_size = table.number(1, "q"), table.number(2, "q")
        else:
            raise self._bad(f"compression algorithm {self.algorithm} is not known")
        if self.span_size < 1:
            raise self._bad(f"its span size is {self.span_size}")

    def _bad(self, answer: str) -> BadDocument:
        return BadDocument("reading a ztoc", about=self.about, answer=answer)

    def files(self) -> Iterator[File]:
        """Its files, in the order of the archive."""
        for table in self._toc.tables(0):
            yield File(
                bytes(table.content(0)),
                bytes(table.content(1)),
                table.number(2, "q"),
                table.number(3, "q"),
                bytes(table.content(4)),
                table.number(5, "q"),
                table.number(6, "I"),
                table.number(7, "I"),
                bytes(table.content(8)),
                bytes(table.content(9)),
                bytes(table.content(10)),
                table.number(11, "q"),
                table.number(12, "q"),
                tuple((bytes(record.content(0)), bytes(record.content(1))) for record in table.tables(13)),
            )

    def locate(self, names: Collection[bytes]) -> dict[bytes, tuple[int, int]]:
        """Offset and size of each of these files that is there; of a name that occurs twice, the first."""
        found: dict[bytes, tuple[int, int]] = {}
        if names:
            for table in self._toc.tables(0):
                name = bytes(table.content(0))
                if name in names and name not in found:
                    found[name] = table.number(2, "q"), table.number(3, "q")
                    if len(found) == len(names):
                        break
        return found

    @cached_property
    def file_count(self) -> int:
        """How many files there are."""
        return self._toc.count(0)

    @cached_property
    def span_digests(self) -> tuple[str, ...]:
        """The digest of each span's compressed bytes."""
        return tuple(str(text, "ascii", "replace") for text in self._info.texts(2))

    def point(self, number: int) -> Point:
        """A checkpoint of a gzip layer."""
        start = number * POINT_SIZE
        compressed, uncompressed, bits = POINT.unpack_from(self._points, start)
        return Point(compressed, uncompressed, bits, self._points[start + POINT.size : start + POINT_SIZE])

    @cached_property
    def starts(self) -> Sequence[int]:
        """The uncompressed offset at which each span begins; for gzip, of each checkpoint."""
        if self.algorithm == GZIP:
            return [POINT.unpack_from(self._points, n * POINT_SIZE)[1] for n in range(self._count)]
        return range(0, (self.max_span_id + 1) * self.span_size, self.span_size)

    def span_start(self, number: int) -> int:
        """The first of the layer's bytes that a span's digest covers."""
        if self.algorithm == GZIP:
            point = self.point(number)
            return point.compressed - (1 if point.bits else 0)
        return int(number * self.span_size)

    def span_of(self, offset: int) -> int:
        """The span that holds this uncompressed offset: that of the last checkpoint at or before it."""
        if self.algorithm == GZIP:
            return bisect_right(self.starts, offset) - 1
        return int(min(offset // self.span_size, self.max_span_id))
