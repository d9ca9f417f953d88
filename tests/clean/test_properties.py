"""Whatever is deleted, every kept tag still pulls whole: random repositories, random criteria, both APIs.

Source: commands.md 6.3, "Judge".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bakery.clean.criteria import Criteria
from bakery.oci.digest import Digest
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.faults import Refuse
from bakery.rehearsal.traits import Traits
from tests.clean import test_github
from tests.clean.ghcr import github
from tests.clean.making import NAME, image_of, index_of, pointer, push, signature_tag, swept
from tests.hypothesis_profiles import examples

TAGS = ("latest", "1.0", "pr-1", "pr-2", "old-1", "old-2")
TIMES = ("", "2026-01-01T00:00:00Z", "2026-07-31T00:00:00Z", "1970-01-01T00:00:00Z")


@dataclass(frozen=True)
class Node:
    """One manifest. children, subject, owner: earlier nodes; owner: the node whose signature it is, by tag."""

    children: tuple[int, ...] = ()
    subject: int | None = None
    owner: int | None = None
    tags: tuple[str, ...] = ()
    created: str = ""
    pushed: str = "2026-01-01T00:00:00Z"
    links: int | None = None  # a SOCI index that an annotation names


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    nodes: list[Node] = []
    for number in range(draw(st.integers(1, 12))):
        earlier = st.integers(0, number - 1) if number else st.nothing()
        children = tuple(sorted(draw(st.sets(earlier, max_size=3)))) if number and draw(st.booleans()) else ()
        owner = draw(st.none() | st.none() | earlier) if number else None
        nodes.append(
            Node(
                children,
                draw(st.none() | earlier) if number else None,
                None if owner in below(children, nodes) else owner,  # no signature is an index of what it signs
                tuple(sorted(draw(st.sets(st.sampled_from(TAGS), max_size=2)))),
                draw(st.sampled_from(TIMES)),
                draw(st.sampled_from([time for time in TIMES if time > "2"])),
                draw(st.none() | earlier) if number else None,
            )
        )
    return nodes


def below(children: Sequence[int], nodes: Sequence[Node]) -> set[int]:
    return set(children).union(*(below(nodes[child].children, nodes) for child in children))


CRITERIA = st.builds(
    Criteria,
    older_than=st.none() | st.just(3.0),
    untagged=st.booleans(),
    tags=st.sampled_from([(), ("^pr-",), ("^old-", "latest"), ("sha256-",)]),
    keep_tags=st.sampled_from([(), ("1$",)]),
    keep_last=st.integers(0, 2),
)


@dataclass
class Pushed:
    """A graph in a registry. raws, digests: of each node."""

    nodes: list[Node]
    registry: EmbeddedRegistry
    raws: list[bytes] = field(default_factory=list)
    digests: list[Digest] = field(default_factory=list)

    def push_all(self) -> None:
        for number, node in enumerate(self.nodes):
            subject = None if node.subject is None else self._pointer(node.subject)
            annotations = {"number": str(number)}
            if node.links is not None:
                annotations["com.amazon.soci.index-digest"] = str(self.digests[node.links])
            tags = list(node.tags)
            if node.owner is not None:
                tags.append(signature_tag(self.digests[node.owner], f".{number}"))
            if node.children:
                children = [self.raws[child] for child in node.children]
                raw, blobs = index_of(children, subject, annotations=annotations), []
            else:
                raw, *blobs = image_of(f"{number % 4}", node.created, subject, annotations=annotations)
            self.raws.append(raw)
            self.digests.append(push(self.registry, raw, *blobs, *tags))

    def _pointer(self, number: int) -> dict[str, object]:
        return pointer(self.raws[number], json.loads(self.raws[number])["mediaType"])

    def needed_by(self, digest: Digest) -> set[Digest]:
        """What must be there for this manifest to pull whole with all that is attached to it: computed naively."""
        found = {digest}
        while True:
            numbers = {self.digests.index(one) for one in found}
            more = {self.digests[child] for number in numbers for child in self.nodes[number].children}
            more |= {self.digests[n] for n, node in enumerate(self.nodes) if {node.subject, node.owner} & numbers}
            more |= {self.digests[link] for number in numbers if (link := self.nodes[number].links) is not None}
            if more <= found:
                return found
            found |= more


def check(pushed: Pushed, criteria: Criteria, before: dict[str, Digest]) -> None:
    registry = pushed.registry
    manifests = set(registry.manifests(NAME))
    protected = Criteria(tags=criteria.tags, keep_tags=criteria.keep_tags)
    for tag, digest in before.items():
        if tag.startswith("sha256-"):
            continue
        may_go = (criteria.older_than is not None or criteria.tags) and protected.matching((tag,))
        if may_go and not any(tag.endswith("1") for _ in criteria.keep_tags):
            continue
        assert registry.tags(NAME).get(tag) == digest, f"{tag} was not selected"
    for tag, digest in registry.tags(NAME).items():
        if not tag.startswith("sha256-"):
            assert pushed.needed_by(digest) <= manifests, f"{tag} does not pull whole"
    for digest in manifests:
        view = json.loads(registry.manifest(NAME, digest)[1])
        for child in view.get("manifests", ()):
            assert Digest.parse(child["digest"]) in manifests, "an index lacks a child"


# What --keep-last keeps must not give way, in the next run, to what a kept tag keeps anyway.
KEPT_ANYWAY = [Node(), Node((0,)), Node(links=1), Node(), Node(tags=("latest",), links=0), Node(links=2)]
# An index is the signature of an image that refers to a part of it: the image goes first, after the list of referrers.
CIRCLE = [Node(), Node(), Node(subject=0, tags=("latest",), created="2026-01-01T00:00:00Z"), Node((0,), owner=2)]


@pytest.mark.parametrize("referrers", [True, False])
@settings(max_examples=examples(60))
@given(nodes=graphs(), criteria=CRITERIA, moment=st.integers(0, 6))
@example(nodes=KEPT_ANYWAY, criteria=Criteria(untagged=True, keep_last=1), moment=0)
@example(nodes=CIRCLE, criteria=Criteria(older_than=3.0), moment=2)
def test_every_kept_tag_still_pulls_whole(referrers, nodes, criteria, moment):
    async def run() -> None:
        async with EmbeddedRegistry(traits=Traits(referrers=referrers)) as registry:
            pushed = Pushed(nodes, registry)
            pushed.push_all()
            before = registry.tags(NAME)
            if not referrers:  # then clients list referrers under a tag
                pushed_fallbacks(pushed)
            # From some moment on, nothing more is deleted: as after a kill. Then the same command completes it.
            registry.fault("DELETE", then=Refuse(405, "UNSUPPORTED"), skip=moment)
            await swept(registry, criteria, *pushed.digests)
            check(pushed, criteria, before)
            registry.clear_faults()
            await swept(registry, criteria, *pushed.digests)
            check(pushed, criteria, before)
            assert (await swept(registry, criteria, *pushed.digests)).plan.deletions == ()

    asyncio.run(run())


def pushed_fallbacks(pushed: Pushed) -> None:
    for number, digest in enumerate(pushed.digests):
        referrers = [raw for raw, node in zip(pushed.raws, pushed.nodes, strict=True) if node.subject == number]
        if referrers:
            push(pushed.registry, index_of(referrers), signature_tag(digest, ""))


@settings(max_examples=examples(60))
@given(nodes=graphs(), criteria=CRITERIA)
def test_every_kept_tag_still_pulls_whole_at_github(nodes, criteria):
    async def run() -> None:
        async with EmbeddedRegistry(traits=Traits(referrers=False)) as registry, github(registry) as api:
            pushed = Pushed(nodes, registry)
            pushed.push_all()
            api.pushed = {digest: node.pushed for digest, node in zip(pushed.digests, nodes, strict=True)}
            before = registry.tags(NAME)
            outcome = await test_github.swept(api, criteria)
            # A tag of its own is never deleted there: GitHub deletes whole versions.
            check(pushed, criteria, before)
            if criteria == Criteria(untagged=True):
                assert all(needed_or_tagged(pushed, digest) for digest in registry.manifests(NAME)), outcome

    asyncio.run(run())


def needed_or_tagged(pushed: Pushed, digest: Digest) -> bool:
    tagged = set(pushed.registry.tags(NAME).values())
    subjects = {pushed.digests[node.subject] for node in pushed.nodes if node.subject is not None}
    return digest in tagged or digest in subjects or any(digest in pushed.needed_by(one) for one in tagged)
