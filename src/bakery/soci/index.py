"""Indexing one layer: its bytes in, in any pieces, its ztoc out. One inflate, one pass, nothing of the layer is kept.

Synchronous and meant for a thread: libz and hashlib release the GIL. `stop()` may be called from another thread; the
next `feed` then raises. Which layers get an index, and what is made of them, is in convert.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from bakery.errors import DigestMismatch
from bakery.oci.digest import Digest
from bakery.soci.checkpoint import Gauge, GzipSpans, PlainSpans, Spans
from bakery.soci.inflate import Zlib
from bakery.soci.options import SociSettings
from bakery.soci.tar_scan import TarScanner
from bakery.soci.ztoc import Ztoc, compression_info, encode
from bakery.values import repr_without

GZIP: Final = "gzip"
PLAIN: Final = "tar"


class LayerIndex(Struct, frozen=True):
    """What indexing a layer gave. `has_xattrs`: some entry has extended attributes or is an opaque whiteout."""

    ztoc: bytes
    digest: Digest
    span_size: int
    has_xattrs: bool
    spans: int
    files: int
    uncompressed_size: int

    __repr__ = repr_without("ztoc")

    def spans_of(self, paths: Iterable[str]) -> dict[str, tuple[int, int]]:
        """First and last span of each of these files that the layer has; of a name that occurs twice, the first."""
        wanted = {path.encode("utf-8", "surrogateescape"): path for path in paths}
        if not wanted or not self.spans:
            return {}
        ztoc = Ztoc(self.ztoc)
        return {
            wanted[name]: (ztoc.span_of(offset), ztoc.span_of(offset + size))
            for name, (offset, size) in ztoc.locate(wanted).items()
        }


class LayerIndexer:
    """One layer on its way to its ztoc.

    compression: GZIP or PLAIN, from the media type. about: what errors call the layer. size: its compressed bytes,
    where they are known; limits depend on it. Raises, from `feed` and `finish`: LayerDamaged, LayerUnsupported,
    LayerLimit, Abandoned (failure.py); NoZlib from the constructor.
    """

    def __init__(
        self,
        compression: str,
        settings: SociSettings | None = None,
        *,
        about: str = "a layer",
        size: int | None = None,
        library: Zlib | None = None,
    ) -> None:
        self._settings = settings or SociSettings()
        self._gauge = Gauge(about, self._settings.limits, size)
        self._size = size
        self._scanner = TarScanner(self._gauge)
        span_size = self._settings.span_size
        self._spans: Spans
        if compression == GZIP:
            self._spans = GzipSpans(span_size, self._scanner.feed, self._gauge, library=library)
        else:
            self._spans = PlainSpans(span_size, self._scanner.feed, self._gauge)

    def feed(self, chunk: bytes | memoryview) -> None:
        """The next bytes of the layer. A memoryview is lent for the call only, and must be writable: C reads it."""
        try:
            self._spans.feed(chunk)
        except BaseException:
            self._spans.close()
            raise

    def stop(self) -> None:
        """Nobody wants the result any more: the thread that feeds is told at its next chunk, or sooner."""
        self._gauge.stopped = True

    def finish(self) -> LayerIndex:
        """The layer's index; all of the layer must have been fed."""
        spans, settings = self._spans, self._settings
        try:
            self._gauge.check(spans.uncompressed_size)
            spans.finish()
            self._scanner.finish()
        finally:
            spans.close()
        if self._size is not None and spans.compressed_size != self._size:
            raise DigestMismatch(
                "indexing",
                about=self._gauge.about,
                why=f"its descriptor says {self._size} bytes, {spans.compressed_size} came",
                hint="the source is damaged: build and push it again",
            )
        ztoc = encode(
            self._scanner.files,
            compression_info(spans, settings.span_size),
            archive_size=self._scanner.archive_size,
            identifier=settings.build_tool_identifier.encode(),
        )
        return LayerIndex(
            ztoc,
            Digest.of(ztoc),
            settings.span_size,
            self._scanner.has_xattrs,
            spans.max_span_id + 1,
            self._scanner.files.count,
            spans.uncompressed_size,
        )


def merge_spans(spans: Iterable[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """Sorted, and one where they overlap or touch."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged
