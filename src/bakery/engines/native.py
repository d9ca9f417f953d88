"""The native engine: our own registry client and transfer, no other program. Implements publish.engine.Engine.

It joins rooms that do not know each other: a repository of the client becomes a Store of transfer.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from bakery.engines.owner import owning
from bakery.errors import BadDocument, NotFound
from bakery.extent import Keep, OpenBody
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import DigestReference, Repository, TagReference
from bakery.publish.image import Child, Image
from bakery.registry.client import Client
from bakery.registry.faults import ContentMissing
from bakery.tasks import together
from bakery.transfer.copy import Mover
from bakery.transfer.ledger import Ledger
from bakery.transfer.spool import DEFAULT_LIMIT_BYTES, SpoolRoom
from bakery.transfer.store import Store

if TYPE_CHECKING:
    from bakery.config.schema.options import SociOptions
    from bakery.engines.soci import Converter
    from bakery.soci.options import SociSettings

_log = logging.getLogger(__name__)

REPAIRS = 3  # rounds in which a registry may say that it lacks blobs which it acknowledged


class RepositoryStore(Struct, frozen=True):
    """A repository as transfer sees it. Equal when client and repository are."""

    client: Client
    repository: Repository

    @property
    def realm(self) -> str:
        return self.repository.registry

    async def has(self, blob: Descriptor, *, else_write: bool = False) -> bool:
        return await self.client.has_blob(self.repository, blob, else_push=else_write)

    def fetch(self, blob: Descriptor, keep: Keep) -> AsyncIterator[int]:
        return self.client.fetch_blob(self.repository, blob, keep, must_exist=True)

    async def write(self, blob: Descriptor, body: OpenBody) -> None:
        await self.client.push_blob(self.repository, blob, body)

    async def mount(self, blob: Descriptor, source: Store) -> bool:
        assert isinstance(source, RepositoryStore)
        return await self.client.mount_blob(self.repository, blob, source.repository)


class NativeEngine:
    """Publishes by itself. Enter it once a run; it enters the client too.

    spool_limit_bytes bounds what lies between sources and destinations at one time; spool_directory None means the
    system's temporary directory. soci: what all conversions of the run have in common. towards: where the run will
    publish; what takes long there (connecting, logging in) begins at once.
    """

    def __init__(
        self,
        client: Client,
        *,
        soci: SociSettings | None = None,
        towards: Iterable[Repository] = (),
        spool_limit_bytes: int = DEFAULT_LIMIT_BYTES,
        spool_directory: Path | None = None,
    ) -> None:
        self._client, self._soci, self._towards = client, soci, tuple(towards)
        self._spool_limit, self._spool_directory = spool_limit_bytes, spool_directory
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._exits.enter_async_context(self._client)
        owner = await self._exits.enter_async_context(owning())
        spools = SpoolRoom(owner, limit_bytes=self._spool_limit, directory=self._spool_directory)
        self._exits.callback(spools.close)
        self._owner, self._mover = owner, Mover(owner, spools)
        self._manifests: Ledger[bool] = Ledger(owner)
        self._tag_names: Ledger[frozenset[str] | None] = Ledger(owner)
        self._tagged: set[TagReference] = set()  # by this run: newer than the names
        for repository in self._towards:  # connections and logins are ready when the sources have been read
            owner.create_task(self._names_of(repository))
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._exits.aclose()

    async def find(self, reference: DigestReference) -> RawManifest | None:
        try:
            descriptor, raw = await self._client.get_manifest(reference)
        except NotFound:
            return None
        return RawManifest(descriptor, raw)

    async def read_manifest(self, repository: Repository, descriptor: Descriptor) -> bytes:
        _, raw = await self._client.get_manifest(repository.with_digest(descriptor.digest), must_exist=True)
        return descriptor.check(raw, about=repository.with_digest(descriptor.digest))

    async def read_blob(self, repository: Repository, descriptor: Descriptor, *, limit_bytes: int) -> bytes:
        if descriptor.size > limit_bytes:
            raise BadDocument(
                "reading a blob",
                about=repository.with_digest(descriptor.digest),
                why=f"{descriptor.size} bytes, more than the {limit_bytes} allowed",
            )
        if descriptor.data is not None:
            return descriptor.data
        async with self._mover.holding(descriptor, self._store(repository)) as spool:
            return b"".join([chunk async for chunk in spool.chunks()])

    async def convert(self, image: Image, options: SociOptions, *, towards: Sequence[Repository]) -> Image:
        for blob, origin in image.blobs:  # conversion changes no layer: uploads need not wait for it
            for repository in towards if blob.media_type not in mt.NONDISTRIBUTABLE else ():
                self._owner.create_task(self._bring_early(blob, origin, repository))
        return await self._converter.convert(image, options)

    @cached_property
    def _converter(self) -> Converter:
        # Imported here, because most runs convert nothing.
        from bakery.engines.soci import Converter
        from bakery.soci.options import SociSettings

        return Converter(self._owner, self._mover, self._store, self._soci or SociSettings())

    async def stage(self, image: Image, repository: Repository) -> None:
        store = self._store(repository)
        written = await together(self._stage_once(image, child, store) for child in image.children)
        fresh = [child.descriptor.digest for child, new in zip(image.children, written, strict=True) if new]
        # Where a child was missing the index cannot be sound: no need to look for it.
        if fresh or not await self._has_manifest(repository.with_digest(image.digest)):
            await self._put_index(image, repository)
            fresh.append(image.digest)
        # The one barrier before any tag: what was just written is read back, all at once.
        await together(self._client.await_manifest(repository.with_digest(digest)) for digest in fresh)

    async def read_tags(self, repository: Repository, tags: Sequence[str]) -> Mapping[str, Digest | None]:
        names = await self._names_of(repository)
        # One listing for all targets of a repository instead of a look for each tag: most are new.
        references = [repository.with_tag(tag) for tag in tags]
        listed = [one for one in references if names is None or one.tag in names or one in self._tagged]
        found = await together(self._client.head_manifest(reference) for reference in listed)
        digests = {asked.tag: one.digest for asked, one in zip(listed, found, strict=True) if one is not None}
        return {tag: digests.get(tag) for tag in tags}

    async def _names_of(self, repository: Repository) -> frozenset[str] | None:
        return await self._tag_names.once(repository, lambda: self._client.tag_names(repository))

    async def tag(self, image: Image, reference: TagReference, *, previous: Digest | None) -> None:
        _log.debug("%s: %s -> %s", reference, previous, image.digest)
        self._tagged.add(reference)
        await self._client.put_manifest(reference, image.index.descriptor, image.index.raw)

    async def verify_tag(self, image: Image, reference: TagReference, *, previous: Digest | None) -> None:
        await self._client.await_tag(reference, image.digest, previous=previous)

    async def remove_tag(self, reference: TagReference) -> bool:
        return await self._client.delete_manifest(reference)

    def _store(self, repository: Repository) -> RepositoryStore:
        return RepositoryStore(self._client, repository)

    async def _stage_once(self, image: Image, child: Child, store: RepositoryStore) -> bool:
        key = (store, child.descriptor.digest)
        return await self._manifests.once(key, lambda: self._stage_child(image, child, store))

    async def _stage_child(self, image: Image, child: Child, store: RepositoryStore) -> bool:
        """A child manifest with its blobs; whether anything had to be written."""
        reference = store.repository.with_digest(child.descriptor.digest)
        # A blob that was missing says that the manifest cannot be there in good order: no need to look for it.
        brought = await self._bring_blobs(image, child, store)
        if not brought and await self._has_manifest(reference):
            return False
        for round_ in range(REPAIRS):
            try:
                await self._put(child.content, store.repository)
                break
            except ContentMissing as error:
                if round_ == REPAIRS - 1:
                    raise
                for digest in error.digests:
                    self._mover.doubt(digest, store)
                await self._bring_blobs(image, child, store)
        return True

    async def _bring_blobs(self, image: Image, child: Child, store: RepositoryStore) -> bool:
        origin = self._store(child.origin)
        # The config goes first. It is the child's own, so where it is absent no earlier run got further with this
        # child, not even one that was killed: its layers are then as good as known to be absent.
        config = child.manifest.config
        fresh = await self._bring(config, image, origin, store)
        layers = {blob.digest: blob for blob in child.manifest.layers if blob.digest != config.digest}.values()
        brought = await together(self._bring(blob, image, origin, store, unlikely=fresh) for blob in layers)
        return fresh or any(brought)

    async def _bring(self, blob: Descriptor, image: Image, origin: Store, to: Store, *, unlikely: bool = False) -> bool:
        if blob.media_type in mt.NONDISTRIBUTABLE and not await origin.has(blob):
            return False  # whoever pulls it gets it by its URLs, and nobody had to put it into a registry
        if blob.digest in image.made:
            return await self._mover.bring_made(blob, image.made[blob.digest], to)
        return await self._mover.bring(blob, origin, to, unlikely=unlikely)

    async def _bring_early(self, blob: Descriptor, origin: Repository, repository: Repository) -> None:
        try:
            await self._mover.bring(blob, self._store(origin), self._store(repository))
        except Exception as error:  # noqa: BLE001  # raised here it would end the run
            _log.debug("left for the staging, which asks again and tells: %s", error)

    async def _put_index(self, image: Image, repository: Repository) -> None:
        for round_ in range(REPAIRS):
            try:
                await self._put(image.index, repository)
                return
            except ContentMissing as error:
                lost = [child for child in image.children if child.descriptor.digest in error.digests]
                if round_ == REPAIRS - 1 or not lost:
                    raise
                await together(self._put(child.content, repository) for child in lost)

    async def _has_manifest(self, reference: DigestReference) -> bool:
        return await self._client.head_manifest(reference) is not None

    async def _put(self, content: RawManifest, repository: Repository) -> None:
        reference = repository.with_digest(content.descriptor.digest)
        await self._client.put_manifest(reference, content.descriptor, content.raw)
