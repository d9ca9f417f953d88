"""The ztoc of one layer: its files, and the checkpoints from which inflating can start. soci.md describes the format.

`encode` writes a ztoc from a scanner's `FileTable`; `Ztoc` reads one from any tool.
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
    """The part of a ztoc about the bytes of a layer. checkpoints: the bytes of that field."""

    algorithm: int
    max_span_id: int
    digests: Sequence[str]
    checkpoints: Bytes
    compressed_size: int


def compression_info(spans: Spans, span_size: int) -> CompressionInfo:
    """Return the compression info of a layer after a finished pass over it."""
    points = spans.checkpoints if isinstance(spans, GzipSpans) else _plain_table(span_size, spans.compressed_size)
    return CompressionInfo(spans.algorithm, spans.max_span_id, spans.digests, points, spans.compressed_size)


def encode(files: FileTable, spans: CompressionInfo, *, archive_size: int, identifier: bytes) -> bytes:
    """Return the bytes of a ztoc. archive_size: the length of the tar up to its end mark."""
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
    """Return the checkpoints of a plain tar: a separate FlatBuffer inside the ztoc."""
    writer = Writer()
    fields = [Field(0, "i", TAR_VERSION), Field(1, "q", span_size), Field(2, "q", size)]
    return writer.finish(writer.table([field for field in fields if field.value]))


class File(NamedTuple):
    """A file in a ztoc. offset and size: of its data in the uncompressed archive."""

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
    """Reads a ztoc on demand. Raises BadDocument if it is not valid."""

    def __init__(self, content: Bytes, *, about: str = "ztoc") -> None:
        self._root = Table.root(content, about)
        self.about = about
        self.version = bytes(self._root.content(0))
        self.build_tool_identifier = bytes(self._root.content(1))
        self.compressed_size = self._root.number(2, "q")
        self.archive_size = self._root.number(3, "q")
        toc, info = self._root.table(4), self._root.table(5)
        if toc is None or info is None:
            raise self._bad("it has no table of contents or no checkpoints")
        self._toc, self._info = toc, info
        self.algorithm = info.number(0, "b", GZIP)
        self.max_span_id = info.number(1, "i")
        raw = info.content(3)
        self._points = memoryview(b"")
        self._count = self.points_at = 0
        self.layer_size = self.compressed_size
        if self.algorithm == GZIP:
            if len(raw) < HEAD.size:
                raise self._bad("its checkpoints are truncated")
            self._count, self.span_size = HEAD.unpack_from(raw)
            self._points = raw[HEAD.size :]
            self.points_at = info.position(3) + HEAD.size  # position of the first checkpoint in the ztoc
            if self._count < 1 or len(self._points) != self._count * POINT_SIZE:
                raise self._bad(f"it declares {self._count} checkpoints in {len(self._points)} bytes")
            if self._count != self.max_span_id + 1:
                raise self._bad(f"it has {self._count} checkpoints, but its last span is {self.max_span_id}")
        elif self.algorithm == UNCOMPRESSED:
            table = Table.root(raw, about)
            self.span_size, self.layer_size = table.number(1, "q"), table.number(2, "q")
        else:
            raise self._bad(f"unknown compression algorithm {self.algorithm}")
        if self.span_size < 1:
            raise self._bad(f"its span size is {self.span_size}")

    def _bad(self, why: str) -> BadDocument:
        return BadDocument("cannot read", about=self.about, why=why)

    def files(self) -> Iterator[File]:
        """Yield the files in the order of the archive."""
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
        """Return offset and size of each of these files. If a name occurs twice, the first counts."""
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
        """Return the number of files."""
        return self._toc.count(0)

    @cached_property
    def span_digests(self) -> tuple[str, ...]:
        """Return the digest of each span's compressed bytes."""
        return tuple(str(text, "ascii", "replace") for text in self._info.texts(2))

    def point(self, number: int) -> Point:
        """Return a checkpoint of a gzip layer."""
        start = number * POINT_SIZE
        compressed, uncompressed, bits = POINT.unpack_from(self._points, start)
        return Point(compressed, uncompressed, bits, self._points[start + POINT.size : start + POINT_SIZE])

    @cached_property
    def starts(self) -> Sequence[int]:
        """Return the uncompressed offset of the start of each span; for gzip, of each checkpoint."""
        if self.algorithm == GZIP:
            return [POINT.unpack_from(self._points, n * POINT_SIZE)[1] for n in range(self._count)]
        return range(0, (self.max_span_id + 1) * self.span_size, self.span_size)

    def span_start(self, number: int) -> int:
        """Return the position of the first byte of the layer that a span's digest covers."""
        if self.algorithm == GZIP:
            point = self.point(number)
            return point.compressed - (1 if point.bits else 0)
        return int(number * self.span_size)

    def span_of(self, offset: int) -> int:
        """Return the span with this uncompressed offset: that of the last checkpoint at or before it."""
        if self.algorithm == GZIP:
            return bisect_right(self.starts, offset) - 1
        return int(min(offset // self.span_size, self.max_span_id))
