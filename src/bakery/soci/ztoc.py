"""The ztoc of one layer: its files, and where inflating can begin. Written and read; soci.md says what each byte is.

`encode` writes what a scanner has put into a `FileTable`; `Ztoc` reads what anybody wrote.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import Final, NamedTuple

from msgspec import Struct

from bakery.errors import BadDocument
from bakery.soci.checkpoint import GZIP, HEAD, POINT, POINT_SIZE, UNCOMPRESSED, GzipSpans, Spans
from bakery.soci.file_table import FileTable
from bakery.soci.flat import Bytes, Field, Table, Writer

VERSION: Final = b"0.9"
TAR_VERSION: Final = 2  # of the plain tar's checkpoint table


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
            raise BadDocument("reading a ztoc", about=about, why="it has no table of contents or no checkpoints")
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
        return BadDocument("reading a ztoc", about=self.about, why=answer)

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
