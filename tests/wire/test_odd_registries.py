"""Registries that respond oddly, as public reports describe them: what the client makes of it, and what it says."""

from __future__ import annotations

import gzip

import pytest

from bakery.errors import BakeryError, InvalidContent, NotFound, RegistryError
from bakery.events import Event, Noted, RequestRetried
from bakery.oci.manifest import RawManifest
from bakery.registry.http.failure import UnsafeTarget
from bakery.registry.retries import giving_up_after
from tests.clock import JumpingClock
from tests.wire.making import blob, body_of, errors, expect_proof, image, make_client, repository
from tests.wire.script import Response, ScriptedServer

UPLOADS = "/v2/acme/app/blobs/uploads/"
LAYER, CONTENT = blob()
DESCRIPTOR, RAW = image(b"a")
OTHER, _ = image(b"b")
SUBJECT = {"mediaType": DESCRIPTOR.media_type, "digest": str(DESCRIPTOR.digest), "size": DESCRIPTOR.size}
MANIFEST = RawManifest(DESCRIPTOR, RAW)
TAG = "/v2/acme/app/manifests/v1"
LOOK = f"/v2/acme/app/blobs/{LAYER.digest}"
MOUNT = f"{UPLOADS}?mount={LAYER.digest}&from=acme/base"
BUSY = Response(409, body=errors("CONFLICT", "another request is being processed"))


def named(descriptor) -> Response:
    headers = {
        "Content-Type": descriptor.media_type,
        "Docker-Content-Digest": str(descriptor.digest),
        "Content-Length": str(descriptor.size),
    }
    return Response(200, headers)


async def test_a_conflict_on_a_tag_is_retried():
    async with ScriptedServer() as server, make_client() as client:
        server.expect("PUT", TAG, BUSY)
        server.expect("HEAD", TAG, 404)
        server.expect("PUT", TAG, 201)
        await client.manifests.put(repository(server).with_tag("v1"), MANIFEST)


async def test_a_conflict_that_lasts_is_reported_with_the_registrys_words():
    async with ScriptedServer() as server, make_client() as client:
        server.expect("PUT", TAG, BUSY, times=None)
        server.expect("HEAD", TAG, 404, times=None)
        with pytest.raises(RegistryError, match="another request is being processed") as caught:
            await client.manifests.put(repository(server).with_tag("v1"), MANIFEST)
        assert "immutable" not in str(caught.value)


@pytest.mark.parametrize("status", [409, 412])
async def test_a_tag_that_keeps_other_content_is_immutable_and_the_registry_is_quoted(status: int):
    async with ScriptedServer() as server, make_client() as client:
        server.expect("PUT", TAG, Response(status, body=errors("X", "no")), times=None)
        server.expect("HEAD", TAG, named(OTHER), times=None)
        with pytest.raises(RegistryError, match=rf"immutable and names {OTHER.digest} \({status} X: no\)"):
            await client.manifests.put(repository(server).with_tag("v1"), MANIFEST)


async def test_a_conflict_beside_the_first_post_to_a_new_repository_is_retried():
    async with ScriptedServer() as server, make_client() as client:
        server.expect("POST", UPLOADS, 409)
        server.expect("POST", UPLOADS, Response(202, {"Location": "/u"}))
        server.expect("PUT", f"/u?digest={LAYER.digest}", 201)
        await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))


async def test_a_full_disk_is_reported_at_once_with_the_detail():
    body = b'{"errors":[{"code":"UNKNOWN","message":"unknown error","detail":{"Detail":"no space left on device"}}]}'
    async with ScriptedServer() as server, make_client() as client:
        server.expect("POST", UPLOADS, Response(500, body=body))
        with pytest.raises(RegistryError, match="disk is full: 500 UNKNOWN: unknown error; no space left on device"):
            await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))


async def test_a_500_is_reported_before_the_one_look_that_follows():
    events: list[Event] = []
    async with ScriptedServer() as server, make_client(events=events) as client:
        server.expect("POST", UPLOADS, Response(202, {"Location": "/u"}), times=2)
        server.expect("PUT", f"/u?digest={LAYER.digest}", 500)
        server.expect("HEAD", LOOK, 404)
        server.expect("PUT", f"/u?digest={LAYER.digest}", 201)
        await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))
    reported = [event.reason for event in events if isinstance(event, RequestRetried)]
    assert reported == ["500", "500"]


async def test_a_repository_that_must_be_created_is_named():
    async with ScriptedServer() as server, make_client() as client:
        server.expect("POST", UPLOADS, Response(404, body=errors("NAME_UNKNOWN", "it does not exist")))
        with pytest.raises(NotFound, match="it does not exist") as caught:
            await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))
        assert caught.value.hint.startswith("create the repository acme/app")


async def test_a_mount_that_keeps_failing_is_tried_twice():
    async with ScriptedServer() as server, make_client() as client:
        server.expect("POST", MOUNT, 500, times=2)
        server.expect("HEAD", LOOK, 404)
        assert not await client.blobs(repository(server)).mount(LAYER, client.blobs(repository(server, "acme/base")))


async def test_the_mounts_of_a_host_that_acknowledges_every_mount_count_only_after_a_look():
    mounted = Response(201, {"Docker-Content-Digest": str(LAYER.digest)})
    async with ScriptedServer() as server, make_client() as client:
        server.expect("POST", MOUNT, mounted, times=2)
        expect_proof(server, source="acme/base", status=201)  # of a digest that it cannot have
        server.expect("HEAD", LOOK, 404, times=2)
        for _ in range(2):
            source = client.blobs(repository(server, "acme/base"))
            assert not await client.blobs(repository(server)).mount(LAYER, source)


async def test_a_blob_put_with_status_202_is_looked_for_over_some_seconds():
    async with ScriptedServer() as server, make_client() as client:
        server.expect("POST", UPLOADS, Response(202, {"Location": "/u"}))
        server.expect("PUT", f"/u?digest={LAYER.digest}", 202)
        server.expect("HEAD", LOOK, 404, times=3)
        server.expect("HEAD", LOOK, Response(200, {"Content-Length": str(LAYER.size)}))
        await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Length": "7"}, {"Docker-Content-Digest": str(OTHER.digest)}], ids=str
)
async def test_a_blob_that_a_head_does_not_prove_is_uploaded(headers: dict[str, str]):
    async with ScriptedServer() as server, make_client() as client:
        server.expect("HEAD", LOOK, Response(200, headers))
        assert not await client.blobs(repository(server)).has(LAYER)


async def test_an_upload_session_cannot_leave_the_repository_by_dot_segments():
    async with ScriptedServer() as server, make_client() as client:
        for location in (
            "../../../../../admin",
            f"{UPLOADS}%2e%2e/%2e%2e/%2e%2e/other/blobs/uploads/x",
        ):
            server.expect("POST", UPLOADS, Response(202, {"Location": location}))
            with pytest.raises(UnsafeTarget, match="outside the repository"):
                await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))


async def test_a_list_of_tags_that_is_refused_without_a_challenge_decides_nothing():
    async with ScriptedServer() as server, make_client() as client:
        server.expect("GET", "/v2/acme/app/tags/list?n=1", 401)
        server.expect("GET", "/v2/", 200)
        assert await client.listings.has_repository(repository(server))


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_an_upload_session_may_be_named_without_a_scheme(name: str):
    async with ScriptedServer(name=name) as server, make_client() as client:
        location = f"{server.host}/v2/acme/app/blobs/uploads/u"
        server.expect("POST", UPLOADS, Response(202, {"Location": location}))
        server.expect("PUT", f"{UPLOADS}u?digest={LAYER.digest}", 201)
        await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))


@pytest.mark.parametrize("raw", ["é", "À", "上"])
async def test_an_upload_session_and_a_redirect_with_bytes_that_are_not_ascii_are_followed(raw: str):
    sent = raw.encode().decode("latin-1")  # the bytes of UTF-8, as they are in a header
    quoted = "".join(f"%{byte:02X}" for byte in raw.encode())
    async with ScriptedServer() as server, make_client() as client:
        server.expect("POST", UPLOADS, Response(202, {"Location": f"{UPLOADS}u?_state={sent}"}))
        server.expect("PUT", f"{UPLOADS}u?_state={quoted}&digest={LAYER.digest}", 201)
        await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))
        server.expect("GET", TAG, Response(307, {"Location": f"{server.origin}/storage/{sent}"}))
        server.expect("GET", f"/storage/{quoted}", Response(200, {"Content-Type": DESCRIPTOR.media_type}, RAW))
        assert (await client.manifests.get(repository(server).with_tag("v1"))).raw == RAW


@pytest.mark.parametrize("location", ["/u\xc3\xa9 x", "/u\x01\xc3\xa9"])
async def test_blanks_and_control_characters_in_a_location_are_refused(location: str):
    async with ScriptedServer() as server, make_client() as client:
        server.expect("POST", UPLOADS, Response(202, {"Location": location}))
        with pytest.raises(BakeryError):
            await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))


async def test_a_registry_that_loses_every_session_is_given_up():
    lost = Response(404, body=errors("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"))
    async with ScriptedServer() as server, make_client() as client:
        server.expect("POST", UPLOADS, Response(202, {"Location": "/u"}), times=None)
        server.expect("PUT", f"/u?digest={LAYER.digest}", lost, times=11)
        server.expect("HEAD", LOOK, 404, times=None)
        with pytest.raises(RegistryError, match="blob upload unknown to registry"):
            await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))


async def test_an_error_that_is_compressed_unasked_is_quoted_and_retried_like_any_other():
    busy = Response(503, {"Content-Encoding": "gzip"}, gzip.compress(errors("UNAVAILABLE", "busy")))
    no = Response(
        400, {"Content-Encoding": "gzip"}, gzip.compress(errors("X", "the name is too long") + b" " * 100_000)
    )
    async with ScriptedServer() as server, make_client() as client:
        server.expect("POST", UPLOADS, busy)
        server.expect("POST", UPLOADS, no)
        with pytest.raises(RegistryError, match="400 X: the name is too long"):
            await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))


@pytest.mark.parametrize("status", [400, 403, 405, 406, 501])
async def test_a_manifest_is_read_if_the_registry_supports_no_head(status: int):
    async with ScriptedServer() as server, make_client() as client:
        server.expect("HEAD", TAG, status)
        server.expect("GET", TAG, Response(200, {"Content-Type": DESCRIPTOR.media_type}, RAW))
        assert await client.manifests.head(repository(server).with_tag("v1")) == DESCRIPTOR


async def test_a_next_page_cannot_leave_the_repository_by_dot_segments():
    page = Response(200, {"Link": '</v2/acme/app/../../other/tags/list>; rel="next"'}, b'{"tags":["v1"]}')
    async with ScriptedServer() as server, make_client() as client:
        server.expect("GET", "/v2/acme/app/tags/list?n=1000", page)
        with pytest.raises(RegistryError, match="outside the repository"):
            await client.listings.tags(repository(server))


@pytest.mark.parametrize("status", [401, 403, 500])
async def test_a_referrers_api_that_fails_is_a_warning(status: int):
    descriptor, raw = image(b"b", subject=SUBJECT)
    events: list[Event] = []
    async with ScriptedServer() as server, make_client(events=events) as client:
        server.expect("PUT", f"/v2/acme/app/manifests/{descriptor.digest}", 201)
        server.expect("GET", f"/v2/acme/app/referrers/{DESCRIPTOR.digest}", status, times=None)
        server.expect("GET", "/v2/", 401, times=None)
        await client.manifests.put(repository(server).with_digest(descriptor.digest), RawManifest(descriptor, raw))
    assert any(isinstance(event, Noted) and "may not be listed as a referrer" in event.message for event in events)


@pytest.mark.parametrize(("deadline_s", "longest_s"), [(1800.0, 60.0), (40.0, 20.0)])
async def test_a_read_that_a_release_can_do_without_leaves_it_half_of_the_time(deadline_s: float, longest_s: float):
    clock = JumpingClock()
    async with ScriptedServer() as server, make_client(clock=clock, deadline=deadline_s) as client:
        server.expect("GET", f"/v2/acme/app/referrers/{DESCRIPTOR.digest}", 500, times=None)
        with pytest.raises(RegistryError) as caught, giving_up_after(60):
            await client.manifests.referrers(repository(server).with_digest(DESCRIPTOR.digest))
    assert caught.value.why == "500", "it is not the time budget that ended"
    assert len(clock.slept) >= 3
    assert clock.now() <= longest_s


async def test_a_web_page_in_place_of_the_referrers_api_counts_as_no_api():
    page = Response(200, {"Content-Type": "text/html"}, b"<html>")
    async with ScriptedServer() as server, make_client() as client:
        server.expect("GET", f"/v2/acme/app/referrers/{DESCRIPTOR.digest}", page)
        assert await client.listings.referrers(repository(server).with_digest(DESCRIPTOR.digest)) is None


async def test_pages_that_lead_back_to_one_of_them_are_an_error():
    page = Response(200, {"Link": '</v2/acme/app/tags/list?n=1000>; rel="next"'}, b'{"tags":["v1"]}')
    async with ScriptedServer() as server, make_client() as client:
        server.expect("GET", "/v2/acme/app/tags/list?n=1000", page)
        with pytest.raises(RegistryError, match="its pages lead back to one of them"):
            await client.listings.tags(repository(server))


async def test_an_immutable_fallback_tag_is_a_warning():
    descriptor, raw = image(b"b", subject=SUBJECT)
    fallback = f"/v2/acme/app/manifests/sha256-{DESCRIPTOR.digest.hex}"
    events: list[Event] = []
    async with ScriptedServer() as server, make_client(events=events) as client:
        server.expect("PUT", f"/v2/acme/app/manifests/{descriptor.digest}", 201)
        server.expect("GET", f"/v2/acme/app/referrers/{DESCRIPTOR.digest}", 404)
        server.expect("GET", fallback, 404)
        server.expect("PUT", fallback, Response(400, body=errors("TAG_INVALID", "the tag is immutable")))
        server.expect("HEAD", fallback, named(OTHER))
        await client.manifests.put(repository(server).with_digest(descriptor.digest), RawManifest(descriptor, raw))
    assert any(isinstance(event, Noted) and "immutable" in event.message for event in events)


async def test_a_manifest_that_is_compressed_unasked_is_read_and_verified():
    import gzip

    headers = {"Content-Type": DESCRIPTOR.media_type, "Content-Encoding": "gzip"}
    path = f"/v2/acme/app/manifests/{DESCRIPTOR.digest}"
    async with ScriptedServer() as server, make_client() as client:
        server.expect("GET", path, Response(200, headers, gzip.compress(RAW)))
        assert (await client.manifests.get(repository(server).with_digest(DESCRIPTOR.digest))).raw == RAW
        server.expect("GET", path, Response(200, headers, gzip.compress(bytes(64 * 1024 * 1024))))
        with pytest.raises(InvalidContent, match="longer than"):
            await client.manifests.get(repository(server).with_digest(DESCRIPTOR.digest))


async def test_a_digest_header_in_upper_case_is_read_as_it_is_meant():
    stated = {"Docker-Content-Digest": f"sha256:{DESCRIPTOR.digest.hex.upper()}", "Content-Type": DESCRIPTOR.media_type}
    path = f"/v2/acme/app/manifests/{DESCRIPTOR.digest}"
    async with ScriptedServer() as server, make_client() as client:
        place = repository(server).with_digest(DESCRIPTOR.digest)
        server.expect("HEAD", path, Response(200, {**stated, "Content-Length": str(DESCRIPTOR.size)}))
        server.expect("GET", path, Response(200, stated, RAW))
        assert await client.manifests.head(place) == DESCRIPTOR
        assert (await client.manifests.get(place)).raw == RAW
