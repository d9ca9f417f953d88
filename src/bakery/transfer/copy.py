"""Bring blobs where they are needed: look, mount, or send, each blob once a registry and read once from its source."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Final

from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.transfer.ledger import Ledger
from bakery.transfer.spool import Spool, SpoolRoom
from bakery.transfer.store import Store

UNSEEN_BYTES: Final = 16 * 1024  # what is no larger is sent in about the time that a look at it takes


class Mover:
    """Brings blobs to stores. One a run; `owner` runs the work, so that no target's end takes it from another."""

    def __init__(self, owner: asyncio.TaskGroup, spools: SpoolRoom) -> None:
        self._spools = spools
        self._arrivals: Ledger[bool] = Ledger(owner)
        self._uploads: Ledger[Store] = Ledger(owner)

    async def bring(self, blob: Descriptor, origin: Store, to: Store, *, unlikely: bool = False) -> bool:
        """Make the blob readable at `to`. False where a look found it there, True where more was done than look.

        unlikely: it is as good as known to be absent, so a look must cost less than it may save.
        """
        return await self._arrivals.once((to, blob.digest), lambda: self._bring(blob, origin, to, unlikely=unlikely))

    async def bring_made(self, blob: Descriptor, content: bytes, to: Store) -> bool:
        """The same for content that we made and hold in memory."""
        return await self._arrivals.once((to, blob.digest), lambda: self._bring_made(blob, content, to))

    def doubt(self, digest: Digest, at: Store) -> None:
        """Forget that this blob is there: the registry says that it is not."""
        self._arrivals.forget((at, digest))
        self._uploads.forget((at.realm, digest))

    def holding(self, blob: Descriptor, origin: Store) -> AbstractAsyncContextManager[Spool]:
        """The blob's content for a reader of another kind; it shares the one download with every upload."""
        return self._spools.holding(blob, origin)

    async def _bring(self, blob: Descriptor, origin: Store, to: Store, *, unlikely: bool) -> bool:
        if origin == to:
            return False
        key = (to.realm, blob.digest)
        mountable = origin.realm == to.realm or key in self._uploads
        unseen = unlikely and (blob.size <= UNSEEN_BYTES or not mountable)
        if not unseen and await to.has(blob):
            return False
        if origin.realm == to.realm and await to.mount(blob, origin):
            return True
        where = await self._uploads.once(key, lambda: self._upload(blob, origin, to, unseen=unseen))
        if where != to and not await to.mount(blob, where):
            await self._upload(blob, origin, to)
        return True

    async def _upload(self, blob: Descriptor, origin: Store, to: Store, *, unseen: bool = False) -> Store:
        # Where nothing can be mounted the blob is there or must be sent, so one question may look and begin.
        if unseen and blob.size > UNSEEN_BYTES and await to.has(blob, else_write=True):
            return to
        async with self._spools.holding(blob, origin) as spool:
            await to.write(blob, spool.read)
        return to

    async def _bring_made(self, blob: Descriptor, content: bytes, to: Store) -> bool:
        if await to.has(blob):
            return False

        async def body() -> AsyncIterator[bytes]:
            yield content

        await to.write(blob, body)
        return True
