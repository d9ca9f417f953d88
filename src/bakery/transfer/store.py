"""Stores: what a place that holds blobs can do, such as a repository in a registry."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable
from typing import Protocol, Self

from bakery.extent import Keep, OpenBody
from bakery.oci.descriptor import Descriptor


class Store(Protocol):
    """The blobs of one repository. Equal stores are the same repository. Failures are BakeryErrors, already retried."""

    @property
    def realm(self) -> Hashable:
        """The same for stores that can mount blobs from each other, such as those of one registry."""
        ...

    async def has(self, blob: Descriptor, *, else_write: bool = False) -> bool:
        """Return whether the blob is there, with the right size.

        else_write: it will be written if it is not there, so the check may begin the upload.
        """
        ...

    def fetch(self, blob: Descriptor, keep: Keep) -> AsyncIterator[int]:
        """Pass the content to `keep`, and yield how many bytes are kept so far: 0 when the first are about to arrive.

        Digest and size are verified: the last number comes, and the iteration ends normally, only if both are right.
        Errors of `keep` are raised unchanged.
        """
        ...

    async def write(self, blob: Descriptor, body: OpenBody) -> None:
        """Store the content. Errors of the body are raised unchanged, and then nothing is stored."""
        ...

    async def mount(self, blob: Descriptor, source: Self) -> bool:
        """Make a blob of another store of this realm available here without sending it. False: it must be sent."""
        ...
