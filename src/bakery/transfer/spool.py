"""Spools: each blob in transit is read once from its source and kept while something still needs it.

In memory while there is room for it, in an unlinked file otherwise, so nothing is left behind if the process dies. Any
number of readers follow the writer. They get the last piece only after the content was verified: a broken download
never becomes an upload.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from bakery.defaults import SPOOL_BYTES, SPOOL_FILES, SPOOL_MEMORY_BYTES
from bakery.errors import RAISE_FILES, TOO_MANY_FILES, BakeryError, DigestMismatch, limit_of_files
from bakery.extent import Extent, Piece
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.tasks import in_thread
from bakery.transfer.arena import Arena, Loan
from bakery.transfer.store import Store

_log = logging.getLogger(__name__)

SMALL_BYTES: Final = 256 * 1024  # a blob up to this size has memory of its own, however many there are
_COPIED_BYTES: Final = 64 * 1024  # a piece up to this size is sent faster than a thread is woken
CHUNK_BYTES: Final = 1024 * 1024


class Spool:
    """The content of one blob, growing while it is written. Spools creates and fills it.

    is_second: its content was wrong once before.
    """

    def __init__(self, blob: Descriptor, directory: Path | None, *, is_second: bool = False) -> None:
        self.blob, self._is_second = blob, is_second
        self.loan: Loan | None = None
        self.holders = 0
        self.reads = 0  # how often it was held to the end
        self._memory = memoryview(bytearray(blob.size if self.is_small else 0))
        self._directory, self._file = directory, -1
        self._written = 0
        self._complete = False
        self._error: Exception | None = None
        self._grown = asyncio.Event()

    @property
    def is_small(self) -> bool:
        """Whether it has memory of its own. Any other may need a file."""
        return self.blob.size <= SMALL_BYTES

    @property
    def is_broken(self) -> bool:
        """Whether the writer failed."""
        return self._error is not None

    @property
    def is_wrong(self) -> bool:
        """Whether the content was wrong for the first time: a cache on the way may be. It is downloaded once more."""
        return isinstance(self._error, DigestMismatch) and not self._is_second

    @property
    def is_stale(self) -> bool:
        """Whether the writer failed and no holder is left that waits for its error."""
        return self.is_broken and self.holders == 0

    @property
    def in_use(self) -> bool:
        """Whether it has a holder or is still being written."""
        return self.holders > 0 or (not self._complete and self._error is None)

    async def fill(self, source: Store, lend: Callable[[int], Loan | None], on_end: Callable[[], None]) -> None:
        """Copy the blob from its source, then call `on_end`. Never raises: readers get the error.

        lend: called once the content is about to arrive; without a loan, it goes to a file.
        """
        try:
            async for written in source.fetch(self.blob, self._keep):
                if not written:
                    self._settle(lend)
                self._written = written
                self._wake()
            self._complete = True
        except OSError as error:
            self._error = _no_space(self.blob, error)
        except Exception as error:  # noqa: BLE001  # raised by `read`
            self._error = error
        finally:
            if not self._complete and self._error is None:
                self._error = BakeryError("cannot read blob", about=self.blob.digest, why="it was cancelled")
            self._wake()
            on_end()

    async def read(self) -> AsyncIterator[Piece]:
        """Yield the content from its start as it arrives: small pieces as bytes, others as memory or part of a file.

        A piece is valid while the spool is held. The last one comes only after the whole content was verified.
        """
        position = 0
        while position < self.blob.size or not self._complete:
            if self._error is not None:
                raise self._error
            # One byte is withheld until the content is complete: an upload that lacks its end is never committed.
            available = self._written if self._complete else min(self._written, self.blob.size - 1)
            if position < available:
                if self._file >= 0:
                    yield Extent(self._file, position, available - position)
                elif available - position <= _COPIED_BYTES:
                    yield bytes(self._memory[position:available])
                else:
                    yield self._memory[position:available]
                position = available
            else:
                await self._grown.wait()

    async def verified(self) -> None:
        """Wait until the whole content is verified. Raises the error of the download."""
        while not self._complete:
            if self._error is not None:
                raise self._error
            await self._grown.wait()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the same content as bytes, in chunks of at most CHUNK_BYTES."""
        async for piece in self.read():
            if isinstance(piece, Extent):
                for part in piece.pieces(CHUNK_BYTES):
                    yield await in_thread(part.read)
            else:
                for at in range(0, len(piece), CHUNK_BYTES):
                    yield bytes(piece[at : at + CHUNK_BYTES])

    def close(self) -> None:
        """Release its memory or its file; a loan has to be taken back."""
        self._memory = memoryview(b"")
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _settle(self, lend: Callable[[int], Loan | None]) -> None:
        if self.is_small or self.loan is not None or self._file >= 0:
            return  # of a download that began again
        self.loan = lend(self.blob.size)
        if self.loan is not None:
            self._memory = self.loan.memory
        else:
            self._file = _unlinked_file(self._directory)

    def _keep(self, piece: memoryview, position: int) -> None:
        """Runs in a thread, for one piece after another."""
        if self._file < 0:
            self._memory[position : position + len(piece)] = piece
            return
        while piece:
            written = os.pwrite(self._file, piece, position)
            piece, position = piece[written:], position + written

    def _wake(self) -> None:
        self._grown.set()
        if not self._complete and self._error is None:
            self._grown = asyncio.Event()


class Spools:
    """All spools of a run, bounded in bytes and files. An unused one stays for later readers until space is needed.

    readers: how many read a blob, such as the registries of a run. Memory is taken from a spool only once as many have:
    for one that came later, the blob would be downloaded again.
    """

    def __init__(
        self,
        owner: asyncio.TaskGroup,
        *,
        limit_bytes: int = SPOOL_BYTES,
        limit_files: int = SPOOL_FILES,
        memory_bytes: int = SPOOL_MEMORY_BYTES,
        directory: Path | None = None,
        readers: int = 1,
    ) -> None:
        self._owner, self._directory, self._readers = owner, directory, readers
        self._arena = Arena(memory_bytes)
        self._limit_bytes, self._limit_files = limit_bytes, limit_files
        self._spools: OrderedDict[Digest, Spool] = OrderedDict()  # least recently used first
        self._total_bytes = 0
        self._were_wrong: set[Digest] = set()
        self._freed = asyncio.Event()  # replaced each time space becomes available

    @asynccontextmanager
    async def holding(self, blob: Descriptor, source: Store) -> AsyncIterator[Spool]:
        """Return the spool of a blob, complete or being filled; it stays open inside the context.

        The first caller has it filled from `source`. Waits while there is no space for another spool. If the content is
        wrong for the first time, the context ends early and without the error: do the work again with the next spool.
        What a destination received of such content is never complete.
        """
        while (spool := self._spools.get(blob.digest)) is None or spool.is_stale or spool.is_wrong:
            if spool is not None and spool.is_stale:
                self._drop(spool)  # it failed, and the caller that waited for it is gone: the download is repeated
            elif spool is None and self._make_space(blob.size):
                spool = Spool(blob, self._directory, is_second=blob.digest in self._were_wrong)
                self._spools[blob.digest], self._total_bytes = spool, self._total_bytes + blob.size
                self._owner.create_task(spool.fill(source, self._lend, self._wake))
                break
            else:
                await self._freed.wait()
        self._spools.move_to_end(blob.digest)
        spool.holders += 1
        try:
            yield spool
            spool.reads += 1
        except DigestMismatch:
            if not spool.is_wrong:
                raise
        finally:
            spool.holders -= 1
            if spool.is_stale:
                self._drop(spool)
            self._wake()

    def close(self) -> None:
        """Release everything."""
        for spool in list(self._spools.values()):
            self._drop(spool)

    def _make_space(self, size: int) -> bool:
        """Return whether `size` bytes fit, once unused spools are dropped."""
        while self._is_full(size):
            idle = next((spool for spool in self._spools.values() if not spool.in_use), None)
            if idle is None:
                return False
            self._drop(idle)
        return True

    def _is_full(self, size: int) -> bool:
        if self._total_bytes and self._total_bytes + size > self._limit_bytes:
            return True
        large = sum(not spool.is_small for spool in self._spools.values())
        return size > SMALL_BYTES and large >= self._limit_files

    def _lend(self, size: int) -> Loan | None:
        """Return memory for a spool, once those that every reader has read are dropped; None if that is not enough."""
        while (loan := self._arena.lend(size)) is None:
            read = (one for one in self._spools.values() if one.loan and not one.in_use and one.reads >= self._readers)
            if (first := next(read, None)) is None:
                return None
            self._drop(first)
        return loan

    def _drop(self, spool: Spool) -> None:
        if self._spools.get(spool.blob.digest) is spool:
            del self._spools[spool.blob.digest]
            if spool.is_wrong:
                self._were_wrong.add(spool.blob.digest)
                _log.warning("%s: the content was wrong, it is downloaded once more", spool.blob.digest)
            self._total_bytes -= spool.blob.size
            if spool.loan is not None:
                self._arena.take_back(spool.loan)
            spool.close()

    def _wake(self) -> None:
        self._freed.set()
        self._freed = asyncio.Event()


def _no_space(blob: Descriptor, error: OSError) -> BakeryError:
    about = f"{blob.digest} ({blob.size} bytes)"
    if limit_of_files(error):
        return BakeryError("cannot store blob", about=about, why=TOO_MANY_FILES, hint=RAISE_FILES)
    return BakeryError(
        "cannot store blob",
        about=about,
        why=f"the temporary directory: {error.strerror or error}",
        hint="free some space there, or set TMPDIR to a directory that has it",
    )


def _unlinked_file(directory: Path | None) -> int:
    import tempfile  # small images need no file

    descriptor, name = tempfile.mkstemp(prefix="bakery-spool-", dir=directory)
    Path(name).unlink()
    return descriptor
