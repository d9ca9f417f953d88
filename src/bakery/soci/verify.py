"""Verify a ztoc: read the layer once and compare everything that the ztoc says about it.

Other tools may choose other checkpoints than Bakery. Each checkpoint is verified at its own position, by inflating up
to it and comparing offset, unused bits and all 32 KiB of its window. Then come the span digests, the size of the
archive and every field of every file. The first error is reported with its byte.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import NoReturn

from bakery.errors import InvalidContent
from bakery.soci.checkpoint import GZIP, POINT, POINT_SIZE, GzipSpans, LayerGuard, PlainSpans, Spans
from bakery.soci.inflate import WINDOW
from bakery.soci.options import Limits
from bakery.soci.tar_scan import TarScanner
from bakery.soci.ztoc import VERSION, File, Ztoc, compression_info, encode


class WrongIndex(InvalidContent):
    """A ztoc, or a link to it, does not match its layer."""

    error_code = "soci/wrong-index"


class _GivenPoints(GzipSpans):
    """A pass over a gzip layer that stops at the checkpoints of a ztoc instead of choosing its own."""

    def __init__(self, ztoc: Ztoc, scanner: TarScanner, guard: LayerGuard, on_span: Callable[[], None]) -> None:
        super().__init__(ztoc.span_size, scanner.feed, guard)
        self._ztoc, self._on_span = ztoc, on_span

    def _ahead(self) -> int:
        if self._count > self._ztoc.max_span_id:
            return self._guard.allowed
        return self._ztoc.point(self._count).uncompressed - 1 - self.uncompressed_size

    def _wants_point(self, compressed: int, bits: int) -> bool:
        if self._count > self._ztoc.max_span_id:
            return False
        point = self._ztoc.point(self._count)
        if (compressed, self.uncompressed_size) < (point.compressed, point.uncompressed):
            return False
        if (compressed, self.uncompressed_size) != (point.compressed, point.uncompressed):
            self.misplaced(f"the next block ends at byte {compressed}, {self.uncompressed_size} uncompressed")
        if bits != point.bits:
            raise self._wrong(16, f"has {point.bits} unused bits, the layer has {bits}")
        return True

    def _add_point(self, _compressed: int, _bits: int) -> None:
        self._on_span()  # a changed layer is reported by its span's digest, not by the next window
        there = self._ztoc.point(self._count).window
        here = self._view[self._filled - WINDOW : self._filled]
        if there != here:
            at = next(n for n in range(WINDOW) if there[n] != here[n])
            raise self._wrong(
                POINT.size + at, f"has {there[at]:#04x} at byte {at} of its window, the layer has {here[at]:#04x}"
            )
        self._count += 1

    def misplaced(self, why: str) -> NoReturn:
        """Raise an error: no block of the layer ends at the next checkpoint."""
        point = self._ztoc.point(self._count)
        raise self._wrong(
            0, f"is at byte {point.compressed}, {point.uncompressed} uncompressed, where no block ends; {why}"
        )

    @property
    def found(self) -> int:
        """Return how many checkpoints were correct so far."""
        return self._count

    def _wrong(self, within: int, why: str) -> WrongIndex:
        at = self._ztoc.points_at + self._count * POINT_SIZE + within
        checkpoint = f"checkpoint {self._count} (byte {at} of the ztoc)"
        return WrongIndex("wrong", about=self._guard.about, why=f"{checkpoint} {why}")


class LayerVerifier:
    """Takes the bytes of the layer. `finish` raises WrongIndex, or LayerDamaged if the layer is damaged."""

    def __init__(self, content: bytes, *, about: str, size: int, limits: Limits | None = None) -> None:
        self._about, self._content = about, content
        self._ztoc = ztoc = Ztoc(content, about=about)
        self._guard = LayerGuard(about, limits or Limits(), size)
        self._scanner = TarScanner(self._guard)
        self._checked = 0
        self._spans: Spans
        if ztoc.algorithm == GZIP:
            self._spans = _GivenPoints(ztoc, self._scanner, self._guard, self._check_digests)
        else:
            self._spans = PlainSpans(ztoc.span_size, self._scanner.feed, self._guard)
        self._same("version", ztoc.version.decode("ascii", "replace"), VERSION.decode())
        self._same("compressed size", ztoc.compressed_size, size)
        self._same("layer size", ztoc.layer_size, size)
        self._same("number of span digests", len(ztoc.span_digests), ztoc.max_span_id + 1)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the layer."""
        self._spans.feed(chunk)
        self._check_digests()

    def stop(self) -> None:
        """Make `feed` raise Abandoned."""
        self._guard.stopped = True

    def finish(self) -> None:
        """End the layer."""
        self._spans.finish()
        self._scanner.finish()
        if isinstance(self._spans, _GivenPoints) and self._spans.found <= self._ztoc.max_span_id:
            self._spans.misplaced(f"the layer ends at byte {self._spans.compressed_size}")
        self._check_digests()
        self._same("number of spans", self._ztoc.max_span_id, self._spans.max_span_id)
        self._same("archive size", self._ztoc.archive_size, self._scanner.archive_size)
        self._check_files()

    @property
    def has_xattrs(self) -> bool:
        """Return whether some entry has extended attributes or is an opaque whiteout. Valid after `finish`."""
        return self._scanner.has_xattrs

    def _check_digests(self) -> None:
        expected = self._ztoc.span_digests
        for number in range(self._checked, len(self._spans.digests)):
            stated = expected[number] if number < len(expected) else "missing"
            start = self._ztoc.span_start(number) if stated != "missing" else 0
            self._same(f"digest of span {number}, from byte {start} of the layer,", stated, self._spans.digests[number])
        self._checked = len(self._spans.digests)

    def _check_files(self) -> None:
        # The scanned files are encoded and read again, so that both lists are compared as a reader sees them.
        no_spans = compression_info(PlainSpans(1, self._scanner.feed, self._guard), 1)
        ours = encode(self._scanner.files, no_spans, archive_size=0, identifier=b"")
        for number, (stated, found) in enumerate(zip_longest(self._ztoc.files(), Ztoc(ours).files())):
            if stated == found:
                continue
            if stated is None or found is None:
                place = "the ztoc" if stated is None else "the layer"
                raise self._wrong(f"{place} has no file number {number}, {_shown((stated or found).name)}")
            for name, in_ztoc, in_layer in zip(File._fields, stated, found, strict=True):
                self._same(f"{name} of file number {number}, {_shown(found.name)}", in_ztoc, in_layer)

    def _same(self, what: str, stated: object, found: object) -> None:
        if stated != found:
            raise self._wrong(f"the {what} is {_shown(stated)} in the ztoc, {_shown(found)} in the layer")

    def _wrong(self, why: str) -> WrongIndex:
        return WrongIndex("wrong", about=self._about, why=why, hint="convert the image again")


def _shown(value: object) -> str:
    return repr(value[:200].decode("utf-8", "backslashreplace")) if isinstance(value, bytes) else f"{value!s:.200}"
