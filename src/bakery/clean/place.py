"""A repository as something that can be listed and deleted from, whichever API the registry has for that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bakery.clean.items import Item
from bakery.clean.outcome import Deletion
from bakery.errors import BakeryError
from bakery.oci.reference import Repository


class Place(Protocol):
    """One repository. Manifests are read through the registry client, whatever deletes them."""

    repository: Repository
    lists_all: bool  # whether `items` has every manifest, also those without a tag

    async def items(self) -> Sequence[Item] | None:
        """Return what is in the repository; None if it does not exist. Raises BakeryError if that cannot be known."""
        ...

    async def delete(self, deletion: Deletion) -> BakeryError | None:
        """Delete a manifest or a tag. Return the refusal, NotFound for what has gone already, None if it is deleted.

        Raises BakeryError if it is not known whether the registry allows it.
        """
        ...
