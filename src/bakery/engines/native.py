"""The native engine: our own registry client and transfer, no other program. Implements publish.engine.Engine.

It joins two rooms that do not know each other: a repository of the client is a Store of transfer.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from bakery.defaults import SPOOL_BYTES, SPOOL_FILES
from bakery.engines.layouts import Layouts, LayoutStore
from bakery.errors import BadDocument, NotFound, RegistryError
from bakery.events import Emit, RequestsSaved, ignore
from bakery.ledger import Ledger, owning
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import (
    DigestReference,
    LayoutPath,
    LayoutReference,
    Repository,
    SourcePlace,
    SourceReference,
    TagReference,
)
from bakery.publish.engine import TagChanged
from bakery.publish.image import AssembledImage, Child, Lacking, deleted
from bakery.registry.blobs import READ_BLOB
from bakery.registry.client import Client
from bakery.registry.failure import ConditionFailed, ContentMissing
from bakery.tasks import together
from bakery.transfer.copy import Mover
from bakery.transfer.spool import Spools
from bakery.transfer.store import Store

if TYPE_CHECKING:
    from bakery.config.schema.options import SociOptions
    from bakery.engines.soci import Converter
    from bakery.soci.options import SociSettings

_log = logging.getLogger(__name__)

CONNECTIONS_AHEAD: Final = 6  # a repository: as many as browsers open to a host
ATTEMPTS: Final = 3  # to put a manifest of which the registry says that it lacks content that it acknowledged


class NativeEngine:
    """Publishes without other programs. Enter it once per run; it enters the client too.

    spool_limit_bytes, spool_limit_files: the maximum content in transit at one time. spool_directory: None is the
    system's temporary directory. soci: the settings that all conversions share. sources and towards: what the run will
    read from and publish to; connecting starts there at once, and logging in to where it publishes.
    """

    def __init__(
        self,
        client: Client,
        *,
        soci: SociSettings | None = None,
        sources: Iterable[Repository] = (),
        towards: Iterable[Repository] = (),
        spool_limit_bytes: int = SPOOL_BYTES,
        spool_limit_files: int = SPOOL_FILES,
        spool_directory: Path | None = None,
        emit: Emit = ignore,
    ) -> None:
        self._client, self._soci, self._towards = client, soci, tuple(towards)
        self._sources = tuple(sources)
        self._spool_limits, self._spool_directory = (spool_limit_bytes, spool_limit_files), spool_directory
        self._exits, self._emit = AsyncExitStack(), emit

    async def __aenter__(self) -> Self:
        await self._exits.enter_async_context(self._client)
        self._exits.callback(lambda: self._spools.close())  # after the owner has ended the tasks that write to them
        self._layouts = self._exits.enter_context(Layouts())
        owner = self._owner = await self._exits.enter_async_context(owning())
        limit_bytes, limit_files = self._spool_limits
        self._spools = Spools(
            owner,
            limit_bytes=limit_bytes,
            limit_files=limit_files,
            directory=self._spool_directory,
            readers=len({repository.registry for repository in self._towards}),
        )
        self._mover = Mover(owner, self._spools)
        self._manifests: Ledger[bool] = Ledger(owner)  # by DigestReference: whether it was written
        self._existing: Ledger[bool] = Ledger(owner)
        self._restored: Ledger[RawManifest] = Ledger(owner)  # by DigestReference: what tags are set back to
        self._tagged: set[TagReference] = set()  # moved by this run, after the listing
        # Connections and logins are ready once the builds have been read.
        for repository in self._towards:
            owner.create_task(_early(partial(self._exists, repository)))
        if places := {*self._sources, *self._towards}:
            owner.create_task(_early(partial(self._client.open_ahead, places, each=CONNECTIONS_AHEAD)))
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._exits.aclose()
        self._emit(RequestsSaved(self._mover.saved + self._manifests.saved))

    @property
    def client(self) -> Client:
        """The client that the engine works with."""
        return self._client

    async def find(self, reference: SourceReference) -> RawManifest | None:
        if isinstance(reference, LayoutReference):
            return await self._layouts.root(reference)
        try:
            return await self._client.manifests.get(reference)
        except NotFound:
            return None

    async def read_manifest(self, origin: SourcePlace, descriptor: Descriptor) -> bytes:
        if isinstance(origin, LayoutPath):
            return await self._layouts.document(origin, descriptor)
        reference = origin.with_digest(descriptor.digest)
        found = await self._client.manifests.get(reference, must_exist=True)
        return descriptor.check(found.raw, about=reference)

    async def read_blob(self, origin: SourcePlace, descriptor: Descriptor, *, limit_bytes: int) -> bytes:
        if descriptor.size > limit_bytes:
            raise BadDocument(
                "cannot read blob",
                about=origin.with_digest(descriptor.digest),
                why=f"it has {descriptor.size} bytes, more than the {limit_bytes} allowed",
            )
        if descriptor.data is not None:
            return descriptor.data
        while True:  # once more if the content was wrong
            async with self._spools.holding(descriptor, self._store(origin)) as spool:
                return b"".join([chunk async for chunk in spool.chunks()])

    async def convert(
        self, image: AssembledImage, options: SociOptions, *, towards: Sequence[Repository]
    ) -> AssembledImage:
        for blob, origin in image.blobs:  # conversion changes no layer, so uploads need not wait for it
            for repository in towards:
                to = self._client.blobs(repository)
                bringing = partial(self._mover.bring, blob, self._store(origin), to)
                self._owner.create_task(_early(bringing))
        return await self._converter.convert(image, options)

    @cached_property
    def _converter(self) -> Converter:
        # Imported here, because most runs convert nothing.
        from bakery.engines.soci import Converter
        from bakery.soci.options import SociSettings

        return Converter(self._owner, self._spools, self._store, self._soci or SociSettings())

    async def stage(self, image: AssembledImage, repository: Repository) -> bool:
        await self._exists(repository)  # a missing login is reported before anything is sent
        to, index = self._client.blobs(repository), repository.with_digest(image.digest)
        children = [repository.with_digest(child.descriptor.digest) for child in image.children]
        written = await together(
            self._manifests.once(reference, partial(self._stage_child, image, child, to, reference))
            for child, reference in zip(image.children, children, strict=True)
        )
        fresh = [reference for reference, new in zip(children, written, strict=True) if new]
        if image.is_single:
            pass  # its manifest is the only child
        # If a child was missing, the index cannot be there in good order: it is not checked for.
        elif fresh or not await self._has_manifest(index):
            for inner in image.nested:
                await self._client.manifests.put(repository.with_digest(inner.descriptor.digest), inner)
                fresh.append(repository.with_digest(inner.descriptor.digest))
            await self._put_index(image, repository)
            fresh.append(index)
        # The one barrier before any tag: whatever was just written is read back, all at once.
        await together(self._client.manifests.await_manifest(reference) for reference in fresh)
        return bool(fresh)

    async def lacks(self, image: AssembledImage, repository: Repository) -> Lacking:
        blobs = tuple(blob for blob, _ in image.blobs)
        references = [repository.with_digest(child.descriptor.digest) for child in image.children]
        references += [] if image.is_single else [repository.with_digest(image.digest)]
        if not await self._exists(repository):
            return Lacking(blobs, len(references))
        if await self._has_manifest(repository.with_digest(image.digest)):
            return Lacking()
        to = self._client.blobs(repository)
        there = await together(to.has(blob) for blob in blobs)
        known = await together(self._has_manifest(reference) for reference in references)
        lacking = tuple(blob for blob, found in zip(blobs, there, strict=True) if not found)
        return Lacking(lacking, known.count(False))

    async def read_tags(self, repository: Repository, tags: Sequence[str]) -> Mapping[str, Digest | None]:
        # A new repository has no tags. In any other, each tag is looked for: lists are cached, or cut without a Link.
        if not await self._exists(repository) and not any(one.repository == repository for one in self._tagged):
            return dict.fromkeys(tags)
        found = await together(self._client.manifests.head(repository.with_tag(tag)) for tag in tags)
        return {tag: one.digest if one is not None else None for tag, one in zip(tags, found, strict=True)}

    async def _exists(self, repository: Repository) -> bool:
        return await self._existing.once(repository, lambda: self._client.listings.has_repository(repository))

    async def tag(
        self, image: AssembledImage, reference: TagReference, *, previous: Digest | None, unmoved: bool = False
    ) -> None:
        _log.debug("%s: %s -> %s", reference, previous, image.digest)
        self._tagged.add(reference)
        try:
            await self._client.manifests.put(reference, image.index, replacing=previous if unmoved else None)
        except ConditionFailed as error:
            raise TagChanged(error.what, about=error.about, why=error.why) from error

    async def list_tags(self, repository: Repository) -> frozenset[str] | None:
        try:
            return frozenset(await self._client.listings.tags(repository))
        except NotFound:
            return frozenset()
        except RegistryError as error:
            _log.debug("%s", error)
            return None

    async def read_tag(self, reference: TagReference) -> Digest | None:
        found = await self._client.manifests.head(reference)
        return found.digest if found is not None else None

    async def verify_tag(self, reference: TagReference, digest: Digest, *, previous: Digest | None) -> None:
        await self._client.manifests.await_tag(reference, digest, previous=previous)

    async def set_tag(self, reference: TagReference, digest: Digest) -> None:
        self._tagged.add(reference)
        place = reference.repository.with_digest(digest)
        manifest = await self._restored.once(place, lambda: self._client.manifests.get(place))
        await self._client.manifests.put(reference, manifest)

    async def remove_tag(self, reference: TagReference) -> bool:
        return await self._client.manifests.delete(reference)

    def extend(self, seconds: float) -> None:
        self._client.extend(seconds)

    def _store(self, place: SourcePlace) -> Store:
        if isinstance(place, LayoutPath):
            return LayoutStore(self._layouts, place)
        return self._client.blobs(place)

    async def _stage_child(self, image: AssembledImage, child: Child, to: Store, reference: DigestReference) -> bool:
        """Stage a child manifest and its blobs. Return whether anything had to be written."""
        manifest, origin = child.manifest, self._store(child.origin)

        def bring(blob: Descriptor, *, unlikely: bool = False) -> Coroutine[Any, Any, bool]:
            return self._mover.bring(blob, origin, to, content=image.made.get(blob.digest), unlikely=unlikely)

        layers = {blob.digest: blob for blob in manifest.layers if blob.digest != manifest.config.digest}.values()
        for attempt in range(1, ATTEMPTS + 1):
            # The config goes first. No other child has it, so if it is absent, no earlier run got further with this
            # child, not even one that was killed: its layers are almost certainly absent too.
            try:
                fresh = await bring(manifest.config)
                brought = await together(bring(blob, unlikely=fresh) for blob in layers)
            except NotFound as error:
                if error.what != READ_BLOB:
                    raise
                platform = f" for {child.descriptor.platform}" if child.descriptor.platform is not None else ""
                where = child.origin.with_digest(child.descriptor.digest)
                raise deleted(error, f"the manifest {where}{platform}") from error
            # If a blob was missing, the manifest cannot be there in good order: it is not checked for.
            if attempt == 1 and not fresh and not any(brought) and await self._has_manifest(reference):
                return False
            try:
                await self._client.manifests.put(reference, child.content)
                break
            except ContentMissing as error:
                if attempt == ATTEMPTS:
                    raise
                for digest in error.digests:
                    self._mover.doubt(digest, to)
        return True

    async def _put_index(self, image: AssembledImage, repository: Repository) -> None:
        manifests = self._client.manifests
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await manifests.put(repository.with_digest(image.digest), image.index)
                return
            except ContentMissing as error:
                lost = [child for child in image.children if child.descriptor.digest in error.digests]
                if attempt == ATTEMPTS or not lost:
                    raise
                await together(
                    manifests.put(repository.with_digest(child.descriptor.digest), child.content) for child in lost
                )

    async def _has_manifest(self, reference: DigestReference) -> bool:
        return await self._client.manifests.head(reference) is not None


async def _early(work: Callable[[], Awaitable[object]]) -> None:
    """Do work that nothing waits for yet. A failure is dropped: raised here, it would end the run for everyone.

    Whatever needs the result later does the work again, and reports what happens then.
    """
    try:
        await work()
    except Exception as error:  # noqa: BLE001  # see above
        _log.debug("work ahead of time failed, and is left to the step that needs it: %s", error)
