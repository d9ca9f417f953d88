"""What is decided about a repository, by values: no registry takes part."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta

import pytest

from bakery.clean.criteria import Criteria, Times
from bakery.clean.decision import Findings, decide
from bakery.clean.items import Content, Item, read_content
from bakery.clean.outcome import RepositoryPlan
from bakery.errors import BadDocument, BakeryError, NotFound, Unavailable
from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import Repository
from tests.clean.making import NOW, image_of, index_of, pointer

WHERE = Repository("registry.example", "acme/app")
OLD, YOUNG = NOW - timedelta(days=30), NOW - timedelta(hours=1)
CUTOFF = NOW - timedelta(days=3)
ONE, TWO = image_of("one")[0], image_of("two")[0]
BOTH = index_of([ONE, TWO])


def digest_of(raw: bytes) -> Digest:
    return Digest.of(raw)


def content_of(raw: bytes) -> Content:
    return read_content(RawManifest.of(raw, json.loads(raw)["mediaType"]))


def decided(
    criteria: Criteria, *raws: bytes, items: Mapping[bytes, Item], unreadable: Mapping[bytes, BakeryError] | None = None
) -> RepositoryPlan:
    errors = {digest_of(raw): error for raw, error in (unreadable or {}).items()}
    contents = {digest_of(raw): content_of(raw) for raw in raws if digest_of(raw) not in errors}
    listed = {item.digest: item for item in items.values()}
    return decide(Findings(WHERE, listed, contents, errors, Times(contents, {}, {})), criteria, NOW)


def item(raw: bytes, *tags: str, pushed=OLD) -> Item:
    return Item(digest_of(raw), tags, pushed)


def goes(plan: RepositoryPlan) -> set[Digest]:
    return {one.digest for one in plan.deletions}


@pytest.mark.parametrize(
    ("pushed", "stays"),
    [(OLD, False), (YOUNG, True), (CUTOFF, True), (CUTOFF - timedelta(seconds=1), False), (None, False)],
)
def test_a_child_of_an_old_index_goes_unless_it_was_pushed_since(pushed, stays):
    items = {BOTH: item(BOTH, "old"), ONE: item(ONE, pushed=pushed), TWO: item(TWO)}
    plan = decided(Criteria(older_than=3.0, tags=("old",)), BOTH, ONE, TWO, items=items)
    assert (digest_of(ONE) in goes(plan)) is not stays
    assert {digest_of(BOTH), digest_of(TWO)} <= goes(plan)


def test_a_young_signature_does_not_keep_an_old_image():
    sbom = image_of("sbom", subject=pointer(ONE, mt.OCI_MANIFEST))[0]
    items = {ONE: item(ONE, "old"), sbom: item(sbom, pushed=YOUNG)}
    plan = decided(Criteria(older_than=3.0), ONE, sbom, items=items)
    assert goes(plan) == {digest_of(ONE), digest_of(sbom)}


def test_a_tag_to_keep_saves_what_a_selected_index_has():
    items = {BOTH: item(BOTH, "old"), ONE: item(ONE, "sha256-" + "0" * 64 + ".sig"), TWO: item(TWO)}
    plan = decided(Criteria(tags=("old",), keep_tags=(r"\.sig$",)), BOTH, ONE, TWO, items=items)
    assert goes(plan) == {digest_of(BOTH), digest_of(TWO)}


GONE = NotFound("cannot read", why="gone")


@pytest.mark.parametrize("error", [GONE, Unavailable("cannot read"), BadDocument("cannot read")])
def test_a_kept_manifest_that_cannot_be_read_stops_everything(error):
    items = {ONE: item(ONE, "latest"), TWO: item(TWO, "old")}
    with pytest.raises(type(error)):
        decided(Criteria(tags=("old",)), ONE, TWO, items=items, unreadable={ONE: error})


def test_a_child_that_is_not_listed_may_only_be_missing():
    items = {BOTH: item(BOTH, "latest"), ONE: item(ONE)}
    plan = decided(Criteria(tags=("old",)), BOTH, ONE, items=items, unreadable={TWO: GONE})
    assert plan.notes == (f"{WHERE}@{digest_of(TWO)} is missing already: child of {digest_of(BOTH)}",)
    with pytest.raises(Unavailable):
        decided(Criteria(tags=("old",)), BOTH, ONE, items=items, unreadable={TWO: Unavailable("cannot read")})


@pytest.mark.parametrize(("error", "expected"), [(BadDocument("no manifest"), True), (GONE, False)])
def test_a_selected_manifest_goes_if_it_is_none_and_stays_if_it_cannot_be_read(error, expected):
    plan = decided(Criteria(tags=("old",)), items={ONE: item(ONE, "old")}, unreadable={ONE: error})
    assert (digest_of(ONE) in goes(plan)) is expected
    assert len(plan.unread) == (not expected)


def test_sizes_count_the_manifest_and_its_blobs_and_leave_out_what_others_need():
    again = json.dumps({**json.loads(ONE), "annotations": {"a": "b"}}).encode()
    blobs = sum(json.loads(ONE)[name]["size"] for name in ("config",)) + json.loads(ONE)["layers"][0]["size"]
    alone = decided(Criteria(tags=("old",)), ONE, items={ONE: item(ONE, "old")})
    assert [one.size_bytes for one in alone.deletions] == [len(ONE) + blobs]
    assert alone.freed_bytes == len(ONE) + blobs
    shared = decided(Criteria(tags=("old",)), ONE, again, items={ONE: item(ONE, "old"), again: item(again, "latest")})
    assert shared.freed_bytes == len(ONE)


def test_what_keeps_something_is_named_by_its_tag_or_digest():
    outer = index_of([BOTH])
    items = {outer: item(outer, "latest"), BOTH: item(BOTH), ONE: item(ONE), TWO: item(TWO)}
    plan = decided(Criteria(untagged=True), outer, BOTH, ONE, TWO, items=items)
    assert goes(plan) == set()
    assert {one.why for one in plan.kept} == {"child of latest", f"child of {digest_of(BOTH)}"}
