"""Cleaning a repository at GHCR: versions are listed and deleted by GitHub's API, and read by the registry's."""

from __future__ import annotations

import pytest

from bakery.clean.criteria import Criteria
from bakery.clean.github import GitHub, GitHubPlace
from bakery.clean.outcome import Fate
from bakery.errors import AuthError, RegistryError
from bakery.oci.reference import Repository
from bakery.registry.http.config import HttpConfig
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.retry import RetryPolicy
from tests.clean.ghcr import GitHubStandIn, github
from tests.clean.making import NAME, NOW, image_of, index_of, pointer, push, push_image, signature_tag, sweep_of
from tests.clock import JumpingClock
from tests.wire.making import make_client

UNTAGGED = Criteria(untagged=True)
OLD = "2026-01-01T00:00:00Z"
YOUNG = "2026-07-31T12:00:00Z"


@pytest.fixture
async def registry():
    async with EmbeddedRegistry() as embedded:
        yield embedded


@pytest.fixture
async def api(registry):
    async with github(registry) as stand_in:
        yield stand_in


async def swept(api: GitHubStandIn, criteria: Criteria, *, name: str = NAME, token: str = "", clock=None):
    clock = clock or JumpingClock()
    hub = GitHub(
        api.url,
        token or api.token,
        config=HttpConfig(),
        policy=RetryPolicy(max_attempts=3, base_delay=1.0),
        clock=clock,
        deadline=clock.now() + 10_000,
        time=NOW.timestamp(),
        emit=lambda event: None,
    )
    async with make_client() as client, hub:
        place = GitHubPlace(hub, Repository.parse(f"{api.registry.address}/{name}"))
        sweep = sweep_of(client, place, criteria)
        await sweep.plan()
        await sweep.delete()
        return sweep.outcome()


async def test_untagged_deletes_nothing_that_a_tagged_index_needs(registry, api):
    image, raw = push_image(registry, "one")
    attestation, raw_attestation = push_image(registry, "attestation")
    index = push(registry, index_of([raw, raw_attestation]), "latest")
    referrer, _ = push_image(registry, "sbom", subject=pointer(raw, "application/vnd.oci.image.manifest.v1+json"))
    signature, _ = push_image(registry, "sig", signature_tag(index))
    lost, raw_lost = push_image(registry, "lost")
    push(registry, index_of([raw_lost]))
    outcome = await swept(api, UNTAGGED)
    assert set(registry.manifests(NAME)) == {image, attestation, index, referrer, signature}
    assert lost not in registry.manifests(NAME)
    assert {one.why for one in outcome.plan.kept} == {"child of latest", f"referrer of {image}"}


async def test_a_child_that_another_build_pushed_again_stays_until_it_is_old_itself(registry, api):
    image, raw = push_image(registry, "one")
    index = push(registry, index_of([raw]))
    api.pushed = {index: OLD, image: YOUNG}
    await swept(api, Criteria(older_than=3.0))
    assert registry.manifests(NAME) == [image]


async def test_age_is_the_newest_of_push_and_creation(registry, api):
    pushed, _ = push_image(registry, "pushed lately", created=OLD)
    created, _ = push_image(registry, "created lately", created=YOUNG)
    old, _ = push_image(registry, "old", created=OLD)
    api.pushed = {pushed: YOUNG, created: OLD, old: OLD}
    await swept(api, Criteria(older_than=3.0))
    assert set(registry.manifests(NAME)) == {pushed, created}


async def test_pages_are_followed_to_the_last_one(registry, api):
    for number in range(230):
        push_image(registry, str(number))
    await swept(api, UNTAGGED)
    assert registry.manifests(NAME) == []
    assert sum(method == "GET" for method, _ in api.requests) == 2 * 3, "before the plan and before the deletes"


@pytest.mark.parametrize("fields", [{"page": 30}, {"ends_with_404": True}])
async def test_pages_may_be_short_and_the_one_after_the_last_may_be_missing(registry, fields):
    async with github(registry, **fields) as api:
        for number in range(100):
            push_image(registry, str(number))
        await swept(api, UNTAGGED)
        assert registry.manifests(NAME) == []


async def test_the_api_of_github_enterprise_has_a_path(registry):
    async with github(registry, prefix="/api/v3") as api:
        push_image(registry, "one")
        await swept(api, UNTAGGED)
        assert registry.manifests(NAME) == []


async def test_a_repository_of_a_user_is_found(registry):
    async with github(registry, owners={"acme": "users"}) as api:
        push_image(registry, "one")
        await swept(api, UNTAGGED)
        assert registry.manifests(NAME) == []


async def test_a_package_that_does_not_exist_is_nothing_to_do(api):
    outcome = await swept(api, UNTAGGED, name="acme/app/tmp")
    assert not outcome.exists
    assert not outcome.all_errors
    assert [path.partition("?")[0] for _, path in api.requests] == [
        "/orgs/acme/packages/container/app%2Ftmp/versions",
        "/users/acme/packages/container/app%2Ftmp/versions",
    ]


async def test_a_wrong_token_is_an_authentication_failure(registry, api):
    push_image(registry, "one")
    outcome = await swept(api, UNTAGGED, token="wrong")
    assert isinstance(outcome.failure, AuthError)
    assert "Bad credentials" in str(outcome.failure)
    assert "delete:packages" in outcome.failure.hint


@pytest.mark.parametrize(
    "words",
    [
        "Publicly visible package versions with more than 5000 downloads cannot be deleted.",
        "You cannot delete the last tagged version of a package. You must delete the package instead.",
    ],
)
async def test_what_github_never_deletes_is_no_failure_and_keeps_its_children(registry, api, words):
    image, raw = push_image(registry, "one")
    index = push(registry, index_of([raw]), "pr-1")
    api.intercept = lambda method, path: (400, {}, {"message": words}) if method == "DELETE" else None
    outcome = await swept(api, Criteria(tags=("^pr-",)))
    assert {one.digest: one.fate for one in outcome.plan.deletions} == {index: Fate.REFUSED, image: Fate.KEPT}
    assert not outcome.all_errors


async def test_a_version_that_has_gone_is_no_failure(registry, api):
    push_image(registry, "one")
    gone = {"message": "Package version not found."}
    api.intercept = lambda method, path: (404, {}, gone) if method == "DELETE" else None
    outcome = await swept(api, UNTAGGED)
    assert [one.fate for one in outcome.plan.deletions] == [Fate.GONE]
    assert not outcome.all_errors


async def test_rate_limits_are_waited_for_as_long_as_github_says(registry, api):
    push_image(registry, "one")
    clock = JumpingClock()
    reset = str(int(NOW.timestamp() + 1800))
    replies = [
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}, {"message": "API rate limit exceeded"}),
        (429, {"Retry-After": "7"}, {"message": "You have exceeded a secondary rate limit"}),
        (502, {}, {"message": "Server Error"}),
    ]
    api.intercept = lambda method, path: replies.pop(0) if replies else None
    outcome = await swept(api, UNTAGGED, clock=clock)
    assert [one.fate for one in outcome.plan.deletions] == [Fate.DELETED]
    assert 1800 + 7 <= sum(clock.slept) < 1800 + 7 + 10


async def test_a_server_that_keeps_failing_is_a_failure_and_nothing_is_deleted(registry, api):
    image, _ = push_image(registry, "one")
    api.intercept = lambda method, path: (500, {}, None)
    outcome = await swept(api, UNTAGGED)
    assert isinstance(outcome.failure, RegistryError)
    assert registry.manifests(NAME) == [image]


async def test_a_listed_index_that_the_registry_does_not_have_stops_the_repository(registry, api):
    kept = push(registry, index_of([image_of("one")[0]]), "latest")
    push_image(registry, "two")
    registry.fault("GET", f"manifests/{kept}", then="answer 500")
    outcome = await swept(api, UNTAGGED)
    assert outcome.failure is not None
    assert len(registry.manifests(NAME)) == 2


@pytest.mark.parametrize("body", [None, {}, [1], "x"])
async def test_a_list_that_is_none_is_an_error(registry, api, body):
    push_image(registry, "one")
    api.intercept = lambda method, path: (200, {}, body)
    assert (await swept(api, UNTAGGED)).failure is not None


async def test_versions_that_are_no_manifests_are_left_alone(registry, api):
    push_image(registry, "one")
    odd = [{"id": 1, "name": "1.0.0"}, {"id": 2}, {"id": 3, "name": None, "metadata": 5}]
    api.intercept = lambda method, path: (200, {}, odd)
    assert (await swept(api, UNTAGGED)).plan.deletions == ()
