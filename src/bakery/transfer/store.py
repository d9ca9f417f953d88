"""What a place that holds blobs can do. A repository of a registry is one; a test's dictionary is another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable
from typing import Protocol

from bakery.extent import Keep, OpenBody
from bakery.oci.descriptor import Descriptor


class Store(Protocol):
    """Blobs of one repository. Equal stores are the same repository. Failures are BakeryErrors, retried inside."""

    @property
    def realm(self) -> Hashable:
        """What can be mounted from each other: stores of one registry have one realm."""
        ...

    async def has(self, blob: Descriptor, *, else_write: bool = False) -> bool:
        """Whether the blob is there, with the right size.

        else_write: it will be written if not, and not mounted: the question may begin the writing.
        """
        ...

    def fetch(self, blob: Descriptor, keep: Keep) -> AsyncIterator[int]:
        """Hand the content to `keep`; gives how much of it is kept, as it grows.

        Digest and size are checked: the last step comes, and it ends without error, only if they are right. What
        `keep` raises is raised as it is.
        """
        ...

    async def write(self, blob: Descriptor, body: OpenBody) -> None:
        """Store the content. An error that the body raises is raised as it is, and nothing is stored."""
        ...

    async def mount(self, blob: Descriptor, source: Store) -> bool:
        """Make the blob of another store of this realm appear here, without its bytes. False: send them."""
        ...
