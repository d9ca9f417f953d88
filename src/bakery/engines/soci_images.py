"""SOCI for single images: convert a layout into a layout; look into an image's SOCI index; check it against its layers.

`convert_layout` reads every layer once: what is copied is indexed on its way, several layers side by side. Where one is
damaged nothing appears at the destination. Inspecting and verifying take an image from anywhere that can give bytes
by descriptor (`Source`): a layout here, a repository of a registry with the client.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct, field

from bakery.errors import BadDocument, BakeryError, InvalidContent, NotFound
from bakery.oci import manifest as oci
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import Index
from bakery.oci.reference import Reference
from bakery.soci import inspect as soci_inspect
from bakery.soci.convert import Converted, convert
from bakery.soci.failure import LayerUnsupported
from bakery.soci.index import LayerIndex, LayerIndexer
from bakery.soci.inspect import IndexedLayer, SociImage
from bakery.soci.options import GIB, Limits, SociSettings
from bakery.soci.plan import ConversionPlan, LayerWork, missing_documents, plan_conversion
from bakery.soci.verify import LayerVerifier, WrongIndex
from bakery.soci.ztoc import Ztoc
from bakery.transfer.layout import BadLayout, Layout, LayoutWriter

if TYPE_CHECKING:
    from bakery.registry.client import Client

_MAX_DEPTH: Final = 4  # indexes inside indexes
_MAX_ZTOC_BYTES: Final = 2 * GIB


# Layout to layout


def convert_layout(
    source: Layout,
    destination: Path,
    settings: SociSettings,
    *,
    select: str = "",
    workers: int | None = None,
    note: Callable[[str], None] = lambda _message: None,
) -> Converted:
    """Write the converted image to `destination` (see LayoutWriter). An image with nothing to index is copied as it is.

    note: told what a reader should know. Raises BadLayout for a layout that cannot be read, LayerDamaged and LayerLimit
    for a layer; then the destination is as it was.
    """
    root = source.root(select)
    documents = _documents(source, root)
    plan = plan_conversion(root, documents, settings)
    with LayoutWriter(destination) as writer:
        copying = _Copying(source, writer, settings, workers or os.cpu_count() or 1)
        results = copying.index_layers(plan)
        result = convert(plan, results)
        for message in result.notes:
            note(message)
        copying.copy_rest(result, documents)
        writer.commit(result.root.descriptor)
    return result


def _documents(source: Layout, root: Descriptor) -> dict[Digest, bytes | None]:
    documents: dict[Digest, bytes | None] = {}
    while wanted := missing_documents(root, documents):
        documents |= {descriptor.digest: source.document(descriptor) for descriptor in wanted}
    raw = documents[root.digest]
    if raw is None:
        raise BadLayout("reading an image layout", about=source.path, why=f"it does not hold its image {root.digest}")
    top = oci.parse(raw, media_type=root.media_type, about=root.digest)
    for entry in top.manifests if isinstance(top, Index) else ():
        if entry.digest not in documents and not source.has(entry):
            documents[entry.digest] = None
    return documents


class _Copying:
    """One conversion's copying: each blob once, in threads, the biggest first."""

    def __init__(self, source: Layout, writer: LayoutWriter, settings: SociSettings, workers: int) -> None:
        self._source, self._writer, self._settings, self._workers = source, writer, settings, workers
        self._copied: set[Digest] = set()

    def index_layers(self, plan: ConversionPlan) -> dict[Digest, LayerIndex | BakeryError]:
        """Copy the layers of the plan and index them on their way. Raises the first error that ends the conversion."""
        indexers = {
            work: LayerIndexer(
                work.compression, self._settings, about=f"layer {work.descriptor.digest}", size=work.descriptor.size
            )
            for work in sorted(plan.layers, key=lambda work: -work.descriptor.size)
        }

        def stop() -> None:
            for indexer in indexers.values():
                indexer.stop()

        tasks = {
            work.descriptor.digest: lambda w=work, i=indexer: self._index(w, i) for work, indexer in indexers.items()
        }
        self._copied |= tasks.keys()
        return dict(zip(tasks, self._run(list(tasks.values()), stop), strict=True))

    def copy_rest(self, result: Converted, documents: dict[Digest, bytes | None]) -> None:
        """Copy everything that the result names and that is not there yet."""
        made = {descriptor.digest: raw for descriptor, raw in result.contents.items()}
        wanted: dict[Digest, Descriptor] = {}
        self._walk(result.root.descriptor, made, documents, wanted, 0)
        rest = [blob for digest, blob in wanted.items() if digest not in self._copied]
        self._run([partial(self._copy, blob, made.get(blob.digest)) for blob in rest], lambda: None)

    def _walk(
        self,
        node: Descriptor,
        made: dict[Digest, bytes],
        documents: dict[Digest, bytes | None],
        wanted: dict[Digest, Descriptor],
        depth: int,
    ) -> None:
        if node.digest in wanted:
            return
        wanted[node.digest] = node
        if node.media_type not in mt.ALL_MANIFESTS:
            return
        if depth > _MAX_DEPTH:
            raise BadDocument("copying an image", about=node.digest, why=f"indexes nested deeper than {_MAX_DEPTH}")
        raw = made.get(node.digest) or documents.get(node.digest) or self._source.document(node)
        if raw is None:
            raise BadLayout("copying an image", about=self._source.path, why=f"it does not hold {node.digest}")
        found = oci.parse(raw, media_type=node.media_type, about=node.digest)
        for child in found.manifests if isinstance(found, Index) else found.blobs:
            # Layers that may not be distributed are often left out of layouts; whoever pulls gets them by their URLs.
            absent = child.media_type in mt.NONDISTRIBUTABLE and child.digest not in made
            if not (absent and not self._source.has(child)):
                self._walk(child, made, documents, wanted, depth + 1)

    def _index(self, work: LayerWork, indexer: LayerIndexer) -> LayerIndex | BakeryError:
        blob = work.descriptor
        if blob.media_type in mt.NONDISTRIBUTABLE and not self._source.has(blob):
            return LayerUnsupported("indexing", about=f"layer {blob.digest}", why="the layout does not hold it")
        unsupported: list[LayerUnsupported] = []

        def passing() -> Iterator[bytes]:
            for chunk in self._source.read(blob):
                if not unsupported:
                    try:
                        indexer.feed(chunk)
                    except LayerUnsupported as error:
                        unsupported.append(error)  # it is copied all the same
                yield chunk

        self._writer.write(blob, passing())
        self._copied.add(blob.digest)
        if unsupported:
            return unsupported[0]
        try:
            return indexer.finish()
        except LayerUnsupported as error:
            return error

    def _copy(self, blob: Descriptor, made: bytes | None) -> None:
        self._writer.write(blob, self._source.read(blob) if made is None else [made])

    def _run(self, tasks: Sequence[Callable[[], Any]], stop: Callable[[], None]) -> list[Any]:
        with ThreadPoolExecutor(self._workers, thread_name_prefix="soci") as pool:
            futures: list[Future[Any]] = [pool.submit(task) for task in tasks]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
                failed = [future for future in futures if future.done() and future.exception() is not None]
                if failed:
                    failed[0].result()
                return [future.result() for future in futures]
            except BaseException:
                stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise


# Looking into an image


class Source(Protocol):
    """Where an image's bytes come from. Everything it gives is what the descriptor says, or an error."""

    async def root(self) -> Descriptor:
        """The image: an index or a manifest."""
        ...

    async def document(self, descriptor: Descriptor) -> bytes | None:
        """A manifest or index; None where it is not there."""
        ...

    def read(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
        """A blob in chunks."""
        ...


class LayoutSource:
    """An image of a layout."""

    def __init__(self, layout: Layout, select: str = "") -> None:
        self._layout, self._select = layout, select

    async def root(self) -> Descriptor:
        """The layout's one image, or the one chosen."""
        return self._layout.root(self._select)

    async def document(self, descriptor: Descriptor) -> bytes | None:
        """From a file."""
        return self._layout.document(descriptor)

    async def read(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
        """From a file, read in threads. A damaged layer is given whole: where it is wrong is the point."""
        chunks = self._layout.read(descriptor, withhold=False)
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk


class RegistrySource:
    """An image of a registry."""

    def __init__(self, client: Client, reference: Reference) -> None:
        self._client, self._reference = client, reference

    async def root(self) -> Descriptor:
        """What the tag or digest names."""
        descriptor, _ = await self._client.get_manifest(self._reference)
        return descriptor

    async def document(self, descriptor: Descriptor) -> bytes | None:
        """By digest."""
        reference = self._reference.repository.with_digest(descriptor.digest)
        try:
            return (await self._client.get_manifest(reference, expected=descriptor))[1]
        except NotFound:
            return None

    async def read(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
        """A download that goes on after a break."""
        async with aclosing(self._client.read_blob(self._reference.repository, descriptor)) as chunks:
            async for chunk in chunks:
                yield chunk


class Checked(Struct, frozen=True):
    """What verifying one layer of one image found. `error` is "" where all is right."""

    platform: str
    layer: Digest
    spans: int = 0
    files: int = 0
    error: str = ""


class Verification(Struct):
    """What verifying an image found."""

    root: Descriptor
    images: int = 0
    layers: list[Checked] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)  # of no single layer

    @property
    def right(self) -> bool:
        """Whether there was something to verify, and nothing wrong."""
        return self.images > 0 and not self.errors and not any(layer.error for layer in self.layers)


async def inspect_image(source: Source) -> dict[str, Any]:
    """What the SOCI indexes of an image hold, as plain values: spans, files, sizes of every indexed layer."""
    root, images = await _soci_images(source)
    told = []
    for image in images:
        ztocs, prefetch = {}, {}
        for layer in image.layers:
            if layer.ztoc is not None:
                ztocs[layer.ztoc.digest] = await _whole(source, layer.ztoc)
            if layer.prefetch is not None:
                prefetch[layer.prefetch.digest] = await _prefetch(source, layer.prefetch)
        told.append(soci_inspect.describe(image, ztocs, prefetch))
    return {"digest": str(root.digest), "media_type": root.media_type, "soci_indexes": told}


async def verify_image(
    source: Source, *, limits: Limits | None = None, tell: Callable[[Checked], None] = lambda _checked: None
) -> Verification:
    """Check every ztoc of an image against its layer. What is wrong is in the result, not raised; a layer once.

    tell: told of every layer as it is done. Raises for an image that cannot be read at all.
    """
    root, images = await _soci_images(source)
    found = Verification(root, len(images))
    done: dict[tuple[Digest, Digest], Checked] = {}
    for image in images:
        found.errors += image.wrong_links
        for indexed in image.layers:
            if indexed.ztoc is None:
                continue
            key = indexed.layer.digest, indexed.ztoc.digest
            if key not in done:
                done[key] = await _verified(source, image, indexed, limits)
                found.layers.append(done[key])
                tell(done[key])
    return found


async def _verified(source: Source, image: SociImage, indexed: IndexedLayer, limits: Limits | None) -> Checked:
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
            raise WrongIndex("verifying", about=about, why="it says that no file has extended attributes; one has")
    except InvalidContent as error:
        return Checked(image.platform, indexed.layer.digest, error=str(error))
    return Checked(image.platform, indexed.layer.digest, ztoc.max_span_id + 1, ztoc.file_count)


async def _soci_images(source: Source) -> tuple[Descriptor, tuple[SociImage, ...]]:
    root = await source.root()
    documents: dict[Digest, bytes | None] = {root.digest: await source.document(root)}
    while wanted := soci_inspect.missing_for(root, documents):
        for descriptor in wanted:
            if descriptor.digest in documents:
                raise NotFound("reading an image", about=descriptor.digest, why="it is not there")
            documents[descriptor.digest] = await source.document(descriptor)
    return root, soci_inspect.soci_images(root, documents)


async def _whole(source: Source, descriptor: Descriptor) -> bytes:
    if descriptor.size > _MAX_ZTOC_BYTES:
        raise BadDocument("reading a ztoc", about=descriptor.digest, why=f"{descriptor.size} bytes are too many")
    return b"".join([chunk async for chunk in source.read(descriptor)])


async def _prefetch(source: Source, descriptor: Descriptor) -> tuple[tuple[int, int], ...]:
    return soci_inspect.prefetch_spans(await _whole(source, descriptor), descriptor.digest)
