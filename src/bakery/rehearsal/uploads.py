"""Upload sessions: where one stands, which chunk may come next, what the whole is named. No HTTP, no sockets.

A chunk counts whole or not at all: one whose body was cut is forgotten, and the session stands where its last
acknowledged answer said. Source: OCI distribution-spec 1.1, "Pushing a blob in chunks".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Final
from uuid import uuid4

from bakery.oci.digest import Digest, new_hasher
from bakery.rehearsal.shelf import Incoming

_RANGE: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
_PIECE: Final = 1024 * 1024


class Upload:
    """One session. `offset` bytes have arrived; `step` counts the answers that moved it."""

    def __init__(self, repository: str, incoming: Incoming, algorithm: str = "sha256") -> None:
        self.name = uuid4().hex
        self.repository, self.algorithm = repository, algorithm
        self.busy = False  # a request is writing to it
        self.step = 0
        self.offset = 0
        self.last_length = 0  # of the chunk that came last
        self.first_end = 0  # where the first chunk ended: what a registry with a stuck Range keeps telling
        self._incoming = incoming
        self._hasher = new_hasher(algorithm)

    @property
    def incoming(self) -> Incoming:
        """What arrived."""
        return self._incoming

    def write(self, data: bytes) -> None:
        """Append; `chunk` decides whether it counts."""
        self._incoming.write(data)
        self._hasher.update(data)

    @contextmanager
    def chunk(self) -> Iterator[None]:
        """What is written inside counts when nothing is raised, and is forgotten otherwise."""
        self.busy = True
        before = self._hasher.copy()
        try:
            yield
        except BaseException:
            self._hasher = before
            self._incoming.cut(self.offset)
            raise
        finally:
            self.busy = False
        if self.offset == 0:
            self.first_end = self._incoming.size
        self.last_length = self._incoming.size - self.offset
        self.offset = self._incoming.size
        self.step += 1

    def names(self, digest: Digest) -> bool:
        """Whether what arrived has this digest. Reads it again where the session hashed by another algorithm."""
        if digest.algorithm == self.algorithm:
            return self._hasher.hexdigest() == digest.hex
        hasher, offset = digest.hasher(), 0
        while offset < self._incoming.size:
            piece = self._incoming.read(offset, _PIECE)
            hasher.update(piece)
            offset += len(piece)
        return hasher.hexdigest() == digest.hex


class Placement(Enum):
    """What a chunk's Content-Range says about where it goes."""

    NEXT = auto()
    ELSEWHERE = auto()  # 416: not what comes next
    MALFORMED = auto()  # no range, or not the length of the body


def placement(content_range: str, offset: int, length: int | None) -> Placement:
    """Whether a chunk with this Content-Range follows what arrived. length: the body's, None where it is not told."""
    match = _RANGE.fullmatch(content_range)
    if match is None:
        return Placement.MALFORMED
    start, end = int(match[1]), int(match[2])
    if start != offset:
        return Placement.ELSEWHERE
    return Placement.NEXT if length is None or end - start + 1 == length else Placement.MALFORMED


def told_range(arrived: int) -> str:
    """The Range header for so many bytes. `0-0` is nothing as well as one byte, as distribution has it."""
    return f"0-{max(arrived - 1, 0)}"


class Uploads:
    """The sessions that are open."""

    def __init__(self) -> None:
        self._open: dict[str, Upload] = {}

    def add(self, upload: Upload) -> Upload:
        """Remember this one."""
        self._open[upload.name] = upload
        return upload

    def find(self, repository: str, name: str) -> Upload | None:
        """The session of this name in this repository, if it is open."""
        upload = self._open.get(name)
        return upload if upload is not None and upload.repository == repository else None

    def end(self, upload: Upload) -> None:
        """Forget it; its content was kept or is discarded by the caller."""
        self._open.pop(upload.name, None)

    def discard_all(self) -> None:
        """Forget every session and what arrived for it."""
        for upload in self._open.values():
            upload.incoming.discard()
        self._open.clear()
