"""Upload sessions: the current offset, which chunk may come next, the digest of the content. No HTTP, no sockets.

A chunk counts completely or not at all: if its body was cut short it is dropped, and the session stays at the offset
that the last response acknowledged. Source: OCI distribution-spec 1.1, "Pushing a blob in chunks".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Final
from uuid import uuid4

from bakery.oci.digest import Digest, new_hasher
from bakery.rehearsal.backend import ContentWriter

_RANGE: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
_PIECE: Final = 1024 * 1024


class Upload:
    """One session. offset: the bytes that count so far. step: the number of responses that moved the offset."""

    def __init__(self, repository: str, writer: ContentWriter, algorithm: str = "sha256") -> None:
        self.name = uuid4().hex
        self.repository, self.algorithm, self.writer = repository, algorithm, writer
        self.busy = False  # a request is writing to it
        self.step = 0
        self.offset = 0
        self.last_length = 0  # of the most recent chunk
        self.first_end = 0  # where the first chunk ended: a registry with a stuck Range keeps reporting this
        self._hasher = new_hasher(algorithm)

    def write(self, data: bytes) -> None:
        """Append data; `chunk` decides whether it counts."""
        self.writer.write(data)
        self._hasher.update(data)

    @contextmanager
    def chunk(self) -> Iterator[None]:
        """Count what is written inside the block, or drop it if the block raises."""
        self.busy = True
        before = self._hasher.copy()
        try:
            yield
        except BaseException:
            self._hasher = before
            self.writer.cut(self.offset)
            raise
        finally:
            self.busy = False
        if self.offset == 0:
            self.first_end = self.writer.size
        self.last_length = self.writer.size - self.offset
        self.offset = self.writer.size
        self.step += 1

    def has_digest(self, digest: Digest) -> bool:
        """Return whether the content has this digest. Reads it again if the session hashed with another algorithm."""
        if digest.algorithm == self.algorithm:
            return self._hasher.hexdigest() == digest.hex
        hasher, offset = digest.hasher(), 0
        while offset < self.writer.size:
            piece = self.writer.read(offset, _PIECE)
            hasher.update(piece)
            offset += len(piece)
        return hasher.hexdigest() == digest.hex


class Placement(Enum):
    """Where a chunk's Content-Range puts it."""

    NEXT = auto()
    ELSEWHERE = auto()  # 416: it does not follow what arrived
    MALFORMED = auto()  # not a range, or not the length of the body


def placement(content_range: str, offset: int, length: int | None) -> Placement:
    """Return where a chunk with this Content-Range goes. length: of the body, or None if the client sent none."""
    match = _RANGE.fullmatch(content_range)
    if match is None:
        return Placement.MALFORMED
    start, end = int(match[1]), int(match[2])
    if start != offset:
        return Placement.ELSEWHERE
    return Placement.NEXT if length is None or end - start + 1 == length else Placement.MALFORMED


def range_header(arrived: int) -> str:
    """Return the Range header for this many bytes. `0-0` means none or one byte, as in distribution."""
    return f"0-{max(arrived - 1, 0)}"


class Uploads:
    """The open sessions."""

    def __init__(self) -> None:
        self._open: dict[str, Upload] = {}

    def add(self, upload: Upload) -> None:
        """Register a session."""
        self._open[upload.name] = upload

    def find(self, repository: str, name: str) -> Upload | None:
        """Return the open session with this name in this repository, or None."""
        upload = self._open.get(name)
        return upload if upload is not None and upload.repository == repository else None

    def end(self, upload: Upload) -> None:
        """Remove a session. The caller keeps or discards its content."""
        self._open.pop(upload.name, None)

    def discard_all(self) -> None:
        """Remove every session and its content."""
        for upload in self._open.values():
            upload.writer.discard()
        self._open.clear()
