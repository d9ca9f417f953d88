"""Copies blobs between stores: check, mount or send; each blob once per registry, and read once from its source."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Final

from bakery.ledger import Ledger
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.media_type import NONDISTRIBUTABLE
from bakery.transfer.spool import Spools
from bakery.transfer.store import Store

UNCHECKED_BYTES: Final = 16 * 1024  # sending no more than this takes about as long as checking for it


class Mover:
    """Brings blobs to stores. One per run; `owner` runs the work, so that the end of one target cancels no other's."""

    def __init__(self, owner: asyncio.TaskGroup, spools: Spools) -> None:
        self._spools = spools
        self._arrivals: Ledger[bool] = Ledger(owner)
        self._uploads: Ledger[Store] = Ledger(owner)
        self._doubted: set[tuple[Store, Digest]] = set()
        self._unreadable: set[tuple[Store, Digest]] = set()  # an upload failed because its source did

    def bring(
        self, blob: Descriptor, origin: Store, to: Store, *, content: bytes | None = None, unlikely: bool = False
    ) -> Coroutine[Any, Any, bool]:
        """Make a blob readable at `to`. Return False if it was there already, True if it was mounted or sent.

        content: of a blob that this run made and that is nowhere else. unlikely: it is almost certainly not there, so a
        check must cost less than it may save. A layer that must not be distributed is left out if `origin` lacks it:
        clients get it from its URLs.
        """
        return self._arrivals.once((to, blob.digest), lambda: self._bring(blob, origin, to, content, unlikely))

    @property
    def saved(self) -> int:
        """How often a blob was wanted at a store that was asked or sent it for another target."""
        return self._arrivals.saved

    def doubt(self, digest: Digest, at: Store) -> None:
        """Forget that a blob is there, because the registry says that it is not. From now on, only an upload counts."""
        self._doubted.add((at, digest))
        self._arrivals.forget((at, digest))
        self._uploads.forget((at.realm, digest))

    async def _bring(self, blob: Descriptor, origin: Store, to: Store, content: bytes | None, unlikely: bool) -> bool:
        if content is not None:
            return await self._bring_made(blob, content, to)
        if origin == to or (blob.media_type in NONDISTRIBUTABLE and not await origin.has(blob)):
            return False
        if (to, blob.digest) in self._doubted:
            await self._upload(blob, origin, to)
            return True
        key = (to.realm, blob.digest)
        mountable = origin.realm == to.realm or key in self._uploads
        unchecked = unlikely and (blob.size <= UNCHECKED_BYTES or not mountable)
        if not unchecked and await to.has(blob):
            return False
        if origin.realm == to.realm and await to.mount(blob, origin):
            return True
        where = await self._upload_once(blob, origin, to, unchecked=unchecked)
        if where != to and not await to.mount(blob, where):
            await self._upload(blob, origin, to)
        return True

    async def _upload_once(self, blob: Descriptor, origin: Store, to: Store, *, unchecked: bool) -> Store:
        """Upload a blob unless its registry gets it at another repository already; return where it was uploaded.

        If another repository refuses it, this one may still take it: only a source that fails, fails for all.
        """
        while True:
            is_own = False

            async def upload() -> Store:
                nonlocal is_own
                is_own = True
                return await self._upload(blob, origin, to, unchecked=unchecked)

            try:
                return await self._uploads.once((to.realm, blob.digest), upload)
            except Exception:
                if is_own or (origin, blob.digest) in self._unreadable:
                    raise

    async def _upload(self, blob: Descriptor, origin: Store, to: Store, *, unchecked: bool = False) -> Store:
        # If nothing can be mounted, the blob is there or must be sent: one request can check and begin the upload.
        if unchecked and blob.size > UNCHECKED_BYTES and await to.has(blob, else_write=True):
            return to
        while True:  # once more if the content was wrong
            async with self._spools.holding(blob, origin) as spool:
                try:
                    await to.write(blob, spool.read)
                except Exception:
                    if spool.is_broken and not spool.is_wrong:
                        self._unreadable.add((origin, blob.digest))
                    raise
                return to

    async def _bring_made(self, blob: Descriptor, content: bytes, to: Store) -> bool:
        if await to.has(blob):
            return False

        async def body() -> AsyncIterator[bytes]:
            yield content

        await to.write(blob, body)
        return True
