"""Checkpoints, from which inflating can start, their windows, and the digest of each span between two of them.

`GzipSpans` and `PlainSpans` take the bytes of a layer in chunks and pass its uncompressed bytes to a sink, which reads
the tar. Both follow soci.md, "checkpoints" and "span digests"; the rule for gzip is that of zlib's example zran.c.
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
_OUTPUT: Final = 1024 * 1024  # with less, Python's overhead outweighs the gain from the processor's cache
_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"


class Spans(Protocol):
    """A pass over a layer, gzip or plain."""

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


class LayerGuard:
    """Checks one layer against its limits and `stopped`, and makes the errors that name it."""

    def __init__(self, about: str, limits: Limits, size: int | None) -> None:
        self.about = about
        self.limits = limits
        self.allowed = limits.for_layer(size)
        self.stopped = False

    def check(self, uncompressed: int) -> None:
        """Raise Abandoned after `stop()`, or LayerLimit if the layer inflates to more than is allowed."""
        if self.stopped:
            raise Abandoned("stopped indexing", about=self.about)
        if uncompressed > self.allowed:
            raise LayerLimit(
                "cannot index",
                about=self.about,
                why=f"it inflates to more than the {self.allowed} bytes allowed for its size"
                " (limits ratio, allowance, uncompressed); it may be a decompression bomb",
                hint="if you trust the layer, raise these limits with BAKERY_SOCI_LIMITS",
            )

    def damaged(self, why: str) -> LayerDamaged:
        """Return an error that says how the layer is damaged."""
        return LayerDamaged("cannot index", about=self.about, why=why, hint="build and push the image again")

    def unsupported(self, why: str) -> LayerUnsupported:
        """Return an error that says why the layer gets no ztoc."""
        return LayerUnsupported("cannot index", about=self.about, why=why)

    def limit(self, why: str, limit: str) -> LayerLimit:
        """Return an error that says which limit the layer exceeds."""
        hint = f"if you trust the layer, raise the limit {limit} with BAKERY_SOCI_LIMITS"
        return LayerLimit("cannot index", about=self.about, why=why, hint=hint)

    def checkpoint_limit(self, what: str) -> LayerLimit:
        """Return an error that says that spans this small take too many bytes."""
        return LayerLimit(
            "cannot index",
            about=self.about,
            why=f"its {what} take more than {self.limits.checkpoints} bytes",
            hint="choose a larger span size, or raise the limit checkpoints with BAKERY_SOCI_LIMITS",
        )


_outputs = threading.local()


def _output() -> tuple[memoryview, int]:
    """Return this thread's output buffer and its address. It is per thread, so that a waiting layer holds none."""
    if not hasattr(_outputs, "room"):
        buffer = bytearray(WINDOW + _OUTPUT)
        _outputs.room = memoryview(buffer), ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    room: tuple[memoryview, int] = _outputs.room
    return room


class GzipSpans:
    """A gzip layer: checkpoints and span digests from one inflate, in one pass."""

    algorithm = GZIP

    def __init__(self, span_size: int, sink: Sink, guard: LayerGuard, *, library: Zlib | None = None) -> None:
        self._span_size, self._sink, self._guard = span_size, sink, guard
        self._inflater = fastest(library)
        self._window = bytes(WINDOW)  # between calls: the last 32 KiB of output, preceded by zeros at first
        self._view = memoryview(b"")  # during a call: the last 32 KiB of output, then new output
        self._filled = 0  # up to where there is output in it
        self._held = b""  # the first byte of a possible member, until the second one arrives
        self._between = True  # before a member
        self._members = 0
        self._last_byte = 0
        self._last_point = 0
        self._hasher = hashlib.sha256()
        self.checkpoints = bytearray(HEAD.size)  # complete after finish()
        self._count = 0
        self.digests: list[str] = []
        self.compressed_size = 0
        self.uncompressed_size = 0

    def feed(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes of the layer."""
        if self._held:
            chunk, self._held = self._held + bytes(chunk), b""
        start, hashed = self.compressed_size, 0
        self._view, base = _output()
        self._view[:WINDOW] = self._window
        self._filled = WINDOW
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
                raise self._guard.damaged(
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
        self._pass_on()
        self._window = bytes(self._view[self._filled - WINDOW : self._filled])

    def finish(self) -> None:
        """End the layer. Raises LayerDamaged if it is cut off."""
        if self._held:
            self._begin_member(self._held)
        if not self._between:
            raise self._guard.damaged(f"the gzip data is cut off after {self.compressed_size} bytes")
        if not self._members:
            raise self._guard.unsupported("it is empty, which is not gzip data")
        self.digests.append(f"sha256:{self._hasher.hexdigest()}")
        HEAD.pack_into(self.checkpoints, 0, self._count, self._span_size)
        self.close()

    @property
    def max_span_id(self) -> int:
        """Return the number of the last span."""
        return self._count - 1

    def close(self) -> None:
        """Free the memory of libz."""
        self._inflater.close()

    def _begin_member(self, head: bytes) -> None:
        # Checked here and not by libz: data that is not gzip is not damaged, and the real tool's libz also accepts a
        # zlib stream here, which its own reader then rejects.
        if head[:2] != _GZIP_MAGIC[: len(head)]:
            if self._members:
                raise self._guard.unsupported("bytes follow the last gzip member")
            kind = "zstd data" if head == _ZSTD_MAGIC else "not"
            raise self._guard.unsupported(f"its media type says gzip, but it is {kind}")
        self._between = False

    def _ahead(self) -> int:
        """Return how many bytes must come before a checkpoint is possible. Block ends within them are irrelevant."""
        return self._span_size - (self.uncompressed_size - self._last_point) if self.uncompressed_size else 0

    def _wants_point(self, _compressed: int, _bits: int) -> bool:
        """Return whether to add a checkpoint here, at the end of a header or block."""
        return not self.uncompressed_size or self.uncompressed_size - self._last_point > self._span_size

    def _add_point(self, compressed: int, bits: int) -> None:
        self._count += 1
        self._last_point = self.uncompressed_size
        if self._count * POINT_SIZE > self._guard.limits.checkpoints:
            raise self._guard.checkpoint_limit("checkpoints")
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

    def _pass_on(self) -> None:
        self._guard.check(self.uncompressed_size)
        if self._filled > WINDOW:
            self._sink(self._view[WINDOW : self._filled])

    def _turn(self) -> None:
        self._pass_on()
        self._view[:WINDOW] = self._view[-WINDOW:]
        self._filled = WINDOW


class PlainSpans:
    """A plain tar layer: spans of equal size, without windows."""

    algorithm = UNCOMPRESSED

    def __init__(self, span_size: int, sink: Sink, guard: LayerGuard) -> None:
        self._span_size, self._sink, self._guard = span_size, sink, guard
        self._hasher = hashlib.sha256()
        self._in_span = 0
        self.digests: list[str] = []
        self.compressed_size = 0

    @property
    def uncompressed_size(self) -> int:
        """Return the number of bytes so far, which are not compressed."""
        return self.compressed_size

    @property
    def max_span_id(self) -> int:
        """Return the number of the last span, or -1 without spans."""
        return len(self.digests) - 1

    def feed(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes of the layer."""
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
        self._guard.check(self.compressed_size)
        if len(view):
            self._sink(view)

    def finish(self) -> None:
        """End the layer."""
        if self._in_span:
            self._end_span()

    def close(self) -> None:
        """Do nothing: no native memory is held."""

    def _end_span(self) -> None:
        # Each digest is 64 hex digits: with spans of one byte, a large layer would fill the memory.
        if (len(self.digests) + 1) * 76 > self._guard.limits.checkpoints:
            raise self._guard.checkpoint_limit("span digests")
        self.digests.append(f"sha256:{self._hasher.hexdigest()}")
        self._hasher = hashlib.sha256()
        self._in_span = 0
