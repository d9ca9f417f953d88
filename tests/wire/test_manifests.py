"""Manifests and tags over real sockets."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from bakery.errors import AuthError, BadDocument, DigestMismatch, NotFound, RegistryError
from bakery.events import RequestRetried
from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.oci.manifest import RawManifest
from bakery.registry.failure import TagTaken
from tests.clock import JumpingClock
from tests.wire.making import errors, headers_of, image, make_client, repository
from tests.wire.script import Response, ScriptedServer


async def test_accept_lists_every_manifest_type():
    descriptor, raw = image(b"a")
    async with ScriptedServer() as server, make_client() as client:
        server.expect("GET", "/v2/acme/app/manifests/v1", Response(200, headers_of(descriptor), raw))
        server.expect("HEAD", "/v2/acme/app/manifests/v1", Response(200, headers_of(descriptor)))
        reference = repository(server).with_tag("v1")
        assert await client.manifests.get(reference) == RawManifest(descriptor, raw)
        assert await client.manifests.head(reference) == descriptor
        for request in server.received:
            assert set((request.header("Accept") or "").split(", ")) == set(mt.ALL_MANIFESTS)
            assert request.header("Accept-Encoding") == "identity"


async def test_an_absent_manifest_is_none_for_head_and_an_error_for_get():
    async with ScriptedServer() as server, make_client() as client:
        server.expect("HEAD", "/v2/acme/app/manifests/v1", 404)
        server.expect("GET", "/v2/acme/app/manifests/v1", Response(404, body=errors("MANIFEST_UNKNOWN")))
        reference = repository(server).with_tag("v1")
        assert await client.manifests.head(reference) is None
        with pytest.raises(NotFound, check=lambda error: bool(error.hint)):
            await client.manifests.get(reference)


async def test_a_403_means_absence_only_in_repositories_that_the_run_writes_to():
    """Artifactory's virtual repositories respond 403 for an absent manifest."""
    async with ScriptedServer() as server, make_client() as client:
        server.expect("HEAD", "/v2/acme/app/manifests/v1", 403, times=2)
        server.expect("GET", "/v2/acme/app/manifests/v1", Response(403, body=errors("DENIED")), times=2)
        reference = repository(server).with_tag("v1")
        with pytest.raises(AuthError):
            await client.manifests.head(reference)
        client.announce_writes([reference.repository])
        assert await client.manifests.head(reference) is None


async def test_a_head_without_headers_is_repeated_as_a_get():
    descriptor, raw = image(b"a")
    async with ScriptedServer() as server, make_client() as client:
        server.expect("HEAD", "/v2/acme/app/manifests/v1", 200)
        server.expect("GET", "/v2/acme/app/manifests/v1", Response(200, {"Content-Type": mt.OCI_MANIFEST}, raw))
        assert await client.manifests.head(repository(server).with_tag("v1")) == descriptor


async def test_a_manifest_that_must_exist_is_polled_at_growing_intervals_and_each_wait_is_reported():
    descriptor, raw = image(b"a")
    clock = JumpingClock()
    events: list[Any] = []
    async with ScriptedServer() as server, make_client(clock=clock, events=events) as client:
        server.expect("GET", f"/v2/acme/app/manifests/{descriptor.digest}", 404, times=4)
        server.expect("GET", f"/v2/acme/app/manifests/{descriptor.digest}", Response(200, headers_of(descriptor), raw))
        await client.manifests.get(repository(server).with_digest(descriptor.digest), must_exist=True)
    assert clock.slept == sorted(clock.slept)
    assert clock.slept[0] == 0.25
    waits = [event for event in events if isinstance(event, RequestRetried)]
    assert [event.wait_s for event in waits] == clock.slept
    assert all(event.reason for event in waits)


async def test_waiting_for_a_manifest_that_must_exist_ends_at_its_limit():
    clock = JumpingClock()
    async with ScriptedServer() as server, make_client(clock=clock) as client:
        server.expect("GET", "/v2/acme/app/manifests/v1", 404, times=None)
        with pytest.raises(NotFound):
            await client.manifests.get(repository(server).with_tag("v1"), must_exist=True, within_s=30)
    assert sum(clock.slept) == pytest.approx(30)


async def test_content_with_another_digest_is_refused():
    descriptor, _ = image(b"a")
    _, other = image(b"b")
    async with ScriptedServer() as server, make_client() as client:
        server.expect(
            "GET",
            f"/v2/acme/app/manifests/{descriptor.digest}",
            Response(200, headers_of(descriptor), other, length=len(other)),
            times=2,  # a cache may be wrong once
        )
        server.expect("HEAD", f"/v2/acme/app/manifests/{descriptor.digest}", Response(200, headers_of(image(b"b")[0])))
        reference = repository(server).with_digest(descriptor.digest)
        with pytest.raises(DigestMismatch):
            await client.manifests.get(reference)
        with pytest.raises(DigestMismatch):
            await client.manifests.head(reference)


async def test_a_manifest_that_is_wrong_once_is_read_once_more():
    descriptor, raw = image(b"a")
    target = f"/v2/acme/app/manifests/{descriptor.digest}"
    async with ScriptedServer() as server, make_client() as client:
        server.expect("GET", target, Response(200, headers_of(descriptor), raw[:-1] + b" "))
        server.expect("GET", target, Response(200, headers_of(descriptor), raw))
        found = await client.manifests.get(repository(server).with_digest(descriptor.digest), expected=descriptor)
        assert found == RawManifest(descriptor, raw)


async def test_a_manifest_must_match_the_type_and_size_of_the_expected_descriptor():
    descriptor, raw = image(b"a")
    as_index = dict(headers_of(descriptor)) | {"Content-Type": mt.OCI_INDEX}
    async with ScriptedServer() as server, make_client() as client:
        server.expect("GET", f"/v2/acme/app/manifests/{descriptor.digest}", Response(200, as_index, raw), times=2)
        reference = repository(server).with_digest(descriptor.digest)
        with pytest.raises((DigestMismatch, BadDocument)):
            await client.manifests.get(reference, expected=descriptor)
        with pytest.raises(BadDocument):
            await client.manifests.get(reference)


async def test_a_manifest_is_sent_byte_for_byte_with_its_own_media_type():
    descriptor, raw = image(b"a", annotations={"odd": "  kept as written "})
    async with ScriptedServer() as server, make_client() as client:
        server.expect("PUT", f"/v2/acme/app/manifests/{descriptor.digest}", 201)
        await client.manifests.put(repository(server).with_digest(descriptor.digest), RawManifest(descriptor, raw))
        (put,) = server.received
        assert put.body == raw
        assert put.header("Content-Type") == descriptor.media_type


async def test_a_lost_response_to_a_put_is_settled_by_a_look_not_by_a_second_put():
    descriptor, raw = image(b"a")
    target = f"/v2/acme/app/manifests/{descriptor.digest}"
    async with ScriptedServer() as server, make_client() as client:
        server.expect("PUT", target, Response(lose=True))
        server.expect("HEAD", target, 404, times=3)
        server.expect("HEAD", target, Response(200, headers_of(descriptor)))
        await client.manifests.put(repository(server).with_digest(descriptor.digest), RawManifest(descriptor, raw))
        assert len(server.sent("PUT")) == 1


async def test_a_put_that_is_absent_for_five_seconds_is_sent_again():
    descriptor, raw = image(b"a")
    target = f"/v2/acme/app/manifests/{descriptor.digest}"
    clock = JumpingClock()
    async with ScriptedServer() as server, make_client(clock=clock) as client:
        server.expect("PUT", target, Response(502))
        server.expect("HEAD", target, 404, times=None)
        server.expect("PUT", target, 201)
        await client.manifests.put(repository(server).with_digest(descriptor.digest), RawManifest(descriptor, raw))
        assert sum(clock.slept) >= 5


async def test_a_tag_that_still_names_the_old_digest_is_lag_and_a_third_digest_is_not():
    old, new, third = (image(text)[0] for text in (b"old", b"new", b"third"))
    async with ScriptedServer() as server, make_client() as client:
        target = "/v2/acme/app/manifests/v1"
        server.expect("HEAD", target, Response(200, headers_of(old)), times=2)
        server.expect("HEAD", target, 404)
        server.expect("HEAD", target, Response(200, headers_of(new)))
        tag = repository(server).with_tag("v1")
        assert await client.manifests.await_tag(tag, new.digest, previous=old.digest) == new.digest
        server.expect("HEAD", target, Response(200, headers_of(third)))
        with pytest.raises(TagTaken) as caught:
            await client.manifests.await_tag(repository(server).with_tag("v1"), new.digest, previous=old.digest)
        assert caught.value.found == third.digest


async def test_a_tag_that_never_moves_is_an_error_that_names_its_digest():
    (old, raw), (new, _) = image(b"old"), image(b"new")
    async with ScriptedServer() as server, make_client() as client:
        server.expect("HEAD", "/v2/acme/app/manifests/v1", Response(200, headers_of(old)), times=None)
        server.expect("GET", "/v2/acme/app/manifests/v1", Response(200, headers_of(old), raw))
        tag = repository(server).with_tag("v1")
        with pytest.raises(NotFound, match=str(old.digest)):
            await client.manifests.await_tag(tag, new.digest, previous=old.digest, within_s=20)


@pytest.mark.parametrize("body", [errors("TAG_INVALID", "tag v1 already exists, it is immutable"), b""])
async def test_an_immutable_tag_that_names_our_digest_already_is_a_success(body):
    descriptor, raw = image(b"a")
    async with ScriptedServer() as server, make_client() as client:
        server.expect("PUT", "/v2/acme/app/manifests/v1", Response(400 if body else 412, body=body))
        server.expect("HEAD", "/v2/acme/app/manifests/v1", Response(200, headers_of(descriptor)))
        await client.manifests.put(repository(server).with_tag("v1"), RawManifest(descriptor, raw))


async def test_tags_are_listed_across_pages():
    async with ScriptedServer() as server, make_client() as client:
        link = {"Link": '</v2/acme/app/tags/list?n=1000&last=b>; rel="next"'}
        server.expect("GET", "/v2/acme/app/tags/list?n=1000", Response(200, link, b'{"tags":["a","b"]}'))
        server.expect("GET", "/v2/acme/app/tags/list?n=1000&last=b", Response(200, {}, b'{"tags":["c",null]}'))
        assert await client.listings.tags(repository(server)) == ["a", "b", "c"]


@pytest.mark.parametrize("link", ["{b}/v2/acme/app/tags/list?last=b", "/v2/acme/other/tags/list?last=b", "/latest"])
async def test_a_next_page_on_another_host_or_of_another_repository_is_not_followed(link: str):
    async with ScriptedServer() as server, ScriptedServer() as other, make_client() as client:
        headers = {"Link": f'<{link.format(b=other.origin)}>; rel="next"'}
        server.expect("GET", "/v2/acme/app/tags/list?n=1000", Response(200, headers, b'{"tags":["a"]}'))
        with pytest.raises(RegistryError, match="outside the repository"):
            await client.listings.tags(repository(server))
        assert other.connections == 0


async def test_an_endless_list_of_pages_ends():
    async with ScriptedServer() as server, make_client() as client:

        def page(_request: object) -> Response:
            link = f'</v2/acme/app/tags/list?last={next(number)}>; rel="next"'
            return Response(200, {"Link": link}, b'{"tags":["a"]}')

        number = count()
        server.expect("GET", "/v2/acme/app/tags/list.*", page, times=1000, regex=True)
        with pytest.raises(RegistryError, match="more than 1000 pages"):
            await client.listings.tags(repository(server))


async def test_referrers_fall_back_to_the_tag_without_an_endpoint():
    digest = Digest.of(b"subject")
    raw = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
    async with ScriptedServer() as server, make_client() as client:
        server.expect("GET", f"/v2/acme/app/referrers/{digest}", Response(404, {"Content-Type": "text/plain"}, b"404"))
        server.expect(
            "GET", f"/v2/acme/app/manifests/sha256-{digest.hex}", Response(200, {"Content-Type": mt.OCI_INDEX}, raw)
        )
        assert await client.manifests.referrers(repository(server).with_digest(digest)) == []
