"""Convert an image of one OCI layout to SOCI and write it to another layout.

Every layer is read once: it is indexed while it is copied, several layers at a time. If one is damaged, nothing appears
at the destination.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any, Final

from bakery.errors import BadDocument, BakeryError
from bakery.oci import manifest as oci
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import Index
from bakery.soci.convert import Converted, convert
from bakery.soci.failure import LayerUnsupported
from bakery.soci.index import LayerIndex, LayerIndexer
from bakery.soci.options import SociSettings
from bakery.soci.plan import ConversionPlan, LayerWork, missing_documents, plan_conversion
from bakery.transfer.layout import BadLayout, Layout
from bakery.transfer.layout_writer import LayoutWriter

_MAX_DEPTH: Final = 4  # indexes inside indexes


def convert_layout(
    source: Layout,
    destination: Path,
    settings: SociSettings,
    *,
    select: str = "",
    workers: int | None = None,
    note: Callable[[str], None] = lambda _message: None,
) -> Converted:
    """Write the converted image to `destination` (see LayoutWriter), or the image itself if nothing can be indexed.

    note: called with each note for the user. Raises BadLayout for an unreadable layout, LayerDamaged and LayerLimit for
    a layer; then the destination is as it was before.
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
        raise BadLayout("cannot read image layout", about=source.path, why=f"its image {root.digest} is missing")
    top = oci.parse(raw, media_type=root.media_type, about=root.digest)
    for entry in top.manifests if isinstance(top, Index) else ():
        if entry.digest not in documents and not source.has(entry):
            documents[entry.digest] = None
    return documents


class _Copying:
    """Copies the blobs of one conversion: each once, in threads, the largest first."""

    def __init__(self, source: Layout, writer: LayoutWriter, settings: SociSettings, workers: int) -> None:
        self._source, self._writer, self._settings, self._workers = source, writer, settings, workers
        self._copied: set[Digest] = set()

    def index_layers(self, plan: ConversionPlan) -> dict[Digest, LayerIndex | BakeryError]:
        """Copy the layers of the plan and index them meanwhile. Raises the first error that ends the conversion."""
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
        """Copy everything that the result names and that was not copied yet."""
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
            raise BadDocument(
                "cannot copy image", about=node.digest, why=f"indexes are nested more than {_MAX_DEPTH} levels deep"
            )
        raw = made.get(node.digest) or documents.get(node.digest) or self._source.document(node)
        if raw is None:
            raise BadLayout("cannot copy image", about=self._source.path, why=f"{node.digest} is missing")
        found = oci.parse(raw, media_type=node.media_type, about=node.digest)
        for child in found.manifests if isinstance(found, Index) else found.blobs:
            # Layers that must not be distributed are often left out of layouts; clients fetch them from their URLs.
            absent = child.media_type in mt.NONDISTRIBUTABLE and child.digest not in made
            if not (absent and not self._source.has(child)):
                self._walk(child, made, documents, wanted, depth + 1)

    def _index(self, work: LayerWork, indexer: LayerIndexer) -> LayerIndex | BakeryError:
        blob = work.descriptor
        if blob.media_type in mt.NONDISTRIBUTABLE and not self._source.has(blob):
            return LayerUnsupported("cannot index", about=f"layer {blob.digest}", why="it is not in the layout")
        unsupported: list[LayerUnsupported] = []

        def passing() -> Iterator[bytes]:
            for chunk in self._source.read(blob):
                if not unsupported:
                    try:
                        indexer.feed(chunk)
                    except LayerUnsupported as error:
                        unsupported.append(error)  # it is copied nevertheless
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
