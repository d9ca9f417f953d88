"""A blob on its way: read once from its source, kept while anybody needs it, read behind the writer by many.

Memory when small, an unlinked file when not, so that nothing is left when the process dies. A reader gets the last
piece only after the writer has ended well: a broken download never becomes an upload.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from bakery.errors import BakeryError
from bakery.extent import Extent, Piece
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.tasks import in_thread
from bakery.transfer.ledger import Ledger
from bakery.transfer.store import Store

IN_MEMORY_BYTES: Final = 256 * 1024
CHUNK_BYTES: Final = 1024 * 1024
DEFAULT_LIMIT_BYTES: Final = 4 * 1024**3


class Spool:
    """One blob's content, growing while it is written. Made by SpoolRoom, which also fills it."""

    def __init__(self, blob: Descriptor, directory: Path | None) -> None:
        self.blob = blob
        self.holders = 0
        self.closed = False
        self._memory = bytearray()
        self._descriptor = -1
        if blob.size > IN_MEMORY_BYTES:
            self._descriptor = _unlinked_file(directory)
        self._written = 0
        self._complete = False
        self._error: Exception | None = None
        self._grown = asyncio.Event()

    @property
    def failed(self) -> bool:
        """Whether the writer gave up."""
        return self._error is not None

    @property
    def in_use(self) -> bool:
        """Whether somebody reads it or it is still being written."""
        return self.holders > 0 or not (self._complete or self.failed)

    async def fill(self, source: Store) -> None:
        """Copy the blob from its source. Ends without raising: a failure is told to the readers."""
        try:
            async for kept in source.fetch(self.blob, self._keep):
                self._written = kept
                self._wake()
            self._complete = True
        except OSError as error:
            self._error = _no_room(self.blob, error)
        except Exception as error:  # noqa: BLE001  # kept for the readers, whoever they are
            self._error = error
        finally:
            if not self._complete and self._error is None:
                self._error = BakeryError("fetching a blob", about=self.blob.digest, why="it was cancelled")
            self._wake()

    async def read(self) -> AsyncIterator[Piece]:
        """The content from its start, as far as it has come: bytes that lie in memory, or stretches of the file.

        The last piece comes when the whole is known to be right.
        """
        position = 0
        while position < self.blob.size or not self._complete:
            if self._error is not None:
                raise self._error
            # One byte less than there is, until it is complete: an upload that lacks its end is no upload.
            available = self._written if self._complete else min(self._written, self.blob.size - 1)
            if position < available:
                if self._descriptor < 0:
                    yield bytes(self._memory[position:available])
                else:
                    yield Extent(self._descriptor, position, available - position)
                position = available
            else:
                await self._grown.wait()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The same for whoever needs the bytes, in chunks of at most CHUNK_BYTES."""
        async for piece in self.read():
            if isinstance(piece, bytes):
                yield piece
            else:
                for part in piece.pieces(CHUNK_BYTES):
                    yield await in_thread(part.read)

    def close(self) -> None:
        """Give memory and disk back."""
        self.closed = True
        self._memory = bytearray()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _keep(self, piece: memoryview, position: int) -> None:
        """Called in a thread, one piece after the other."""
        if self._descriptor < 0:
            self._memory[position:] = piece
        else:
            _write_all(self._descriptor, piece, position)

    def _wake(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()
        if self._complete or self._error is not None:
            self._grown.set()


class SpoolRoom:
    """All spools of a run, bounded in bytes. What nobody uses stays for those who ask later, until room is needed."""

    def __init__(self, owner: asyncio.TaskGroup, *, limit_bytes: int, directory: Path | None = None) -> None:
        self._owner, self._limit, self._directory = owner, limit_bytes, directory
        self._spools: OrderedDict[Digest, Spool] = OrderedDict()  # least recently used first
        self._ledger: Ledger[Spool] = Ledger(owner)
        self._room = asyncio.Condition()
        self._total = 0

    @asynccontextmanager
    async def holding(self, blob: Descriptor, source: Store) -> AsyncIterator[Spool]:
        """The blob's spool, being filled or full; it stays open inside. Fetched from `source` if nobody did before."""
        stale = self._spools.get(blob.digest)
        if stale is not None:
            self._drop_failed(stale)  # of an earlier asker; what fails from here on is told to this one
        spool = await self._ledger.once(blob.digest, lambda: self._open(blob, source))
        while spool.closed:  # it made room for another in the moment before we held it
            spool = await self._ledger.once(blob.digest, lambda: self._open(blob, source))
        spool.holders += 1
        try:
            yield spool
        finally:
            spool.holders -= 1
            self._drop_failed(spool)
            async with self._room:
                self._room.notify_all()

    def close(self) -> None:
        """End: give everything back."""
        for spool in list(self._spools.values()):
            self._drop(spool)

    async def _open(self, blob: Descriptor, source: Store) -> Spool:
        async with self._room:
            while self._total and self._total + blob.size > self._limit:
                idle = next((spool for spool in self._spools.values() if not spool.in_use), None)
                if idle is not None:
                    self._drop(idle)
                else:
                    await self._room.wait()
            try:
                spool = Spool(blob, self._directory)
            except OSError as error:
                raise _no_room(blob, error) from error
            self._spools[blob.digest] = spool
            self._total += blob.size
        self._owner.create_task(self._fill(spool, source))
        return spool

    async def _fill(self, spool: Spool, source: Store) -> None:
        await spool.fill(source)
        async with self._room:
            self._room.notify_all()

    def _drop_failed(self, spool: Spool) -> None:
        if spool.failed and spool.holders == 0:
            self._drop(spool)

    def _drop(self, spool: Spool) -> None:
        if self._spools.get(spool.blob.digest) is spool:
            del self._spools[spool.blob.digest]
            self._ledger.forget(spool.blob.digest)
        if not spool.closed:
            self._total -= spool.blob.size
            spool.close()


def _no_room(blob: Descriptor, error: OSError) -> BakeryError:
    return BakeryError(
        "keeping a blob on its way",
        about=f"{blob.digest} of {blob.size} bytes",
        why=f"the temporary folder: {error.strerror or error}",
        hint="make room there, or set TMPDIR to a folder that has it",
    )


def _unlinked_file(directory: Path | None) -> int:
    import tempfile  # small images need no file

    descriptor, name = tempfile.mkstemp(prefix="bakery-spool-", dir=directory)
    Path(name).unlink()
    return descriptor


def _write_all(descriptor: int, piece: memoryview, position: int) -> None:
    while piece:
        written = os.pwrite(descriptor, piece, position)
        piece, position = piece[written:], position + written
