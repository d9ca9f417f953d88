"""Is a ztoc right? Reads the layer once and compares everything that the ztoc says of it.

Whoever made the ztoc may have chosen other checkpoints than we would: each is checked where it is, by inflating up to
it, so that offset, unused bits and all 32 KiB of its window are those of the stream. The span digests, the archive's
size and every field of every file come after. The first thing that is wrong is told, with its byte.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import NoReturn

from bakery.errors import InvalidContent
from bakery.soci.checkpoint import GZIP, POINT, POINT_SIZE, Gauge, GzipSpans, PlainSpans, Spans
from bakery.soci.inflate import WINDOW
from bakery.soci.options import Limits
from bakery.soci.tar_scan import TarScanner
from bakery.soci.ztoc import VERSION, File, Ztoc, compression_info, encode


class WrongIndex(InvalidContent):
    """A ztoc, or what leads to it, does not fit its layer."""


class _GivenPoints(GzipSpans):
    """The same pass over a gzip layer, with the checkpoints that a ztoc names instead of our own rule."""

    def __init__(self, ztoc: Ztoc, scanner: TarScanner, gauge: Gauge, on_span: Callable[[], None]) -> None:
        super().__init__(ztoc.span_size, scanner.feed, gauge)
        self._ztoc, self._on_span = ztoc, on_span

    def _ahead(self) -> int:
        if self._count > self._ztoc.max_span_id:
            return self._gauge.allowed
        return self._ztoc.point(self._count).uncompressed - 1 - self.uncompressed_size

    def _wants_point(self, compressed: int, bits: int) -> bool:
        if self._count > self._ztoc.max_span_id:
            return False
        point = self._ztoc.point(self._count)
        if (compressed, self.uncompressed_size) < (point.compressed, point.uncompressed):
            return False
        if (compressed, self.uncompressed_size) != (point.compressed, point.uncompressed):
            self.misplaced(f"the layer goes on to byte {compressed}, {self.uncompressed_size} uncompressed")
        if bits != point.bits:
            raise self._wrong(16, f"says {point.bits} unused bits, there are {bits}")
        return True

    def _add_point(self, _compressed: int, _bits: int) -> None:
        self._on_span()  # an altered layer shows in the span's digest before it shows in the next window
        there = self._ztoc.point(self._count).window
        here = self._view[self._filled - WINDOW : self._filled]
        if there != here:
            at = next(n for n in range(WINDOW) if there[n] != here[n])
            raise self._wrong(
                POINT.size + at, f"has the byte {there[at]:#04x} at {at} in its window, the layer has {here[at]:#04x}"
            )
        self._count += 1

    def misplaced(self, answer: str) -> NoReturn:
        """No block of the layer ends where the next checkpoint says."""
        point = self._ztoc.point(self._count)
        raise self._wrong(
            0, f"is at byte {point.compressed}, {point.uncompressed} uncompressed: no block ends there; {answer}"
        )

    @property
    def found(self) -> int:
        """How many checkpoints were found right."""
        return self._count

    def _wrong(self, within: int, answer: str) -> WrongIndex:
        at = self._ztoc.points_at + self._count * POINT_SIZE + within
        return WrongIndex(
            "verifying", about=self._gauge.about, why=f"byte {at} of the ztoc: checkpoint {self._count} {answer}"
        )


class LayerVerifier:
    """Feed it the layer; `finish` raises WrongIndex, or LayerDamaged where it is the layer that is wrong."""

    def __init__(self, content: bytes, *, about: str, size: int, limits: Limits | None = None) -> None:
        self._about, self._content = about, content
        self._ztoc = ztoc = Ztoc(content, about=about)
        self._gauge = Gauge(about, limits or Limits(), size)
        self._scanner = TarScanner(self._gauge)
        self._checked = 0
        self._spans: Spans
        if ztoc.algorithm == GZIP:
            self._spans = _GivenPoints(ztoc, self._scanner, self._gauge, self._check_digests)
        else:
            self._spans = PlainSpans(ztoc.span_size, self._scanner.feed, self._gauge)
        self._same("version", ztoc.version.decode("ascii", "replace"), VERSION.decode())
        self._same("compressed size", ztoc.compressed_size, size)
        self._same("layer size", ztoc.layer_size, size)
        self._same("number of span digests", len(ztoc.span_digests), ztoc.max_span_id + 1)

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the layer."""
        self._spans.feed(chunk)
        self._check_digests()

    def stop(self) -> None:
        """Nobody waits any more."""
        self._gauge.stopped = True

    def finish(self) -> None:
        """The layer has ended."""
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
        """After `finish`: whether some entry has extended attributes or is an opaque whiteout."""
        return self._scanner.has_xattrs

    def _check_digests(self) -> None:
        expected = self._ztoc.span_digests
        for number in range(self._checked, len(self._spans.digests)):
            said = expected[number] if number < len(expected) else "missing"
            start = self._ztoc.span_start(number) if said != "missing" else 0
            self._same(f"digest of span {number}, from byte {start} of the layer,", said, self._spans.digests[number])
        self._checked = len(self._spans.digests)

    def _check_files(self) -> None:
        # Our own list is written and read again, so that both are compared as a reader sees them.
        no_spans = compression_info(PlainSpans(1, self._scanner.feed, self._gauge), 1)
        ours = encode(self._scanner.files, no_spans, archive_size=0, identifier=b"")
        for number, (there, here) in enumerate(zip_longest(self._ztoc.files(), Ztoc(ours).files())):
            if there == here:
                continue
            if there is None or here is None:
                lacking = "the ztoc" if there is None else "the layer"
                raise self._wrong(f"{lacking} has no file number {number}, {_shown((there or here).name)}")
            for name, said, found in zip(File._fields, there, here, strict=True):
                self._same(f"{name} of file number {number}, {_shown(here.name)}", said, found)

    def _same(self, what: str, said: object, found: object) -> None:
        if said != found:
            raise self._wrong(f"the {what} is {_shown(said)} in the ztoc, {_shown(found)} in the layer")

    def _wrong(self, answer: str) -> WrongIndex:
        return WrongIndex("verifying", about=self._about, why=answer, hint="convert the image again")


def _shown(value: object) -> str:
    return repr(value[:200].decode("utf-8", "backslashreplace")) if isinstance(value, bytes) else f"{value!s:.200}"
