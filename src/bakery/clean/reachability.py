"""Which manifests belong together: what goes with one that is deleted, and what one that is kept holds. Pure.

A deleted manifest takes its children, its SOCI indexes and whatever refers to it along, unless something keeps them. A
kept manifest holds all of these, and also its subject and whatever its annotations name: in doubt, more is kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from msgspec import Struct

from bakery.clean.items import Contents, Items, owner_of, tag_of_owner
from bakery.oci.digest import Digest

CHILD: Final = "child"


class Link(Struct, frozen=True):
    """One manifest leads to another. how: as what, completing "… of", such as "child"."""

    to: Digest
    how: str


class Via(Struct, frozen=True):
    """How a manifest was reached: from another one, and as what of it. A start has neither."""

    by: Digest | None = None
    how: str = ""


class Graph:
    """The links between the manifests of one repository."""

    def __init__(self, items: Items, contents: Contents) -> None:
        self._contents = contents
        self._referrers: dict[Digest, list[Digest]] = defaultdict(list)
        for digest, content in contents.items():
            if content.subject is not None:
                self._referrers[content.subject].append(digest)
            for referrer in content.referrers:
                self._referrers[digest].append(referrer)
        self._roots = {item.digest for item in items.values() if item.ordinary_tags}
        self._tagged: dict[str, list[Digest]] = defaultdict(list)
        for item in items.values():
            for owner in {owner_of(tag) for tag in item.tags} - {""}:
                self._tagged[owner].append(item.digest)

    def has_tag(self, digest: Digest) -> bool:
        """Return whether a manifest has its own tag, so that users may pull it."""
        return digest in self._roots

    def below(self, digest: Digest) -> list[Link]:
        """Return what belongs to a manifest: children, SOCI indexes, referrers, signatures."""
        content = self._contents.get(digest)
        links = []
        if content is not None:
            links += [Link(child.digest, CHILD) for child in content.children]
            links += [Link(found, "SOCI index") for found in content.linked]
        links += [Link(found, "signature or referrer") for found in self._tagged.get(tag_of_owner(digest), ())]
        links += [Link(found, "referrer") for found in self._referrers.get(digest, ())]
        return [link for link in links if link.to != digest]

    def held(self, digest: Digest) -> list[Link]:
        """Return what a kept manifest keeps: what is below it, its subject, and what its annotations name."""
        links, content = self.below(digest), self._contents.get(digest)
        if content is not None:
            links += [] if content.subject is None else [Link(content.subject, "subject")]
            links += [Link(found, "named in an annotation") for found in content.annotated if found in self._contents]
        return links


def reached(starts: Iterable[Digest], links: Callable[[Digest], Iterable[Link]]) -> dict[Digest, Via]:
    """Return everything that can be reached, each with the first way found, the starts included. Nearest first."""
    found = dict.fromkeys(starts, Via())
    pending = list(found)
    for digest in pending:  # grows
        for link in links(digest):
            if link.to not in found:
                found[link.to] = Via(digest, link.how)
                pending.append(link.to)
    return found


def _contents_of(index: Digest, below: Mapping[Digest, list[Link]], left: Collection[Digest]) -> dict[Digest, Via]:
    """Return what an index contains at any depth, of what is left."""
    return reached([index], lambda one: [link for link in below[one] if link.how == CHILD and link.to in left])


def in_order(going: Iterable[Digest], graph: Graph) -> list[list[Digest]]:
    """Return manifests in rounds: each after all that it belongs to, so that no index ever lacks a child."""
    left = dict.fromkeys(going)
    below = {digest: [link for link in graph.below(digest) if link.to in left] for digest in left}
    owners, indexes = Counter[Digest](), Counter[Digest]()
    for links in below.values():
        owners.update({link.to for link in links})
        indexes.update({link.to for link in links if link.how == CHILD})
    rounds = []
    while left:
        ready = [one for one in left if not owners[one]]
        if not ready:
            # A circle: a tag may make an index the signature of its own child, an image may be the referrer of its SOCI
            # index. Then only indexes count, which form no circle, and what users may pull goes first, with the indexes
            # that contain it.
            circle = [one for one in left if not indexes[one]]
            ready = [one for one in circle if graph.has_tag(one)]
            ready = (
                ready or [one for one in circle if any(map(graph.has_tag, _contents_of(one, below, left)))] or circle
            )
        rounds.append(ready)
        for digest in ready:
            del left[digest]
            owners.subtract({link.to for link in below[digest]})
            indexes.subtract({link.to for link in below[digest] if link.how == CHILD})
    return rounds
