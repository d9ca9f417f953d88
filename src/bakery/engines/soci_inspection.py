"""Inspect and verify the SOCI indexes of single images, in a layout or in a registry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct, field

from bakery.errors import BadDocument, InvalidContent, NotFound
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.reference import Reference
from bakery.soci import inspect as soci_inspect
from bakery.soci.inspect import IndexedLayer, SociImage
from bakery.soci.options import GIB, Limits
from bakery.soci.verify import LayerVerifier, WrongIndex
from bakery.soci.ztoc import Ztoc
from bakery.transfer.layout import Layout

if TYPE_CHECKING:
    from bakery.registry.client import Client

_MAX_ZTOC_BYTES: Final = 2 * GIB


class ImageSource(Protocol):
    """Where an image is read from. All content is verified against its descriptor."""

    async def root(self) -> Descriptor:
        """Return the image: an index or a manifest."""
        ...

    async def document(self, descriptor: Descriptor) -> bytes | None:
        """Return a manifest or index; None if it is missing."""
        ...

    def read(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
        """Yield a blob in chunks."""
        ...


class LayoutSource:
    """An image in a layout."""

    def __init__(self, layout: Layout, select: str = "") -> None:
        self._layout, self._select = layout, select

    async def root(self) -> Descriptor:
        return self._layout.root(self._select)

    async def document(self, descriptor: Descriptor) -> bytes | None:
        return self._layout.document(descriptor)

    async def read(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
        """Yield a blob in chunks, read in threads. A damaged layer comes whole: verifying shows where it is wrong."""
        chunks = self._layout.read(descriptor, withhold=False)
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk


class RegistrySource:
    """An image in a registry."""

    def __init__(self, client: Client, reference: Reference) -> None:
        self._client, self._reference = client, reference

    async def root(self) -> Descriptor:
        return (await self._client.manifests.get(self._reference)).descriptor

    async def document(self, descriptor: Descriptor) -> bytes | None:
        reference = self._reference.repository.with_digest(descriptor.digest)
        try:
            return (await self._client.manifests.get(reference, expected=descriptor)).raw
        except NotFound:
            return None

    async def read(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
        blobs = self._client.blobs(self._reference.repository)
        async with aclosing(blobs.read(descriptor, must_exist=False)) as chunks:
            async for chunk in chunks:
                yield chunk


class VerifiedLayer(Struct, frozen=True):
    """The result for one layer of one image. error: "" if the layer is right."""

    platform: str
    layer: Digest
    spans: int = 0
    files: int = 0
    error: str = ""


class Verification(Struct):
    """The result for an image."""

    root: Descriptor
    images: int = 0
    layers: list[VerifiedLayer] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)  # not of a single layer

    @property
    def right(self) -> bool:
        """Whether there was something to verify, and nothing was wrong."""
        return self.images > 0 and not self.errors and not any(layer.error for layer in self.layers)


async def inspect_image(source: ImageSource) -> dict[str, Any]:
    """Return what the SOCI indexes of an image contain, as plain values: spans, files and sizes of every layer."""
    root, images = await _soci_images(source)
    described = []
    for image in images:
        ztocs, prefetch = {}, {}
        for layer in image.layers:
            if layer.ztoc is not None:
                ztocs[layer.ztoc.digest] = await _whole(source, layer.ztoc)
            if layer.prefetch is not None:
                prefetch[layer.prefetch.digest] = await _prefetch(source, layer.prefetch)
        described.append(soci_inspect.describe(image, ztocs, prefetch))
    return {"digest": str(root.digest), "media_type": root.media_type, "soci_indexes": described}


async def verify_image(
    source: ImageSource,
    *,
    limits: Limits | None = None,
    on_layer: Callable[[VerifiedLayer], None] = lambda _layer: None,
) -> Verification:
    """Check every ztoc of an image against its layer, each layer once. Wrong content is reported in the result.

    on_layer: called with the result of each layer as soon as it is known. Raises if the image cannot be read at all.
    """
    root, images = await _soci_images(source)
    found = Verification(root, len(images))
    done: dict[tuple[Digest, Digest], VerifiedLayer] = {}
    for image in images:
        found.errors += image.wrong_links
        for indexed in image.layers:
            if indexed.ztoc is None:
                continue
            key = indexed.layer.digest, indexed.ztoc.digest
            if key not in done:
                done[key] = await _verified(source, image, indexed, limits)
                found.layers.append(done[key])
                on_layer(done[key])
    return found


async def _verified(
    source: ImageSource, image: SociImage, indexed: IndexedLayer, limits: Limits | None
) -> VerifiedLayer:
    if indexed.ztoc is None:
        raise ValueError("only layers with a ztoc are verified")
    about = f"ztoc {indexed.ztoc.digest} of layer {indexed.layer.digest}"
    try:
        content = await _whole(source, indexed.ztoc)
        ztoc = Ztoc(content, about=about)
        spans = await _prefetch(source, indexed.prefetch) if indexed.prefetch else ()
        soci_inspect.check_links(indexed, ztoc, spans)
        verifier = LayerVerifier(content, about=about, size=indexed.layer.size, limits=limits)
        try:
            async for chunk in source.read(indexed.layer):
                await asyncio.to_thread(verifier.feed, chunk)
            await asyncio.to_thread(verifier.finish)
        finally:
            verifier.stop()
        if soci_inspect.claims_no_xattrs(indexed.ztoc) and verifier.has_xattrs:
            raise WrongIndex("wrong", about=about, why="it claims that no file has extended attributes, but one has")
    except InvalidContent as error:
        return VerifiedLayer(image.platform, indexed.layer.digest, error=str(error))
    return VerifiedLayer(image.platform, indexed.layer.digest, ztoc.max_span_id + 1, ztoc.file_count)


async def _soci_images(source: ImageSource) -> tuple[Descriptor, tuple[SociImage, ...]]:
    root = await source.root()
    documents: dict[Digest, bytes | None] = {root.digest: await source.document(root)}
    while wanted := soci_inspect.missing_for(root, documents):
        for descriptor in wanted:
            if descriptor.digest in documents:
                raise NotFound("cannot read image", about=descriptor.digest, why="it is missing")
            documents[descriptor.digest] = await source.document(descriptor)
    return root, soci_inspect.soci_images(root, documents)


async def _whole(source: ImageSource, descriptor: Descriptor) -> bytes:
    if descriptor.size > _MAX_ZTOC_BYTES:
        raise BadDocument(
            "cannot read ztoc",
            about=descriptor.digest,
            why=f"it has {descriptor.size} bytes, more than the {_MAX_ZTOC_BYTES} allowed",
        )
    return b"".join([chunk async for chunk in source.read(descriptor)])


async def _prefetch(source: ImageSource, descriptor: Descriptor) -> tuple[tuple[int, int], ...]:
    return soci_inspect.prefetch_spans(await _whole(source, descriptor), descriptor.digest)
