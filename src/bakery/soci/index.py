"""Index one layer: its bytes in, in chunks of any size, its ztoc out. One pass, one inflate; the layer is not kept.

Synchronous, to run in a thread: libz and hashlib release the GIL. `stop()` may be called from another thread; the next
`feed` then raises. plan.py decides which layers are indexed, convert.py what is made of the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from bakery.errors import DigestMismatch
from bakery.oci.digest import Digest
from bakery.soci.checkpoint import GzipSpans, LayerGuard, PlainSpans, Spans
from bakery.soci.inflate import Zlib
from bakery.soci.options import SociSettings
from bakery.soci.tar_scan import TarScanner
from bakery.soci.ztoc import Ztoc, compression_info, encode
from bakery.values import repr_without

GZIP: Final = "gzip"
PLAIN: Final = "tar"


class LayerIndex(Struct, frozen=True):
    """The index of a layer. has_xattrs: some entry has extended attributes or is an opaque whiteout."""

    ztoc: bytes
    digest: Digest
    span_size: int
    has_xattrs: bool
    spans: int
    files: int
    uncompressed_size: int

    __repr__ = repr_without("ztoc")

    def spans_of(self, paths: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Return the first and last span of each of these files. If a name occurs twice, the first counts."""
        wanted = {path.encode("utf-8", "surrogateescape"): path for path in paths}
        if not wanted or not self.spans:
            return {}
        ztoc = Ztoc(self.ztoc)
        return {
            wanted[name]: (ztoc.span_of(offset), ztoc.span_of(offset + size))
            for name, (offset, size) in ztoc.locate(wanted).items()
        }


class LayerIndexer:
    """Builds the ztoc of one layer.

    compression: GZIP or PLAIN, from the media type. about: the layer in errors. size: its compressed bytes, if known;
    limits depend on it. `feed` and `finish` raise LayerDamaged, LayerUnsupported, LayerLimit or Abandoned (failure.py),
    the constructor NoZlib.
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
        self._guard = LayerGuard(about, self._settings.limits, size)
        self._size = size
        self._scanner = TarScanner(self._guard)
        span_size = self._settings.span_size
        self._spans: Spans
        if compression == GZIP:
            self._spans = GzipSpans(span_size, self._scanner.feed, self._guard, library=library)
        else:
            self._spans = PlainSpans(span_size, self._scanner.feed, self._guard)

    def feed(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes of the layer. A memoryview must be writable, and is not used after the call."""
        try:
            self._spans.feed(chunk)
        except BaseException:
            self._spans.close()
            raise

    def stop(self) -> None:
        """Make the thread that feeds raise Abandoned, at the latest on its next chunk."""
        self._guard.stopped = True

    def finish(self) -> LayerIndex:
        """Return the layer's index. The whole layer must have been fed."""
        spans, settings = self._spans, self._settings
        try:
            self._guard.check(spans.uncompressed_size)
            spans.finish()
            self._scanner.finish()
        finally:
            spans.close()
        if self._size is not None and spans.compressed_size != self._size:
            raise DigestMismatch(
                "cannot index",
                about=self._guard.about,
                why=f"its descriptor says {self._size} bytes, but it has {spans.compressed_size}",
                hint="build and push the image again",
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
    """Return the spans sorted, with those that overlap or touch merged."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged
