"""Faults: what the client sees, and that a fault only counts once the client saw it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.rehearsal import EmbeddedRegistry
from bakery.rehearsal.faults import Cut, Drop, Lag, Refuse, Slow, Stale, Wait
from tests.clock import JumpingClock
from tests.rehearsal.content import LAYER, REPO, Http, finish, index

DIGEST = Digest.of(LAYER)


async def test_a_lost_response_leaves_the_blob_stored(http, registry):
    rule = registry.fault("PUT", "/blobs/uploads/", after="commit", then="drop the connection", times=1)
    location = (await http("POST", f"/v2/{REPO}/blobs/uploads/")).headers["Location"]
    with pytest.raises(aiohttp.ClientConnectionError):
        await http("PUT", finish(location, DIGEST), LAYER)
    assert registry.blob(REPO, DIGEST) == LAYER
    assert registry.bodies_received(DIGEST) == 1
    assert (await http("PUT", finish(location, DIGEST), LAYER)).codes == ["BLOB_UPLOAD_UNKNOWN"]
    assert (rule.met, registry.faults_met) == (1, {"drop the connection": 1})
    assert [(entry.status, entry.faults) for entry in registry.requests][1] == (0, ("drop the connection",))


async def test_a_connection_dropped_before_the_commit_leaves_nothing_stored(http, registry):
    registry.fault("PUT", "/blobs/uploads/", then=Drop(body_bytes=10), times=1)
    location = (await http("POST", f"/v2/{REPO}/blobs/uploads/")).headers["Location"]
    with pytest.raises(aiohttp.ClientConnectionError):
        await http("PUT", finish(location, DIGEST), LAYER)
    assert registry.repositories() == []
    assert (await http("PUT", finish(location, DIGEST), LAYER)).status == 201


async def test_an_injected_error_replaces_the_response(http, registry):
    refusal = Refuse(429, "TOOMANYREQUESTS", headers=(("Retry-After", "7"),))
    registry.fault("GET", "/manifests/", then=refusal, times=1)
    response = await http("GET", f"/v2/{REPO}/manifests/1")
    assert (response.status, response.codes, response.headers["Retry-After"]) == (429, ["TOOMANYREQUESTS"], "7")
    assert (await http("GET", f"/v2/{REPO}/manifests/1")).status == 404


async def test_an_error_after_the_commit_hides_a_completed_write(http, registry):
    registry.fault("PUT", "/manifests/", after="commit", then="answer 503", times=1)
    raw = index()
    assert (await http("PUT", f"/v2/{REPO}/manifests/1", raw, Content_Type=mt.OCI_INDEX)).status == 503
    assert registry.tags(REPO) == {"1": Digest.of(raw)}


@pytest.mark.parametrize("by_reset", [True, False])
async def test_a_cut_body_is_shorter_than_its_content_length(http, registry, by_reset):
    registry.put_blob(REPO, LAYER)
    registry.fault("GET", "/blobs/", then=Cut(0.5, by_reset), times=1)
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
        await http("GET", f"/v2/{REPO}/blobs/{DIGEST}")
    assert (await http("GET", f"/v2/{REPO}/blobs/{DIGEST}")).body == LAYER


async def test_an_altered_body_has_the_right_size_and_a_wrong_digest(http, registry):
    registry.put_blob(REPO, LAYER)
    registry.fault("GET", then="alter the body", times=1)
    response = await http("GET", f"/v2/{REPO}/blobs/{DIGEST}")
    assert len(response.body) == len(LAYER)
    assert Digest.of(response.body) != DIGEST
    assert registry.blob(REPO, DIGEST) == LAYER


async def test_a_wrong_digest_header_leaves_the_body_unchanged(http, registry):
    registry.put_manifest(REPO, index(), "1")
    registry.fault("GET", then="lie about the digest", times=1)
    response = await http("GET", f"/v2/{REPO}/manifests/1")
    assert response.body == index()
    assert response.headers["Docker-Content-Digest"] != str(Digest.of(index()))


async def test_slow_bodies_and_waits_use_the_given_clock(session):
    clock = JumpingClock()
    async with EmbeddedRegistry(clock=clock) as registry:
        registry.put_blob(REPO, LAYER)
        registry.fault("GET", then=Slow(piece_bytes=500, pause_s=3.0))
        registry.fault("GET", then=Wait(60.0), times=1)
        response = await Http(session, registry)("GET", f"/v2/{REPO}/blobs/{DIGEST}")
        assert response.body == LAYER
        assert clock.slept == [60.0] + [3.0] * -(-len(LAYER) // 500)


async def test_new_content_lags_by_digest_and_by_tag(session):
    clock = JumpingClock()
    async with EmbeddedRegistry(clock=clock) as registry:
        http = Http(session, registry)
        registry.fault("GET HEAD", then=Lag(4.0))
        digest = await http.push_image("1.0")
        paths = [f"/v2/{REPO}/{path}" for path in ("manifests/1.0", f"manifests/{digest}", f"blobs/{DIGEST}")]
        assert [(await http("GET", path)).status for path in paths] == [404, 404, 404]
        assert registry.faults_met == {"Lag": 3}
        clock.time += 4.0
        assert [(await http("GET", path)).status for path in paths] == [200, 200, 200]
        assert registry.faults_met == {"Lag": 3}


async def test_a_moved_tag_is_stale_for_a_while(session):
    clock = JumpingClock()
    async with EmbeddedRegistry(clock=clock) as registry:
        http, path = Http(session, registry), f"/v2/{REPO}/manifests/1.0"
        registry.fault("GET HEAD", then=Stale(5.0))
        old = registry.put_manifest(REPO, index(), "1.0")
        assert (await http("GET", path)).headers["Docker-Content-Digest"] == str(old)
        assert registry.faults_met == {}
        new = registry.put_manifest(REPO, index(annotations={"a": "b"}), "1.0")
        response = await http("GET", path)
        assert (response.headers["Docker-Content-Digest"], response.body) == (str(old), index())
        clock.time += 5.0
        assert (await http("GET", path)).headers["Docker-Content-Digest"] == str(new)
        assert registry.faults_met == {"Stale": 1}


async def test_a_rule_is_limited_to_its_repositories_and_skips_the_first_requests(http, registry):
    registry.fault("GET", then="answer 503", repository="acme/*", skip=1, times=1)
    paths = ["/v2/other/app/tags/list", "/v2/acme/app/tags/list", "/v2/acme/app/tags/list", "/v2/acme/app/tags/list"]
    assert [(await http("GET", path)).status for path in paths] == [404, 404, 503, 404]


async def test_random_faults_depend_on_the_seed():
    async def statuses(seed: int) -> list[int]:
        async with EmbeddedRegistry(seed=seed) as registry, aiohttp.ClientSession() as session:
            registry.fault("GET", then="answer 503", probability=0.5)
            return [(await Http(session, registry)("GET", "/v2/")).status for _ in range(40)]

    assert await statuses(1) == await statuses(1) != await statuses(2)
    assert set(await statuses(1)) == {200, 503}


async def test_cleared_faults_no_longer_apply_but_stay_counted(http, registry):
    registry.fault("GET", then="answer 503")
    assert (await http("GET", "/v2/")).status == 503
    registry.clear_faults()
    assert (await http("GET", "/v2/")).status == 200
    assert registry.faults_met == {"answer 503": 1}


async def test_an_upload_keeps_its_offset_when_the_client_disconnects(http, registry):
    location = (await http("POST", f"/v2/{REPO}/blobs/uploads/")).headers["Location"]
    await http("PATCH", location, LAYER[:100])

    async def broken_body() -> AsyncIterator[bytes]:
        yield LAYER[100:200]
        raise OSError("the client gives up")

    with pytest.raises(OSError):
        await http("PATCH", location, broken_body())
    assert (await http("GET", location)).headers["Range"] == "0-99"
    assert (await http("PUT", finish(location, DIGEST), LAYER[100:])).status == 201
