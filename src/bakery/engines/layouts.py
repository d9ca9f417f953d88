"""OCI layouts on disk as sources of a run. Files are read in threads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from bakery.extent import Keep, OpenBody
from bakery.oci.descriptor import Descriptor
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import LayoutPath, LayoutReference
from bakery.tasks import in_thread
from bakery.transfer.store import Store

if TYPE_CHECKING:
    from bakery.transfer.layout import Layout


class Layouts:
    """The layouts that a run reads. Each is opened once, and closed when the context ends."""

    def __init__(self) -> None:
        self._open: dict[LayoutPath, Layout] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for layout in self._open.values():
            layout.__exit__()

    def at(self, place: LayoutPath) -> Layout:
        """Return the layout of a place, opened. Raises BadLayout if it is not one."""
        from bakery.transfer.layout import open_layout  # most runs read none

        if place not in self._open:
            self._open[place] = open_layout(Path(place.path))
        return self._open[place]

    async def root(self, reference: LayoutReference) -> RawManifest:
        """Return the manifest or index that a reference names. Raises BadLayout if it is missing."""
        layout = self.at(reference.layout)
        descriptor = await in_thread(partial(layout.root, reference.select))
        return RawManifest(descriptor, await self.document(reference.layout, descriptor))

    async def document(self, place: LayoutPath, descriptor: Descriptor) -> bytes:
        """Return a manifest, index or config. Raises BadLayout if it is missing."""
        found = await in_thread(partial(self.at(place).document, descriptor))
        if found is None:
            from bakery.transfer.layout import BadLayout

            raise BadLayout("cannot read image layout", about=place.path, why=f"{descriptor.digest} is missing")
        return found


class LayoutStore(Struct, frozen=True):
    """A layout as transfer sees it: a store to read from. Equal when the places are."""

    layouts: Layouts
    place: LayoutPath

    @property
    def realm(self) -> LayoutPath:
        return self.place

    async def has(self, blob: Descriptor, *, else_write: bool = False) -> bool:  # noqa: ARG002 - nothing is written
        return await in_thread(partial(self.layouts.at(self.place).has, blob))

    async def fetch(self, blob: Descriptor, keep: Keep) -> AsyncIterator[int]:
        chunks, position = self.layouts.at(self.place).read(blob), 0

        def keep_next() -> int:
            chunk = next(chunks, b"")
            if chunk:
                keep(memoryview(chunk), position)
            return len(chunk)

        yield 0
        while size := await in_thread(keep_next):
            position += size
            yield position

    async def write(self, blob: Descriptor, body: OpenBody) -> None:
        raise ValueError(f"a layout is never a destination: {blob.digest}, {body}")

    async def mount(self, blob: Descriptor, source: Store) -> bool:
        raise ValueError(f"a layout is never a destination: {blob.digest} from {source.realm}")
