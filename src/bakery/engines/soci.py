"""SOCI in the native engine: layers are indexed while they are in transit anyway.

The indexer is one more reader of a layer's spool: the layer is downloaded once for the index and for every upload.
Layers that images or targets share are indexed once per run. The soci room alone decides what the bytes are.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from bakery.engines.soci_settings import settings_for
from bakery.errors import BakeryError
from bakery.extent import Piece
from bakery.ledger import Ledger
from bakery.oci import manifest as views
from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.oci.manifest import Index, Manifest, RawManifest
from bakery.oci.reference import SourcePlace
from bakery.publish.image import AssembledImage, Child
from bakery.soci.convert import Converted, convert
from bakery.soci.failure import LayerUnsupported
from bakery.soci.index import LayerIndex, LayerIndexer
from bakery.soci.options import SociSettings
from bakery.soci.plan import LayerWork, plan_conversion
from bakery.tasks import in_thread, together
from bakery.transfer.spool import Spools
from bakery.transfer.store import Store

if TYPE_CHECKING:
    from bakery.config.schema.options import SociOptions

_BUFFER_BYTES: Final = 512 * 1024  # of a layer, read from the file, inflated and hashed at a time


class Converter:
    """Converts the images of one run. owner: runs the indexing. store_of: returns a place as a Store."""

    def __init__(
        self, owner: asyncio.TaskGroup, spools: Spools, store_of: Callable[[SourcePlace], Store], settings: SociSettings
    ) -> None:
        self._spools, self._store_of, self._settings = spools, store_of, settings
        self._indexes: Ledger[LayerIndex] = Ledger(owner)
        self._processors: asyncio.Queue[memoryview] = asyncio.Queue()  # idle ones, each with its buffer
        for _ in range(os.cpu_count() or 1):
            self._processors.put_nowait(memoryview(bytearray(_BUFFER_BYTES)))

    async def convert(self, image: AssembledImage, options: SociOptions) -> AssembledImage:
        """Return the image with SOCI indexes; the same image with a note if nothing can be indexed.

        Raises the error of a layer that cannot be indexed, except that a layer no ztoc can describe gets none.
        """
        settings = settings_for(options, self._settings)
        documents = {child.descriptor.digest: child.content.raw for child in image.children}
        plan = plan_conversion(image.index.descriptor, documents | {image.digest: image.index.raw}, settings)
        origins = {blob.digest: child.origin for child in image.children for blob in child.manifest.blobs}
        found = await together(self._index(work, settings, origins[work.descriptor.digest]) for work in plan.layers)
        results = {work.descriptor.digest: result for work, result in zip(plan.layers, found, strict=True)}
        return _image(image, convert(plan, results), origins)

    async def _index(self, work: LayerWork, settings: SociSettings, origin: SourcePlace) -> LayerIndex | BakeryError:
        key = (work.descriptor.digest, work.compression, settings.span_size)
        try:
            return await self._indexes.once(key, lambda: self._index_now(work, settings, origin))
        except LayerUnsupported as error:
            return error

    async def _index_now(self, work: LayerWork, settings: SociSettings, origin: SourcePlace) -> LayerIndex:
        blob = work.descriptor
        about = f"layer {origin.with_digest(blob.digest)}"
        if blob.media_type in mt.NONDISTRIBUTABLE and not await self._store_of(origin).has(blob):
            raise LayerUnsupported(
                "cannot index", about=about, why="it is in no registry; clients fetch it from its URLs"
            )
        while True:  # once more if the content was wrong
            indexer = LayerIndexer(work.compression, settings, about=about, size=blob.size)
            async with self._spools.holding(blob, self._store_of(origin)) as spool:
                async for piece in spool.read():
                    buffer = await self._processors.get()
                    try:
                        await in_thread(partial(_feed, indexer, piece, buffer), stop=indexer.stop)
                    except BakeryError:
                        await spool.verified()  # it may not be the layer
                        raise
                    finally:
                        self._processors.put_nowait(buffer)
                return await in_thread(indexer.finish, stop=indexer.stop)


def _feed(indexer: LayerIndexer, piece: Piece, buffer: memoryview) -> None:
    """Index what has arrived of a layer, in one thread: switching threads for each MiB costs more."""
    if isinstance(piece, bytes):
        indexer.feed(piece)
    elif isinstance(piece, memoryview):
        for at in range(0, len(piece), len(buffer)):
            indexer.feed(piece[at : at + len(buffer)])
    else:
        for part in piece.pieces(len(buffer)):
            indexer.feed(part.read_into(buffer))


def _image(before: AssembledImage, converted: Converted, origins: Mapping[Digest, SourcePlace]) -> AssembledImage:
    """Return the converted image for publishing: every child with its bytes and the repository of its blobs."""
    notes = (*before.notes, *converted.notes)
    if not converted.changed:
        return replace(before, notes=notes)
    raw = {child.descriptor.digest: child.content.raw for child in before.children}
    raw |= {made.descriptor.digest: made.raw for made in (*converted.manifests, *converted.soci_indexes)}
    index = views.parse(converted.root.raw, about=converted.root.descriptor.digest)
    assert isinstance(index, Index)
    fallback = before.children[0].origin
    children = []
    for entry in index.manifests:
        manifest = views.parse(raw[entry.digest], media_type=entry.media_type, about=entry.digest)
        assert isinstance(manifest, Manifest)
        children.append(Child(RawManifest(entry, raw[entry.digest]), manifest, _origin(manifest, origins, fallback)))
    made = {blob.descriptor.digest: blob.raw for blob in converted.blobs}
    return AssembledImage(converted.root, tuple(children), made, notes)


def _origin(manifest: Manifest, origins: Mapping[Digest, SourcePlace], fallback: SourcePlace) -> SourcePlace:
    """Return the repository of a manifest's blobs: that of the image it was made from."""
    return next((origins[blob.digest] for blob in manifest.blobs if blob.digest in origins), fallback)
