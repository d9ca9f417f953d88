"""What an engine must be able to do. Two of them exist, native and cli; one contract suite runs over both.

Every call works on one reference and obeys the walls of DESIGN.md: bytes as they are, no tag before all it names is
readable, no credential elsewhere. An engine retries by itself; whoever calls it does not. Failures are BakeryErrors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, Self

from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import DigestReference, Repository, TagReference
from bakery.publish.image import Image

if TYPE_CHECKING:
    from bakery.config.schema.options import SociOptions


class Engine(Protocol):
    """Moves content and tags. Entered once a run; leaving it ends all it still does."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exception: object) -> None: ...

    async def find(self, reference: DigestReference) -> RawManifest | None:
        """The manifest or index that this names, verified; None where it is not there (yet). One look, no waiting."""
        ...

    async def read_manifest(self, repository: Repository, descriptor: Descriptor) -> bytes:
        """The bytes of a manifest that must be there, because an index that we read names it."""
        ...

    async def read_blob(self, repository: Repository, descriptor: Descriptor, *, limit_bytes: int) -> bytes:
        """A small blob that must be there (an image config), whole. Raises BadDocument where it is larger."""
        ...

    async def convert(self, image: Image, options: SociOptions, *, towards: Sequence[Repository]) -> Image:
        """The image with SOCI indexes. `towards` tells where it will be staged, so that work can overlap."""
        ...

    async def stage(self, image: Image, repository: Repository) -> None:
        """Bring every blob, child manifest and the index to the repository, by digest and without any tag.

        Returns when index and children were read back there. Where all is in place nothing is written.
        """
        ...

    async def read_tags(self, repository: Repository, tags: Sequence[str]) -> Mapping[str, Digest | None]:
        """What each of these tags names now; None where there is no such tag (or no such repository)."""
        ...

    async def tag(self, image: Image, reference: TagReference, *, previous: Digest | None) -> None:
        """Make the tag name the image's index, which is staged there. `previous` is what it named before."""
        ...

    async def verify_tag(self, image: Image, reference: TagReference, *, previous: Digest | None) -> None:
        """Read the tag until it names the index. Its old answer is lag, a third one is an error."""
        ...

    async def remove_tag(self, reference: TagReference) -> bool:
        """Delete a tag that was new; False where the registry does not allow it."""
        ...
