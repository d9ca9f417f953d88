"""Hashing behind a reader: big content in a thread, one piece ahead at most, so that the event loop goes on reading.

Small content is hashed where it is: handing it over would cost more.
"""

from __future__ import annotations

import asyncio
from typing import Final

from bakery.oci.digest import Digest

PIECE_BYTES: Final = 1024 * 1024


class Hashing:
    """The running digest of chunks that come one after the other. For one reader at a time."""

    def __init__(self, digest: Digest) -> None:
        self._hasher = digest.hasher()
        self._chunks: list[bytes] = []
        self._size = 0
        self._thread: asyncio.Future[None] | None = None

    async def update(self, chunk: bytes) -> None:
        """Take the next chunk. Waits only where the thread is more than a piece behind."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size >= PIECE_BYTES:
            await self._settle()
            chunks, self._chunks, self._size = self._chunks, [], 0
            self._thread = asyncio.get_running_loop().run_in_executor(None, self._feed, chunks)

    async def hexdigest(self) -> str:
        """The digest of everything so far."""
        await self._settle()
        self._feed(self._chunks)
        self._chunks, self._size = [], 0
        return self._hasher.hexdigest()

    async def _settle(self) -> None:
        if self._thread is not None:
            # Not cancelled with the reader: the hasher must not be fed by two at once.
            await asyncio.shield(self._thread)
            self._thread = None

    def _feed(self, chunks: list[bytes]) -> None:
        for chunk in chunks:
            self._hasher.update(chunk)
