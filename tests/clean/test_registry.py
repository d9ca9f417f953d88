"""Cleaning a repository of a registry: what goes, what stays, and in which order, by real requests."""

from __future__ import annotations

import json

import pytest

from bakery.clean.criteria import Criteria
from bakery.clean.distribution import DistributionPlace
from bakery.clean.outcome import Fate
from bakery.errors import AuthError, UsageError
from bakery.events import Event, StepFinished, TargetFinished
from bakery.oci.reference import Repository
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.faults import Refuse
from bakery.rehearsal.traits import Traits
from bakery.retry import RetryPolicy
from tests.clean.making import (
    NAME,
    image_of,
    index_of,
    pointer,
    push,
    push_image,
    signature_tag,
    sweep_of,
    swept,
)
from tests.wire.making import make_client

PR = Criteria(tags=("^pr-",))


@pytest.fixture
async def registry():
    async with EmbeddedRegistry() as embedded:
        yield embedded


def deleted(registry: EmbeddedRegistry) -> list[str]:
    return [request.path.rpartition("/")[2] for request in registry.requests if request.method == "DELETE"]


async def test_a_tag_takes_its_index_its_children_and_their_signatures_along(registry):
    image, raw = push_image(registry, "one")
    index = push(registry, index_of([raw]), "pr-1")
    push_image(registry, "signature", signature_tag(index))
    push_image(registry, "signature of the child", signature_tag(image, ".att"))
    other, _ = push_image(registry, "two", "latest")
    outcome = await swept(registry, PR)
    assert registry.manifests(NAME) == [other]
    assert {one.fate for one in outcome.plan.deletions} == {Fate.DELETED}
    assert not outcome.all_errors


async def test_an_index_goes_before_its_children(registry):
    image, raw = push_image(registry, "one")
    inner = index_of([raw])
    push(registry, inner)
    index = push(registry, index_of([inner]), "pr-1")
    await swept(registry, PR)
    order = deleted(registry)
    assert order[0] == str(index)
    assert order[-1] == str(image)


async def test_an_index_that_a_tag_makes_the_signature_of_its_own_child_goes_before_it(registry):
    image, raw = push_image(registry, "one", "pr-1")
    index = push(registry, index_of([raw]), signature_tag(image))
    await swept(registry, PR)
    assert deleted(registry) == [str(index), str(image)]


async def test_what_a_kept_index_shares_with_a_deleted_one_stays(registry):
    shared, raw = push_image(registry, "shared")
    own, raw_own = push_image(registry, "own")
    kept = push(registry, index_of([raw]), "latest")
    push(registry, index_of([raw, raw_own]), "pr-1")
    await swept(registry, PR)
    assert set(registry.manifests(NAME)) == {shared, kept}
    assert own not in registry.manifests(NAME)


async def test_signatures_and_referrers_of_kept_digests_stay(registry):
    image, raw = push_image(registry, "one", "latest")
    signature, _ = push_image(registry, "sig", signature_tag(image))
    referrer, _ = push_image(registry, "sbom", subject=pointer(raw, "application/vnd.oci.image.manifest.v1+json"))
    await swept(registry, Criteria(older_than=1.0, tags=("sig$", "^pr-")), referrer)
    await swept(registry, Criteria(untagged=True), referrer)
    assert set(registry.manifests(NAME)) == {image, signature, referrer}


async def test_a_tagged_referrer_keeps_its_subject(registry):
    image, raw = push_image(registry, "one", "pr-1")
    sbom, _ = push_image(registry, "sbom", "sbom", subject=pointer(raw, "application/vnd.oci.image.manifest.v1+json"))
    outcome = await swept(registry, PR)
    assert set(registry.manifests(NAME)) == {image, sbom}
    assert [one.why for one in outcome.plan.kept] == ["subject of sbom"]


async def test_the_fallback_index_of_referrers_goes_with_its_subject_and_lists_what_goes():
    async with EmbeddedRegistry(traits=Traits(referrers=False)) as registry:
        image, raw = push_image(registry, "one", "pr-1")
        subject = pointer(raw, "application/vnd.oci.image.manifest.v1+json")
        _, raw_referrer = push_image(registry, "sbom", subject=subject)
        push(registry, index_of([raw_referrer]), signature_tag(image, ""))
        kept, _ = push_image(registry, "two", "latest")
        await swept(registry, PR)
        assert registry.manifests(NAME) == [kept]


async def test_only_the_tag_goes_if_the_image_has_another_one(registry):
    image, _ = push_image(registry, "one", "pr-1", "latest")
    outcome = await swept(registry, PR)
    assert registry.tags(NAME) == {"latest": image}
    assert deleted(registry) == ["pr-1"]
    assert len(outcome.plan.deletions) == 1


async def test_an_unreadable_kept_index_stops_the_repository(registry):
    kept = push(registry, index_of([image_of("one")[0]]), "latest")
    push_image(registry, "two", "pr-1")
    registry.fault("GET", str(kept), then="answer 500")
    outcome = await swept(registry, PR)
    assert deleted(registry) == []
    assert outcome.failure is not None
    assert "latest" in registry.tags(NAME)


async def test_a_missing_child_index_of_a_kept_index_stops_the_repository(registry):
    push(registry, index_of([index_of([])]), "latest")
    push_image(registry, "two", "pr-1")
    assert (await swept(registry, PR)).failure is not None
    assert deleted(registry) == []


async def test_a_missing_child_image_is_a_note(registry):
    push(registry, index_of([image_of("lost")[0]]), "latest")
    push_image(registry, "two", "pr-1")
    outcome = await swept(registry, PR)
    assert "pr-1" not in registry.tags(NAME)
    assert "is missing already: child of" in outcome.plan.notes[0]


async def test_a_selected_manifest_that_cannot_be_read_stays_and_is_an_error(registry):
    image, _ = push_image(registry, "one", "pr-1")
    other, _ = push_image(registry, "two", "pr-2")
    signature, _ = push_image(registry, "signature", signature_tag(image))
    registry.fault("GET", str(image), then="answer 500")
    outcome = await swept(registry, PR)
    assert set(registry.manifests(NAME)) == {image, signature}
    assert "cannot be read" in outcome.plan.kept[0].why
    assert len(outcome.all_errors) == 1
    assert other not in registry.manifests(NAME)


async def test_a_refused_read_is_an_authentication_failure_and_nothing_is_deleted(registry):
    image, _ = push_image(registry, "one", "pr-1")
    push_image(registry, "two", "pr-2")
    registry.fault("GET", str(image), then=Refuse(403, "DENIED"))
    outcome = await swept(registry, PR)
    assert isinstance(outcome.failure, AuthError)
    assert deleted(registry) == []


async def test_an_annotation_keeps_what_it_names(registry):
    base, _ = push_image(registry, "base")
    image, _ = push_image(registry, "one", "latest", annotations={"org.opencontainers.image.base.digest": str(base)})
    await swept(registry, Criteria(untagged=True), base)
    assert set(registry.manifests(NAME)) == {base, image}


async def test_a_soci_index_goes_with_the_image_that_names_it_and_a_base_does_not(registry):
    base, _ = push_image(registry, "base")
    soci, _ = push_image(registry, "SOCI index")
    names = {"com.amazon.soci.index-digest": str(soci), "org.opencontainers.image.base.digest": str(base)}
    push_image(registry, "one", "pr-1", annotations=names)
    await swept(registry, PR, base, soci)
    assert registry.manifests(NAME) == [base]


async def test_a_cache_that_is_an_index_of_layers_is_kept_and_deleted_as_one_manifest(registry):
    def cache(salt: str) -> bytes:
        layers = [
            pointer(f"{salt} {number}".encode(), "application/vnd.oci.image.layer.v1.tar+zstd") for number in (1, 2)
        ]
        config = pointer(b"{}", "application/vnd.buildkit.cacheconfig.v0")
        return index_of([], manifests=[*layers, config])

    kept = push(registry, cache("kept"), "main")
    push(registry, cache("gone"), "pr-1")
    outcome = await swept(registry, PR)
    assert outcome.failure is None
    assert outcome.plan.notes == ()
    assert registry.manifests(NAME) == [kept]


async def test_a_repository_that_does_not_exist_is_nothing_to_do(registry):
    outcome = await swept(registry, PR, name="acme/none")
    assert not outcome.exists
    assert not outcome.all_errors


async def test_age_is_that_of_the_newest_child_and_unknown_age_is_not_old(registry):
    old, raw_old = push_image(registry, "old", created="2026-01-01T00:00:00Z")
    new, raw_new = push_image(registry, "new", created="2026-07-31T00:00:00Z")
    push(registry, index_of([raw_old, raw_new]), "mixed")
    push(registry, index_of([raw_old]), "old")
    push_image(registry, "unknown", "unknown")
    push_image(registry, "reproducible", "reproducible", created="1970-01-01T00:00:00Z")
    outcome = await swept(registry, Criteria(older_than=3.0))
    assert set(registry.tags(NAME)) == {"mixed", "unknown", "reproducible"}
    assert [one.why for one in outcome.plan.deletions] == ["212 days old"]
    assert {old, new} <= set(registry.manifests(NAME)), "mixed needs both"


async def test_keep_tag_wins_over_everything(registry):
    push_image(registry, "one", "pr-1", created="2026-01-01T00:00:00Z")
    push_image(registry, "two", "pr-2", created="2026-01-01T00:00:00Z")
    await swept(registry, Criteria(older_than=1.0, tags=("^pr-",), keep_tags=("2$",)))
    assert set(registry.tags(NAME)) == {"pr-2"}


async def test_keep_last_counts_images_by_time_and_then_by_natural_order(registry):
    for number in (8, 9, 10, 11):
        push_image(registry, f"previous {number}", f"previous-{number}")
    push_image(registry, "newest", "previous-1", created="2026-07-31T00:00:00Z")
    push_image(registry, "other", "latest")
    await swept(registry, Criteria(tags=("^previous-",), keep_last=2))
    assert set(registry.tags(NAME)) == {"latest", "previous-1", "previous-11"}


async def test_files_name_manifests_without_a_tag(registry):
    image, raw = push_image(registry, "one")
    index = push(registry, index_of([raw]))
    kept, _ = push_image(registry, "other")
    await swept(registry, Criteria(named=True), index)
    assert registry.manifests(NAME) == [kept]
    assert image not in registry.manifests(NAME)


async def test_a_refused_index_keeps_its_children(registry):
    image, raw = push_image(registry, "one")
    index = push(registry, index_of([raw]), "pr-1")
    registry.fault("DELETE", str(index), then=Refuse(403, "DENIED"))
    outcome = await swept(registry, PR)
    assert set(registry.manifests(NAME)) == {image, index}
    assert {one.digest: one.fate for one in outcome.plan.deletions} == {index: Fate.FAILED, image: Fate.KEPT}


async def test_a_registry_without_deletes_is_a_failure():
    async with EmbeddedRegistry(traits=Traits(delete_manifests=False, delete_tags=False)) as registry:
        push_image(registry, "one", "pr-1")
        outcome = await swept(registry, PR)
        assert [one.fate for one in outcome.plan.deletions] == [Fate.FAILED]
        assert outcome.all_errors


async def test_what_was_tagged_since_the_plan_is_kept(registry):
    image, raw = push_image(registry, "one")
    push(registry, index_of([raw]), "pr-1")
    async with make_client() as client:
        place = DistributionPlace(client, Repository.parse(f"{registry.address}/{NAME}"))
        sweep = sweep_of(client, place, PR)
        await sweep.plan()
        push(registry, raw, "latest")
        push(registry, index_of([raw, image_of("new")[0]]), "pr-2")
        await sweep.delete()
    assert set(registry.tags(NAME)) == {"latest", "pr-2"}, "pr-2 was not shown"
    assert {one.digest: one.fate for one in sweep.outcome().plan.deletions}[image] is Fate.KEPT


async def test_a_child_stays_if_an_index_that_was_not_shown_needs_it(registry):
    image, raw = push_image(registry, "one")
    push(registry, index_of([raw]), "pr-1")
    async with make_client() as client:
        place = DistributionPlace(client, Repository.parse(f"{registry.address}/{NAME}"))
        sweep = sweep_of(client, place, PR)
        await sweep.plan()
        push(registry, index_of([raw], annotations={"a": "b"}), "pr-2")
        await sweep.delete()
    assert set(registry.tags(NAME)) == {"pr-2"}
    assert image in registry.manifests(NAME)


async def test_a_second_run_finds_nothing_to_do(registry):
    push_image(registry, "one", "pr-1")
    push_image(registry, "two", "latest")
    await swept(registry, PR)
    registry.forget_requests()
    assert (await swept(registry, PR)).plan.deletions == ()
    assert deleted(registry) == []


async def test_the_size_counts_blobs_that_nothing_else_names(registry):
    raw, *blobs = image_of("shared")
    push(registry, raw, *blobs, "latest")
    again = json.dumps({**json.loads(raw), "annotations": {"a": "b"}}).encode()
    push(registry, again, "pr-1")
    assert (await swept(registry, PR)).plan.freed_bytes == len(again)


def test_an_invalid_expression_is_wrong_usage():
    with pytest.raises(UsageError, match="invalid value for --tag"):
        Criteria(tags=("(",))
    with pytest.raises(UsageError, match="invalid value for --keep-tag"):
        Criteria(keep_tags=("(",))


@pytest.mark.parametrize(("refused", "state"), [(False, "done"), (True, "failed")])
async def test_the_steps_of_a_repository_are_events_and_their_failure_too(registry, refused, state):
    push_image(registry, "one", "pr-1")
    if refused:
        registry.fault("DELETE", "/manifests/", then=Refuse(500, "UNKNOWN"))
    events: list[Event] = []
    async with make_client(policy=RetryPolicy(max_attempts=1, attempts_were_set=True)) as client:
        repository = Repository.parse(f"{registry.address}/{NAME}")
        sweep = sweep_of(client, DistributionPlace(client, repository, ()), PR, emit=events.append)
        await sweep.plan()
        await sweep.delete()
        sweep.end()
    steps = [event for event in events if isinstance(event, StepFinished)]
    assert [(step.target, step.step, bool(step.error)) for step in steps] == [
        (str(repository), "survey", False),
        (str(repository), "delete", refused),
    ]
    assert events[-1] == TargetFinished(str(repository), state, 0.0)
