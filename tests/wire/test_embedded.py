"""The client against the embedded registry with its profiles and faults.

One publication is pushed and read back. Both sides share a clock that jumps, so a lag of minutes takes no time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from msgspec.structs import replace

from bakery.errors import AuthError, BakeryError
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import Repository
from bakery.registry.config import RegistryConfig
from bakery.registry.credentials import CredentialSources
from bakery.rehearsal import Access, EmbeddedRegistry, Scheme, Traits
from bakery.rehearsal.faults import Drop, Lag, Refuse, Rule, Stale, When
from bakery.rehearsal.profiles import PROFILES
from bakery.rehearsal.routes import ApiRoute
from tests.clock import JumpingClock
from tests.wire.making import LAYER_TYPE, body_of, errors, image, make_client
from tests.wire.publishing import SHARED, Publication, publication, pull, push

READS = "GET HEAD"


def held(registry: EmbeddedRegistry, path: str, wanted: Publication) -> None:
    """Assert that the registry itself, not the client, has all of it."""
    assert registry.tags(path) == {"v1": wanted.index[0].digest, "latest": wanted.index[0].digest}
    for descriptor, raw in (*wanted.images, wanted.index):
        assert registry.manifest(path, descriptor.digest) == (descriptor.media_type, raw)
    for content in wanted.blobs:
        assert registry.blob(path, Descriptor.of(content, LAYER_TYPE).digest) == content


def logged_in_at(registry: EmbeddedRegistry) -> RegistryConfig:
    config = {"auths": {registry.address: {"username": "robot", "password": "secret"}}}
    return RegistryConfig(credentials=CredentialSources(inline=json.dumps(config)))


async def test_pushed_content_is_readable_and_a_second_push_writes_nothing():
    wanted = publication()
    async with EmbeddedRegistry() as registry, make_client() as client:
        where = Repository(registry.address, "acme/app")
        await push(client, where, wanted)
        held(registry, "acme/app", wanted)
        await pull(client, where, wanted)
        host = registry.address
        writes = {method: client.stats.requests[host, method] for method in ("POST", "PUT", "PATCH")}
        assert writes == {
            "POST": 4 + 2,
            "PUT": 4 + 3 + 2,
            "PATCH": 0,
        }  # one POST tries a mount, another proves mounts
        async with make_client() as again:
            await push(again, where, wanted)
            assert {method for (_, method) in again.stats.requests} == {"HEAD", "PUT"}
            assert again.stats.requests[host, "PUT"] == 3  # this publisher puts manifests by digest without looking


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("logged_in", [False, True])
@pytest.mark.parametrize("name", sorted(PROFILES.keys() - {"hostile"}))
async def test_a_publication_arrives_complete_at_each_registry_profile(name: str, logged_in: bool, seed: int):
    profile, clock, wanted = PROFILES[name], JumpingClock(), publication()
    access = replace(profile.login, users={"robot": "secret"}) if logged_in else None
    registry = EmbeddedRegistry(traits=profile.traits, rules=profile.rules, access=access, seed=seed, clock=clock)
    async with registry, make_client(clock=clock, config=logged_in_at(registry)) as client:
        where, other = (Repository(registry.address, path) for path in ("acme/app", "acme/other"))
        await push(client, where, wanted)
        held(registry, "acme/app", wanted)
        await pull(client, where, wanted)
        layer = Descriptor.of(SHARED, LAYER_TYPE)
        if not await client.blobs(other).mount(layer, client.blobs(where)):
            await client.blobs(other).write(layer, body_of(SHARED))
        assert registry.blob("acme/other", layer.digest) == SHARED
        await client.manifests.delete(where.with_tag("v1"))


async def test_immutable_tags_that_are_right_are_not_pushed_again():
    profile, clock, wanted = PROFILES["ecr"], JumpingClock(), publication()
    async with EmbeddedRegistry(traits=profile.traits, rules=profile.rules, seed=1, clock=clock) as registry:
        where = Repository(registry.address, "acme/app")
        for _ in range(2):
            async with make_client(clock=clock) as client:
                await push(client, where, wanted)
                await client.manifests.put(where.with_tag("v1"), RawManifest(*wanted.index))
        held(registry, "acme/app", wanted)


@pytest.mark.parametrize("seed", range(12))
async def test_a_hostile_registry_never_gets_wrong_content_accepted(seed: int):
    profile, clock, wanted = PROFILES["hostile"], JumpingClock(), publication()
    registry = EmbeddedRegistry(traits=profile.traits, rules=profile.rules, seed=seed, clock=clock)
    async with registry, make_client(clock=clock, config=RegistryConfig(stall_s=5, response_s=5)) as client:
        where = Repository(registry.address, "acme/app")
        finished = False
        try:
            await push(client, where, wanted)
            finished = True
        except* BakeryError:
            pass  # an error is as good as success
        if not finished:
            return
        held(registry, "acme/app", wanted)
        with contextlib.suppress(BakeryError):
            await pull(client, where, wanted)


async def test_reads_that_lag_for_minutes_are_waited_for_and_no_write_is_repeated():
    clock, wanted = JumpingClock(), publication()
    lag = Rule(name="lag", effect=Lag(120.0), method=READS)
    async with EmbeddedRegistry(rules=[lag], clock=clock) as registry, make_client(clock=clock) as client:
        where = Repository(registry.address, "acme/app")
        await push(client, where, wanted)
        held(registry, "acme/app", wanted)
        assert client.stats.requests[registry.address, "PUT"] == 4 + 3 + 2
        assert client.stats.requests[registry.address, "POST"] == 4 + 2  # one tries a mount, another proves mounts


async def test_polls_look_again_just_when_the_known_lag_of_a_host_ends():
    clock, wanted = JumpingClock(), publication()
    lag = Rule(name="lag", effect=Lag(7.0), method=READS, route=ApiRoute.MANIFEST)
    async with EmbeddedRegistry(rules=[lag], clock=clock) as registry, make_client(clock=clock) as client:
        where = Repository(registry.address, "acme/app")
        await push(client, where, wanted, tags=("v1",))
        waited = []
        for tag in ("v2", "v3", "v4"):
            await client.manifests.put(where.with_tag(tag), RawManifest(*wanted.index))
            began = clock.now()
            await client.manifests.await_tag(where.with_tag(tag), wanted.index[0].digest, previous=None)
            waited.append(clock.now() - began)
        assert waited[-1] <= 7.25
        assert client.stats.retries == 0


async def test_a_tag_that_still_reads_as_before_is_waited_for():
    clock, old, new = JumpingClock(), publication(b"old"), publication(b"new")
    async with EmbeddedRegistry(clock=clock) as registry, make_client(clock=clock) as client:
        where = Repository(registry.address, "acme/app")
        await push(client, where, old)
        registry.fault(READS, then=Stale(30.0))
        clock.time += 1000
        began = clock.now()
        await push(client, where, new)
        held(registry, "acme/app", new)
        assert clock.now() - began >= 30


@pytest.mark.parametrize("route", [ApiRoute.MANIFEST, ApiRoute.UPLOAD, ApiRoute.UPLOADS])
@pytest.mark.parametrize("when", [When.ARRIVAL, When.COMMIT])
async def test_after_a_reset_a_body_is_sent_again_only_if_it_did_not_arrive(route: ApiRoute, when: When):
    clock, wanted = JumpingClock(), publication()
    drop = Rule(name="reset", effect=Drop(), method="POST PUT", route=route, when=when, times=1)
    async with EmbeddedRegistry(rules=[drop], clock=clock) as registry, make_client(clock=clock) as client:
        where = Repository(registry.address, "acme/app")
        await push(client, where, wanted)
        held(registry, "acme/app", wanted)
        puts = client.stats.requests[registry.address, "PUT"]
        again = route is not ApiRoute.UPLOADS and when is When.ARRIVAL
        assert puts == 4 + 3 + 2 + again


async def test_content_that_vanished_after_it_was_found_is_named():
    wanted = publication()
    lost = errors("MANIFEST_BLOB_UNKNOWN", detail={"digest": str(Descriptor.of(SHARED, LAYER_TYPE).digest)})
    async with EmbeddedRegistry() as registry:
        where = Repository(registry.address, "acme/app")
        async with make_client() as earlier:
            await push(earlier, where, wanted, tags=())
        registry.fault("PUT", "/manifests/", then=Refuse(400, body=lost), times=1)
        async with make_client() as client:
            await push(client, where, wanted)
            assert client.stats.requests[registry.address, "POST"] == 1  # only that blob is sent again
        held(registry, "acme/app", wanted)


@pytest.mark.parametrize("scheme", list(Scheme))
async def test_a_publication_needs_the_login_that_the_registry_requires(scheme: Scheme):
    wanted = publication()
    access = Access(users={"robot": "secret"}, scheme=scheme)
    async with EmbeddedRegistry(access=access) as registry:
        where = Repository(registry.address, "acme/app")
        async with make_client(config=logged_in_at(registry)) as client:
            await push(client, where, wanted)
            await pull(client, where, wanted)
            held(registry, "acme/app", wanted)
            assert client.stats.token_requests <= 1  # pull and push were requested together
            assert client.stats.logins_refused == 1
        async with make_client() as stranger:
            with pytest.raises(AuthError):
                await stranger.manifests.head(where.with_tag("v1"))


async def test_without_a_referrers_api_no_referrer_is_lost_from_the_fallback_tag():
    """GHCR has no such API, and reads of the tag lag; several referrers of one subject write the same tag."""
    clock, wanted = JumpingClock(), publication()
    stale = Rule(name="stale", effect=Stale(5.0), method=READS, path="/manifests/sha256-")
    async with (
        EmbeddedRegistry(traits=Traits(referrers=False), rules=[stale], clock=clock) as registry,
        make_client(clock=clock) as client,
    ):
        where = Repository(registry.address, "acme/app")
        await push(client, where, wanted)
        subject = wanted.index[0]
        pointer = {"mediaType": subject.media_type, "digest": str(subject.digest), "size": subject.size}
        referrers = [
            image(SHARED, subject=pointer, artifactType="application/x", annotations={"number": str(number)})
            for number in range(3)
        ]
        async with asyncio.TaskGroup() as group:
            for descriptor, raw in referrers:
                group.create_task(
                    client.manifests.put(where.with_digest(descriptor.digest), RawManifest(descriptor, raw))
                )
        tag = f"sha256-{subject.digest.hex}"
        media_type, raw = registry.manifest("acme/app", tag)
        listed = json.loads(raw)["manifests"]
        assert media_type == mt.OCI_INDEX
        assert {entry["digest"] for entry in listed} == {str(descriptor.digest) for descriptor, _ in referrers}
        assert {entry["annotations"]["number"] for entry in listed} == {"0", "1", "2"}
        assert {entry["artifactType"] for entry in listed} == {"application/x"}
        clock.time += 100
        found = await client.manifests.referrers(where.with_digest(subject.digest))
        assert {entry.digest for entry in found} == {descriptor.digest for descriptor, _ in referrers}


async def test_mounts_tags_referrers_and_deletions_follow_the_specification():
    wanted = publication()
    async with EmbeddedRegistry(traits=Traits(mount_without_source=False)) as registry, make_client() as client:
        where, other = (Repository(registry.address, path) for path in ("acme/app", "acme/other"))
        await push(client, where, wanted)
        layer = Descriptor.of(SHARED, LAYER_TYPE)
        assert await client.blobs(other).mount(layer, client.blobs(where))
        assert await client.blobs(other).has(layer)
        assert sorted(await client.listings.tags(where)) == ["latest", "v1"]
        subject = wanted.index[0]
        pointer = {"mediaType": subject.media_type, "digest": str(subject.digest), "size": subject.size}
        referrer, raw = image(SHARED, subject=pointer, artifactType="application/x")
        await client.manifests.put(where.with_digest(referrer.digest), RawManifest(referrer, raw))
        assert [found.digest for found in await client.manifests.referrers(where.with_digest(subject.digest))] == [
            referrer.digest
        ]
        assert await client.manifests.delete(where.with_tag("latest"))
        assert await client.listings.tags(where) == ["v1"]
