"""Reading back what was put, at registries whose HEAD denies it although a GET finds it: one GET decides."""

from __future__ import annotations

import json

import pytest

from bakery.errors import NotFound
from bakery.oci.manifest import RawManifest
from bakery.registry.failure import TagTaken
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.faults import Refuse
from tests.clock import JumpingClock
from tests.engines.workload import add_image, layer
from tests.program import run_bakery
from tests.wire.making import headers_of, image, make_client, repository
from tests.wire.script import Response, ScriptedServer

DESCRIPTOR, RAW = image(b"a")
OTHER, OTHER_RAW = image(b"b")
MANIFEST = RawManifest(DESCRIPTOR, RAW)
PLACE = f"/v2/acme/app/manifests/{DESCRIPTOR.digest}"
TAG = "/v2/acme/app/manifests/v1"
THERE = Response(200, headers_of(DESCRIPTOR), RAW)


async def test_one_get_decides_once_lag_should_have_ended_and_from_then_on_the_host_gets_no_head():
    clock = JumpingClock()
    async with ScriptedServer() as server, make_client(clock=clock, lag_limit_s=600) as client:
        place, tag = repository(server).with_digest(DESCRIPTOR.digest), repository(server).with_tag("v1")
        server.expect("PUT", PLACE, 201)
        server.expect("HEAD", PLACE, 404, times=None)
        server.expect("GET", PLACE, THERE)
        await client.manifests.put(place, MANIFEST)
        assert await client.manifests.await_manifest(place) == DESCRIPTOR
        assert 5 <= clock.now() < 10, "the longest lag that registries usually have, not the whole limit"
        waited_s, looks = clock.now(), len(server.sent("HEAD"))
        server.expect("PUT", TAG, 201)
        server.expect("GET", TAG, THERE)
        await client.manifests.put(tag, MANIFEST)
        assert await client.manifests.await_tag(tag, DESCRIPTOR.digest, previous=None) == DESCRIPTOR.digest
        assert (clock.now(), len(server.sent("HEAD"))) == (waited_s, looks), "the next read back waits for nothing"


@pytest.mark.parametrize("within_s", [0.0, 2.0])
async def test_a_get_decides_before_the_end_of_a_short_limit_is_an_error(within_s: float):
    async with ScriptedServer() as server, make_client() as client:
        server.expect("HEAD", PLACE, 404, times=None)
        server.expect("GET", PLACE, THERE)
        place = repository(server).with_digest(DESCRIPTOR.digest)
        assert await client.manifests.await_manifest(place, within_s=within_s) == DESCRIPTOR


async def test_a_tag_whose_head_is_a_cached_answer_is_read_by_get_before_it_is_an_error():
    async with ScriptedServer() as server, make_client() as client:
        server.expect("HEAD", TAG, Response(200, headers_of(OTHER)), times=None)
        server.expect("GET", TAG, THERE)
        tag = repository(server).with_tag("v1")
        found = await client.manifests.await_tag(tag, DESCRIPTOR.digest, previous=OTHER.digest, within_s=3)
        assert found == DESCRIPTOR.digest


async def test_what_no_get_finds_either_is_an_error():
    async with ScriptedServer() as server, make_client() as client:
        for target, status in ((PLACE, 404), (TAG, 403)):
            server.expect("HEAD", target, 404, times=None)
            server.expect("GET", target, status, times=2)  # when lag should have ended, and at the end
        with pytest.raises(NotFound, match="still absent after 20 s"):
            await client.manifests.await_manifest(repository(server).with_digest(DESCRIPTOR.digest), within_s=20)
        with pytest.raises(NotFound, match="still names nothing"):
            await client.manifests.await_tag(
                repository(server).with_tag("v1"), DESCRIPTOR.digest, previous=None, within_s=20
            )


async def test_a_tag_that_a_get_finds_at_a_third_digest_is_taken():
    async with ScriptedServer() as server, make_client() as client:
        server.expect("HEAD", TAG, 404, times=None)
        server.expect("GET", TAG, Response(200, headers_of(OTHER), OTHER_RAW))
        with pytest.raises(TagTaken):
            await client.manifests.await_tag(repository(server).with_tag("v1"), DESCRIPTOR.digest, previous=None)


async def test_a_manifest_that_appears_just_then_was_only_late():
    clock = JumpingClock()
    async with ScriptedServer() as server, make_client(clock=clock) as client:
        place = repository(server).with_digest(DESCRIPTOR.digest)
        server.expect("HEAD", PLACE, lambda _: THERE if server.sent("GET") else Response(404), times=None)
        server.expect("GET", PLACE, THERE)
        assert await client.manifests.await_manifest(place) == DESCRIPTOR
        assert await client.manifests.head(place) == DESCRIPTOR
        assert len(server.sent("GET")) == 1, "its HEAD is right"


async def test_a_registry_that_is_right_or_only_slow_gets_no_get():
    async with ScriptedServer() as server, make_client() as client:
        server.expect("HEAD", PLACE, 404, times=3)
        server.expect("HEAD", PLACE, Response(200, headers_of(DESCRIPTOR)))
        await client.manifests.await_manifest(repository(server).with_digest(DESCRIPTOR.digest))


@pytest.mark.parametrize("status", [404, 403])
async def test_a_release_to_a_registry_without_heads_is_published_and_verified(tmp_path, status):
    async with EmbeddedRegistry() as source, EmbeddedRegistry() as registry:
        found = add_image(source, "tmp", "linux/amd64", layers=[layer("one")])
        registry.fault("HEAD", "/manifests/", then=Refuse(status, "MANIFEST_UNKNOWN"))
        words = ("-t", f"{registry.address}/app:1", "-t", f"{registry.address}/app:latest", "--wait-timeout", "1")
        reference = f"{source.address}/tmp@{found.digest}"
        done = await run_bakery(tmp_path, "imagetools", "create", *words, reference, "--summary-file", "s.json")
        assert done.code == 0, done.err
        assert set(registry.tags("app")) == {"1", "latest"}
        done = await run_bakery(tmp_path, "verify", "s.json", "--output", "json")
        assert (done.code, {one["state"] for one in json.loads(done.out)["references"]}) == (0, {"ok"}), done.err
