"""Repositories of any registry, by the distribution API: what has tags, what tags belong to, and what files name.

The API lists no manifest without a tag. Source: OCI distribution-spec 1.1, "Content Management".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from bakery.clean.items import Item, digest_of_owner, owner_of
from bakery.clean.outcome import Deletion
from bakery.errors import BakeryError, NotFound
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.tasks import together

if TYPE_CHECKING:
    from bakery.registry.client import Client

LAG_S: Final = 5.0  # how long a manifest that is listed may be absent before that counts


class DistributionPlace:
    """A repository whose tags are listed. named: further manifests to look for, by digest."""

    lists_all = False

    def __init__(self, client: Client, repository: Repository, named: Collection[Digest] = ()) -> None:
        self.repository = repository
        self._client, self._named = client, tuple(named)

    async def items(self) -> Sequence[Item] | None:
        try:
            tags = await self._client.listings.tags(self.repository)
        except NotFound:
            if not self._named:
                return None
            tags = []  # some registries forget a repository whose last tag has gone
        digests = await together(self._digest_of(tag) for tag in dict.fromkeys(tags))
        tags_of: dict[Digest, list[str]] = defaultdict(list)
        for tag, digest in zip(dict.fromkeys(tags), digests, strict=True):
            tags_of[digest].append(tag)
        owners = (digest_of_owner(owner) for owner in {owner_of(tag) for tag in tags} - {""})
        wanted = dict.fromkeys((*self._named, *(owner for owner in owners if owner is not None)))
        untagged = [digest for digest in wanted if digest not in tags_of]
        there = await together(self._client.manifests.head(self.repository.with_digest(one)) for one in untagged)
        found = [Item(digest, tuple(sorted(names))) for digest, names in tags_of.items()]
        return found + [Item(digest) for digest, one in zip(untagged, there, strict=True) if one is not None]

    async def _digest_of(self, tag: str) -> Digest:
        reference = self.repository.with_tag(tag)
        found = await self._client.manifests.head(reference)
        if found is None:  # a tag that was just pushed, or one that only the list still has
            got = await self._client.manifests.get(reference, must_exist=True, within_s=LAG_S)
            return got.descriptor.digest
        return found.digest

    async def delete(self, deletion: Deletion) -> BakeryError | None:
        return await self._client.manifests.remove(deletion.reference)
