"""What a child writes to one of its streams: kept whole up to a cap, or passed on line by line. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

_TAIL_BYTES = 16 << 10
_LINE_BYTES = 64 << 10  # a longer line is passed on in pieces


class Output(Protocol):
    """One stream of a child."""

    over: bool  # more than may be kept

    def feed(self, chunk: bytes) -> None: ...
    def end(self) -> None: ...
    def whole(self) -> bytes: ...
    def tail(self) -> bytes: ...


class Kept:
    """Everything up to the cap, and the last bytes of the rest."""

    def __init__(self, cap_bytes: int) -> None:
        self._cap, self._size = cap_bytes, 0
        self._chunks: list[bytes] = []
        self._tail = b""
        self.over = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        kept = max(0, self._cap - self._size)
        self._size += len(chunk)
        self.over = self._size > self._cap
        if kept:
            self._chunks.append(chunk[:kept])
        if self.over:
            self._tail = ((self._tail or b"".join(self._chunks[-1:])) + chunk[kept:])[-_TAIL_BYTES:]

    def end(self) -> None:
        """Do nothing: all that came is kept."""

    def whole(self) -> bytes:
        """Return what is kept."""
        return b"".join(self._chunks)

    def tail(self) -> bytes:
        """Return the last bytes."""
        return self._tail if self.over else self.whole()[-_TAIL_BYTES:]


class Lines:
    """Each line is passed on as it comes, without its end; only the last bytes are kept. Never too much."""

    over = False

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = self._tail = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes, and pass on the lines that they complete."""
        self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._pass_on(line)
        if len(self._rest) > _LINE_BYTES:
            self.end()

    def end(self) -> None:
        """Pass on a last line that has no end."""
        rest, self._rest = self._rest, b""
        if rest:
            self._pass_on(rest)

    def whole(self) -> bytes:
        """Return the last bytes: the others are gone."""
        return self._tail

    def tail(self) -> bytes:
        """Return the last bytes."""
        return self._tail

    def _pass_on(self, line: bytes) -> None:
        self._on_line(line.decode(errors="replace").rstrip("\r"))
