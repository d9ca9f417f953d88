"""Where inflating can begin anew: checkpoints, their windows, and the digest of each span between them.

`GzipSpans` and `PlainSpans` take a layer's bytes as they come and hand its uncompressed bytes on. Both follow soci.md,
"checkpoints" and "span digests"; the rule for gzip is that of zlib's example zran.c. They know nothing of tar.
"""

from __future__ import annotations

import ctypes
import hashlib
import struct
import threading
from collections.abc import Callable
from typing import Final, Protocol

from bakery.soci import inflate
from bakery.soci.failure import Abandoned, LayerDamaged, LayerLimit, LayerUnsupported
from bakery.soci.igzip import fastest
from bakery.soci.inflate import WINDOW, Zlib
from bakery.soci.options import Limits

Sink = Callable[[memoryview], None]

GZIP: Final = 1
UNCOMPRESSED: Final = 2
POINT: Final = struct.Struct("<qqB")  # compressed offset, uncompressed offset, unused bits; then the window
HEAD: Final = struct.Struct("<iq")  # number of checkpoints, span size
POINT_SIZE: Final = POINT.size + WINDOW
_OUTPUT: Final = 1024 * 1024  # with less in one turn, Python's share is larger than what the processor's cache gives
_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"


class Spans(Protocol):
    """What both kinds of layer give."""

    algorithm: int
    compressed_size: int
    digests: list[str]

    @property
    def uncompressed_size(self) -> int: ...

    def feed(self, chunk: bytes | memoryview) -> None: ...

    def finish(self) -> None: ...

    def close(self) -> None: ...

    @property
    def max_span_id(self) -> int: ...


class Gauge:
    """The parts that both share: who wants to know, how much is allowed, and whether anybody still waits."""

    def __init__(self, about: str, limits: Limits, size: int | None) -> None:
        self.about = about
        self.limits = limits
        self.allowed = limits.for_layer(size)
        self.stopped = False

    def check(self, uncompressed: int) -> None:
        """Raises Abandoned after `stop()`, LayerLimit where the layer grows beyond what it may."""
        if self.stopped:
            raise Abandoned("indexing", about=self.about, why="nobody waits for it any more")
        if uncompressed > self.allowed:
            raise LayerLimit(
                "inflating",
                about=self.about,
                why=f"more than the {self.allowed} bytes allowed for its size: it may be a decompression bomb",
                hint="if the layer is meant to be like this, raise the limits ratio, allowance or uncompressed",
            )

    def damaged(self, answer: str) -> LayerDamaged:
        """An error about this layer."""
        return LayerDamaged("indexing", about=self.about, why=answer, hint="the layer is damaged: build it again")

    def unsupported(self, answer: str) -> LayerUnsupported:
        """Why this layer gets no ztoc."""
        return LayerUnsupported("indexing", about=self.about, why=answer)


_outputs = threading.local()


def _output() -> tuple[memoryview, int]:
    """This thread's room for output, and its address: a layer that waits for its turn shall hold none."""
    if not hasattr(_outputs, "room"):
        buffer = bytearray(WINDOW + _OUTPUT)
        _outputs.room = memoryview(buffer), ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    room: tuple[memoryview, int] = _outputs.room
    return room


class GzipSpans:
    """A gzip layer: one inflate, checkpoints and span digests in the same pass."""

    algorithm = GZIP

    def __init__(self, span_size: int, sink: Sink, gauge: Gauge, *, library: Zlib | None = None) -> None:
        self._span_size, self._sink, self._gauge = span_size, sink, gauge
        self._inflater = fastest(library)
        self._window = bytes(WINDOW)  # the last of the output between two calls, zeros before it while there is less
        self._view = memoryview(b"")  # within a call: the last 32 KiB of output, then new output
        self._filled = self._handed = 0  # up to where there is output in it, and up to where the sink has it
        self._held = b""  # the first byte of what may be a member, while the second has not come
        self._between = True  # before a member
        self._members = 0
        self._last_byte = 0
        self._last_point = 0
        self._hasher = hashlib.sha256()
        self.checkpoints = bytearray(HEAD.size)  # whole after finish()
        self._count = 0
        self.digests: list[str] = []
        self.compressed_size = 0
        self.uncompressed_size = 0

    def feed(self, chunk: bytes | memoryview) -> None:
        """The next bytes of the layer."""
        if self._held:
            chunk, self._held = self._held + bytes(chunk), b""
        start, hashed = self.compressed_size, 0
        self._view, base = _output()
        self._view[:WINDOW] = self._window
        self._filled = self._handed = WINDOW
        inflater = self._inflater
        inflater.take(chunk)
        while True:
            if self._between:
                at = len(chunk) - inflater.input_left
                if at > len(chunk) - 2:
                    self._held = bytes(chunk[at:])
                    break
                self._begin_member(bytes(chunk[at : at + 4]))
            room = len(self._view) - self._filled
            if not room:
                self._turn()
                room = _OUTPUT
            inflater.room(base + self._filled, room)
            found = inflater.step(self._ahead())
            produced = room - inflater.room_left
            self._filled += produced
            self.uncompressed_size += produced
            if found == inflate.BLOCK_END:
                position = len(chunk) - inflater.input_left
                if self._wants_point(start + position, inflater.unused_bits):
                    self._end_span(chunk, hashed, position)
                    self._add_point(start + position, inflater.unused_bits)
                    hashed = position
            elif found == inflate.MEMBER_END:
                inflater.next_member()
                self._between = True
                self._members += 1
            elif found == inflate.CORRUPT:
                raise self._gauge.damaged(
                    f"the gzip data is corrupt: {inflater.message}, near byte"
                    f" {start + len(chunk) - inflater.input_left} of the layer"
                )
            elif not inflater.input_left and inflater.room_left:
                break
        end = len(chunk) - len(self._held)
        if end:
            self._hasher.update(memoryview(chunk)[hashed:end])
            self._last_byte = chunk[end - 1]
        self.compressed_size = start + end
        self._hand_on()
        self._window = bytes(self._view[self._filled - WINDOW : self._filled])

    def finish(self) -> None:
        """The layer has ended. Raises LayerDamaged where it ends too early."""
        if self._held:
            self._begin_member(self._held)
        if not self._between:
            raise self._gauge.damaged(f"the gzip data is cut off after {self.compressed_size} bytes")
        if not self._members:
            raise self._gauge.unsupported("the layer is empty, which is no gzip data")
        self.digests.append(f"sha256:{self._hasher.hexdigest()}")
        HEAD.pack_into(self.checkpoints, 0, self._count, self._span_size)
        self.close()

    @property
    def max_span_id(self) -> int:
        """The number of the last span."""
        return self._count - 1

    def close(self) -> None:
        """Free what libz holds."""
        self._inflater.close()

    def _begin_member(self, head: bytes) -> None:
        # Looked at here and not left to libz: what is no gzip header is no damage, and the real tool's libz also takes
        # a zlib stream here, which its own reader then refuses.
        if head[:2] != _GZIP_MAGIC[: len(head)]:
            if self._members:
                raise self._gauge.unsupported("there are bytes after the last gzip member")
            kind = "zstd data" if head == _ZSTD_MAGIC else "something else"
            raise self._gauge.unsupported(f"its media type says gzip, but it is {kind}")
        self._between = False

    def _ahead(self) -> int:
        """How many bytes may come before a checkpoint can stand: where blocks end in them does not matter."""
        return self._span_size - (self.uncompressed_size - self._last_point) if self.uncompressed_size else 0

    def _wants_point(self, _compressed: int, _bits: int) -> bool:
        """Whether a checkpoint belongs here, at the end of a header or block."""
        return not self.uncompressed_size or self.uncompressed_size - self._last_point > self._span_size

    def _add_point(self, compressed: int, bits: int) -> None:
        self._count += 1
        self._last_point = self.uncompressed_size
        if self._count * POINT_SIZE > self._gauge.limits.checkpoints:
            raise LayerLimit(
                "indexing",
                about=self._gauge.about,
                why=f"its checkpoints take more than {self._gauge.limits.checkpoints} bytes",
                hint="choose a larger span size, or raise the limit checkpoints",
            )
        self.checkpoints += POINT.pack(compressed, self.uncompressed_size, bits)
        self.checkpoints += self._view[self._filled - WINDOW : self._filled]

    def _end_span(self, chunk: bytes | memoryview, hashed: int, position: int) -> None:
        if self._count:
            self._hasher.update(memoryview(chunk)[hashed:position])
            self.digests.append(f"sha256:{self._hasher.hexdigest()}")
        self._hasher = hashlib.sha256()
        if self._inflater.unused_bits:
            # The byte in which a block ends belongs to both spans.
            self._hasher.update(bytes((chunk[position - 1] if position else self._last_byte,)))

    def _hand_on(self) -> None:
        self._gauge.check(self.uncompressed_size)
        if self._filled > self._handed:
            self._sink(self._view[self._handed : self._filled])
            self._handed = self._filled

    def _turn(self) -> None:
        self._hand_on()
        self._view[:WINDOW] = self._view[-WINDOW:]
        self._filled = self._handed = WINDOW


class PlainSpans:
    """A plain tar layer: spans of equal length, no windows."""

    algorithm = UNCOMPRESSED

    def __init__(self, span_size: int, sink: Sink, gauge: Gauge) -> None:
        self._span_size, self._sink, self._gauge = span_size, sink, gauge
        self._hasher = hashlib.sha256()
        self._in_span = 0
        self.digests: list[str] = []
        self.compressed_size = 0

    @property
    def uncompressed_size(self) -> int:
        """As many bytes as came in."""
        return self.compressed_size

    @property
    def max_span_id(self) -> int:
        """The number of the last span; -1 where there is none."""
        return len(self.digests) - 1

    def feed(self, chunk: bytes | memoryview) -> None:
        """The next bytes of the layer."""
        view = memoryview(chunk)
        at = 0
        while at < len(view):
            part = view[at : at + self._span_size - self._in_span]
            self._hasher.update(part)
            self._in_span += len(part)
            at += len(part)
            if self._in_span == self._span_size:
                self._end_span()
        self.compressed_size += len(view)
        self._gauge.check(self.compressed_size)
        if len(view):
            self._sink(view)

    def finish(self) -> None:
        """The layer has ended."""
        if self._in_span:
            self._end_span()

    def close(self) -> None:
        """Nothing to free."""

    def _end_span(self) -> None:
        # 64 hex digits for each span: with spans of a byte that is what a hostile option would cost
        if (len(self.digests) + 1) * 76 > self._gauge.limits.checkpoints:
            raise LayerLimit(
                "indexing",
                about=self._gauge.about,
                why=f"its span digests take more than {self._gauge.limits.checkpoints} bytes",
                hint="choose a larger span size, or raise the limit checkpoints",
            )
        self.digests.append(f"sha256:{self._hasher.hexdigest()}")
        self._hasher = hashlib.sha256()
        self._in_span = 0
