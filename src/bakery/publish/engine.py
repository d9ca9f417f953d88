"""What an engine must be able to do. There are two, native and cli; one contract suite runs over both.

Every call obeys the invariants of DESIGN.md: bytes unchanged, no tag before everything it names is readable, no
credential to another origin. An engine retries by itself; its caller does not. Failures are BakeryErrors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, Self

from bakery.errors import BakeryError
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import Repository, SourcePlace, SourceReference, TagReference
from bakery.publish.image import AssembledImage

if TYPE_CHECKING:
    from bakery.config.schema.options import SociOptions


class TagChanged(BakeryError):
    """A tag was moved by something else right before it was to be written."""


class Engine(Protocol):
    """Moves content and tags. Entered once per run; leaving it ends everything it still does."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exception: object) -> None: ...

    async def find(self, reference: SourceReference) -> RawManifest | None:
        """Return this manifest or index, verified; None if it is not there (yet). Reads once, without waiting.

        The descriptor of the result has the digest that a tag, or the name of an image in a layout, refers to now.
        Raises InvalidContent if a layout cannot be read or does not have the image.
        """
        ...

    async def read_manifest(self, origin: SourcePlace, descriptor: Descriptor) -> bytes:
        """Return the bytes of a manifest that must be there, because an index names it."""
        ...

    async def read_blob(self, origin: SourcePlace, descriptor: Descriptor, *, limit_bytes: int) -> bytes:
        """Return a small blob that must be there (an image config). Raises BadDocument if it is larger."""
        ...

    async def convert(
        self, image: AssembledImage, options: SociOptions, *, towards: Sequence[Repository]
    ) -> AssembledImage:
        """Return the image with SOCI indexes. towards: where it will be staged, so that uploads can start already."""
        ...

    async def stage(self, image: AssembledImage, repository: Repository) -> bool:
        """Upload every blob, child manifest, nested index and the index to the repository, by digest, without a tag.

        Returns once index and children were read back there: whether anything was missing and had to be written.
        """
        ...

    async def read_tags(self, repository: Repository, tags: Sequence[str]) -> Mapping[str, Digest | None]:
        """Return what each of these tags names now; None for one that does not exist."""
        ...

    async def tag(
        self, image: AssembledImage, reference: TagReference, *, previous: Digest | None, unmoved: bool = False
    ) -> None:
        """Make the tag name the image's index, which is staged there. previous: what it named before.

        unmoved: raise TagChanged if it no longer names that, where the registry supports conditional writes.
        """
        ...

    async def list_tags(self, repository: Repository) -> frozenset[str] | None:
        """Return every tag of a repository; None if the registry does not list them."""
        ...

    async def read_tag(self, reference: TagReference) -> Digest | None:
        """Return what a tag names at this moment; None if it does not exist. Never from a list or from memory."""
        ...

    async def verify_tag(self, reference: TagReference, digest: Digest, *, previous: Digest | None) -> None:
        """Read the tag until it names the digest. At `previous` the registry lags; any other digest is an error."""
        ...

    async def set_tag(self, reference: TagReference, digest: Digest) -> None:
        """Make the tag name a manifest that its repository already has. Raises NotFound if it cannot be read there."""
        ...

    async def remove_tag(self, reference: TagReference) -> bool:
        """Delete a tag; return False if the registry does not allow it."""
        ...

    def extend(self, seconds: float) -> None:
        """Make sure that the time budget does not end within so many seconds: tags have to be put back."""
        ...
