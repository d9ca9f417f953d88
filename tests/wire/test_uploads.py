"""Uploads and mounts of blobs over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bakery.errors import AuthError, ConnectionFailed, DigestMismatch, RegistryError, Unavailable, message
from bakery.events import Event, HostPaused
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import Repository
from bakery.retry import RetryPolicy
from tests.clock import JumpingClock
from tests.wire.channel import Channel
from tests.wire.making import blob, body_of, errors, expect_proof, image, make_client, repository
from tests.wire.script import Received, Response, ScriptedServer, raw_server

UPLOADS = "/v2/acme/app/blobs/uploads/"
CONTENT = bytes(range(256)) * 2000  # 512 kB: several pieces
LAYER, _ = blob(CONTENT)
HEAD = f"/v2/acme/app/blobs/{LAYER.digest}"


def opened(session: str = "one", **others: str) -> Response:
    return Response(202, {"Location": f"/up/{session}?_state=a%2Fb%3D", **others})


def commit(session: str = "one") -> str:
    return f"/up/{session}?_state=a%2Fb%3D&digest={LAYER.digest}"


async def test_a_201_in_place_of_a_session_that_names_the_blob_names_no_session():
    async with ScriptedServer() as server, make_client() as client:
        server.expect("POST", UPLOADS, Response(201, {"Location": HEAD}))
        server.expect("HEAD", HEAD, 404)
        with pytest.raises(RegistryError, match="responded 201 without a session"):
            await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))


@pytest.mark.parametrize("location", ["http://a b/", "ftp://x/", "../../../else"])
async def test_the_location_of_a_blob_that_was_stored_does_not_matter(location: str):
    async with ScriptedServer() as server, make_client() as client:
        server.expect("POST", UPLOADS, opened())
        server.expect("PUT", commit(), Response(201, {"Location": location}))
        await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))


async def test_a_blob_needs_one_post_and_one_put(channel: Channel):
    async with channel.server() as server, channel.client() as client:
        server.expect("POST", UPLOADS, opened())
        server.expect("PUT", commit(), 201)
        await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))
        post, put = server.received
        assert (post.header("Content-Length"), post.body) == ("0", b"")
        assert put.body == CONTENT
        assert put.header("Content-Length") == str(len(CONTENT))
        assert put.header("Transfer-Encoding") is None


async def test_the_location_is_used_byte_for_byte(channel: Channel):
    async with channel.server() as server, channel.client() as client:
        location = "/odd/p%2fath;v=1/?b=2&a=%7e%41+x&sig=A%2BB%3D"
        server.expect("POST", UPLOADS, Response(202, {"Location": f"{server.origin}{location}"}))
        server.expect("PUT", f"{location}&digest={LAYER.digest}", 201)
        await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))


async def test_an_empty_blob_is_put_with_an_explicit_length_of_zero():
    empty, _ = blob(b"")
    async with ScriptedServer() as server, make_client() as client:
        server.expect("POST", UPLOADS, opened())
        server.expect("PUT", f"/up/one?_state=a%2Fb%3D&digest={empty.digest}", 201)
        await client.blobs(repository(server)).write(empty, body_of(b""))
        assert server.received[1].header("Content-Length") == "0"


async def test_a_lost_commit_response_is_settled_by_a_look_not_by_a_second_upload(channel: Channel):
    async with channel.server() as server, channel.client() as client:
        server.expect("POST", UPLOADS, opened())
        server.expect("PUT", commit(), Response(lose=True))
        server.expect("HEAD", HEAD, 404, times=2)
        server.expect("HEAD", HEAD, Response(200, {"Content-Length": str(LAYER.size)}))
        await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))
        assert len(server.sent("PUT")) == 1


async def test_an_absent_upload_restarts_with_a_new_body_and_session(channel: Channel):
    clock = JumpingClock()
    async with channel.server() as server, channel.client(clock=clock) as client:
        server.expect("POST", UPLOADS, opened("one"))
        server.expect("PUT", commit("one"), Response(lose=True, reset=True))
        server.expect("HEAD", HEAD, 404, times=None)
        server.expect("POST", UPLOADS, opened("two"))
        server.expect("PUT", commit("two"), 201)
        await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))
        assert [put.body for put in server.sent("PUT")] == [CONTENT, CONTENT]
        assert sum(clock.slept) >= 5  # looked for during the longest lag, then sent again


async def test_a_truncated_body_is_not_looked_for(channel: Channel):
    large = bytes(40_000_000)  # more than the socket buffers hold
    layer, _ = blob(large)
    async with channel.server() as server, channel.client() as client:
        digest = f"/up/one?_state=a%2Fb%3D&digest={layer.digest}"
        server.expect("POST", UPLOADS, opened())
        server.expect("PUT", digest, Response(500, early=True, reset=True))
        server.expect("POST", UPLOADS, opened())
        server.expect("PUT", digest, 201)
        server.expect("HEAD", f"/v2/acme/app/blobs/{layer.digest}", 404, times=None)
        await client.blobs(repository(server)).write(layer, body_of(large, 1 << 20))
        assert len(server.sent("PUT")) == 2


@pytest.mark.parametrize("code", ["BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", ""])
async def test_a_stale_session_leads_to_a_look_and_a_new_post(channel: Channel, code):
    async with channel.server() as server, channel.client() as client:
        server.expect("POST", UPLOADS, opened("one"))
        server.expect("PUT", commit("one"), Response(404, body=errors(code) if code else b"404 page not found"))
        server.expect("HEAD", HEAD, 404, times=None)
        server.expect("POST", UPLOADS, opened("two"))
        server.expect("PUT", commit("two"), 201)
        await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))


async def test_a_stale_session_is_a_success_if_the_blob_exists(channel: Channel):
    async with channel.server() as server, channel.client() as client:
        server.expect("POST", UPLOADS, opened())
        server.expect("PUT", commit(), Response(404, body=errors("BLOB_UPLOAD_UNKNOWN")))
        server.expect("HEAD", HEAD, 404)
        server.expect("HEAD", HEAD, Response(200, {"Docker-Content-Digest": str(LAYER.digest)}))
        await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))


async def test_an_error_of_the_source_keeps_its_hint(channel: Channel):
    """It named the destination as the registry to log in to, and with two of them, each its own."""
    refused = AuthError("cannot read blob", status=403, hint="log in to the source")

    async def body() -> AsyncIterator[bytes]:
        yield CONTENT[:1000]
        raise refused

    async with channel.server() as server, channel.client() as client:
        server.expect("POST", UPLOADS, opened())
        with pytest.raises(AuthError) as caught:
            await client.blobs(repository(server)).write(LAYER, body)
    assert caught.value.hint == "log in to the source"


async def test_a_refused_body_is_a_permanent_error_with_its_reason(channel: Channel):
    async with channel.server() as server, channel.client() as client:
        server.expect("POST", UPLOADS, opened())
        server.expect("PUT", commit(), Response(403, body=errors("DENIED", "quota exceeded")))
        with pytest.raises(RegistryError, match="is reached: 403 DENIED: quota exceeded"):
            await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))


async def test_a_digest_that_is_refused_three_times_is_an_error(channel: Channel):
    async with channel.server() as server, channel.client() as client:
        server.expect("POST", UPLOADS, opened(), times=3)
        server.expect("PUT", commit(), Response(400, body=errors("DIGEST_INVALID")), times=3)
        server.expect("HEAD", HEAD, 404, times=None)
        with pytest.raises(RegistryError, match="DIGEST_INVALID"):
            await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))


async def test_chunks_of_four_mebibytes_are_used_after_ghcr_refused_a_large_put(channel: Channel):
    content = bytes(range(256)) * 40_000  # 10.24 MB
    layer, _ = blob(content)
    sizes: list[int] = []

    def chunk(request: Received) -> Response:
        sizes.append(len(request.body))
        at = len(sizes)
        return Response(202, {"Location": f"/up/chunk{at}", "Range": "0-0"})

    async with channel.server() as server, channel.client() as client:
        server.expect("POST", UPLOADS, Response(202, {"Location": "/up/chunk0"}), times=3)
        server.expect(
            "PUT", f"/up/chunk0?digest={layer.digest}", Response(416, body=errors("UNSUPPORTED", "exceeds 4.00MiB"))
        )
        server.expect("PATCH", "/up/chunk[0-9]", chunk, times=6, regex=True)
        server.expect("PUT", f"/up/chunk3?digest={layer.digest}", 201)
        server.expect("PUT", f"/up/chunk6?digest={layer.digest}", 201)
        await client.blobs(repository(server)).write(layer, body_of(content, 100_000))
        await client.blobs(repository(server)).write(layer, body_of(content, 100_000))
        assert b"".join(request.body for request in server.sent("PATCH")) == content * 2
        assert max(sizes) == 4 * 1024 * 1024
        ranges = [request.header("Content-Range") for request in server.sent("PATCH")]
        assert ranges[:3] == ["0-4194303", "4194304-8388607", "8388608-10239999"]


async def test_a_stuck_range_does_not_send_bytes_twice(channel: Channel):
    """ECR: PATCH responds 201, and Range stays at the first chunk although the data is stored."""
    content = bytes(9 * 1024 * 1024)
    layer, _ = blob(content)
    stuck = Response(201, {"Location": "/up/one", "Range": "0-4194303"})
    async with channel.server() as server, channel.client() as client:
        server.expect("POST", UPLOADS, Response(202, {"Location": "/up/one"}), times=2)
        server.expect("PUT", f"/up/one?digest={layer.digest}", Response(413))
        server.expect("PATCH", "/up/one", stuck, times=3)
        server.expect("PUT", f"/up/one?digest={layer.digest}", 201)
        await client.blobs(repository(server)).write(layer, body_of(content))
        assert sum(len(request.body) for request in server.sent("PATCH")) == len(content)


async def test_chunks_have_the_size_that_the_registry_requires(channel: Channel):
    content = bytes(12 * 1024 * 1024)
    layer, _ = blob(content)
    answer = Response(202, {"Location": "/up/one", "OCI-Chunk-Min-Length": str(6 * 1024 * 1024)})
    async with channel.server() as server, channel.client() as client:
        server.expect("POST", UPLOADS, answer, times=2)
        server.expect("PUT", f"/up/one?digest={layer.digest}", Response(405))
        server.expect("PATCH", "/up/one", answer, times=2)
        server.expect("PUT", f"/up/one?digest={layer.digest}", 201)
        await client.blobs(repository(server)).write(layer, body_of(content))


async def test_only_the_chunk_that_failed_is_sent_again_if_the_session_lacks_it(channel: Channel):
    content = bytes(range(256)) * 40_000  # 10.24 MB: three chunks
    layer, _ = blob(content)
    session = Response(202, {"Location": "/up/one"})
    async with channel.server() as server, channel.client() as client:
        server.expect("POST", UPLOADS, session, times=2)
        server.expect("PUT", f"/up/one?digest={layer.digest}", Response(413))
        server.expect("PATCH", "/up/one", session)
        server.expect("PATCH", "/up/one", Response(502))
        server.expect("GET", "/up/one", Response(204, {"Location": "/up/two", "Range": "0-4194303"}))
        server.expect("PATCH", "/up/two", session)
        server.expect("PATCH", "/up/one", Response(lose=True))
        server.expect("GET", "/up/one", Response(204, {"Location": "/up/three", "Range": f"0-{len(content) - 1}"}))
        server.expect("PUT", f"/up/three?digest={layer.digest}", 201)
        await client.blobs(repository(server)).write(layer, body_of(content))
        first, failed, *others = server.sent("PATCH")
        assert first.body + b"".join(request.body for request in others) == content
        assert others[0].body == failed.body


async def test_a_session_that_may_not_be_read_leads_to_a_new_one(channel: Channel):
    content = bytes(5 * 1024 * 1024)
    layer, _ = blob(content)
    session = Response(202, {"Location": "/up/one"})
    async with channel.server() as server, channel.client() as client:
        server.expect("POST", UPLOADS, session, times=3)
        server.expect("PUT", f"/up/one?digest={layer.digest}", Response(413))
        server.expect("PATCH", "/up/one", Response(502))
        server.expect("GET", "/up/one", Response(401))
        server.expect("GET", "/v2/", 200, times=None)
        server.expect("PATCH", "/up/one", session, times=2)
        server.expect("PUT", f"/up/one?digest={layer.digest}", 201)
        await client.blobs(repository(server)).write(layer, body_of(content))


@pytest.mark.parametrize("least", ["\xb2", "9" * 5000, "-1", "1e3"])
async def test_a_required_chunk_size_that_is_not_a_number_is_ignored(least):
    content = bytes(1024)
    layer, _ = blob(content)
    answer = Response(202, {"Location": "/up/one", "OCI-Chunk-Min-Length": least})
    async with ScriptedServer() as server, make_client() as client:
        server.expect("POST", UPLOADS, answer, times=2)
        server.expect("PUT", f"/up/one?digest={layer.digest}", Response(405))
        server.expect("PATCH", "/up/one", answer)
        server.expect("PUT", f"/up/one?digest={layer.digest}", 201)
        await client.blobs(repository(server)).write(layer, body_of(content))


async def test_a_mount_counts_if_the_response_names_the_blob():
    source = "acme/base"
    target = f"{UPLOADS}?mount={LAYER.digest}&from={source}"
    async with ScriptedServer() as server, make_client() as client:
        server.expect("POST", target, Response(201, {"Location": f"/v2/acme/app/blobs/{LAYER.digest}"}))
        expect_proof(server, source=source)
        assert await client.blobs(repository(server)).mount(LAYER, client.blobs(repository(server, source)))


async def test_a_mount_that_names_no_blob_needs_a_look():
    target = f"{UPLOADS}?mount={LAYER.digest}&from=acme/base"
    async with ScriptedServer() as server, make_client() as client:
        server.expect("POST", target, 201)
        expect_proof(server, source="acme/base")
        server.expect("HEAD", HEAD, 404)
        assert not await client.blobs(repository(server)).mount(LAYER, client.blobs(repository(server, "acme/base")))


async def test_the_session_of_a_refused_mount_is_used_by_the_push_that_follows(channel: Channel):
    target = f"{UPLOADS}?mount={LAYER.digest}&from=acme/base"
    async with channel.server() as server, channel.client() as client:
        server.expect("POST", target, opened())
        server.expect("PUT", commit(), 201)
        assert not await client.blobs(repository(server)).mount(LAYER, client.blobs(repository(server, "acme/base")))
        await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))


async def test_a_session_elsewhere_that_a_mount_opened_is_not_used():
    target = f"{UPLOADS}?mount={LAYER.digest}&from=acme/base"
    async with ScriptedServer() as server, make_client() as client:
        server.expect("POST", target, Response(202, {"Location": "http://169.254.169.254/x"}))
        assert not await client.blobs(repository(server)).mount(LAYER, client.blobs(repository(server, "acme/base")))
        server.expect("POST", UPLOADS, opened())
        server.expect("PUT", commit(), 201)
        await client.blobs(repository(server)).write(LAYER, body_of(CONTENT))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
async def test_any_other_response_to_a_mount_means_no(status):
    target = f"{UPLOADS}?mount={LAYER.digest}&from=acme/base"
    async with ScriptedServer() as server, make_client() as client:
        server.expect("POST", target, status)
        server.expect("GET", "/v2/", 401, times=None)
        assert not await client.blobs(repository(server)).mount(LAYER, client.blobs(repository(server, "acme/base")))


class Listening(list[Event]):
    """A list of events that signals the first one."""

    def __init__(self, first: asyncio.Event) -> None:
        super().__init__()
        self.first = first

    def append(self, event: Event) -> None:
        super().append(event)
        self.first.set()


async def test_after_a_429_all_requests_to_the_host_wait_as_long_as_it_asks():
    clock = JumpingClock()
    paused = asyncio.Event()
    events = Listening(paused)
    other, _ = blob(b"other")
    async with ScriptedServer() as server, make_client(clock=clock, events=events) as client:
        server.expect("HEAD", HEAD, Response(429, {"Retry-After": "7"}, errors("TOOMANYREQUESTS")))
        server.expect("HEAD", HEAD, 404)
        server.expect("HEAD", f"/v2/acme/app/blobs/{other.digest}", 404)
        began = clock.now()

        async def ask_later() -> float:
            await paused.wait()
            await client.blobs(repository(server)).has(other)
            return clock.now()

        async with asyncio.TaskGroup() as group:
            group.create_task(client.blobs(repository(server)).has(LAYER))
            later = group.create_task(ask_later())
        assert later.result() - began >= 7
        assert [event.wait_s for event in events if isinstance(event, HostPaused)] == [7.0]


async def test_the_wait_is_read_from_ghcrs_message():
    events: list[Event] = []
    async with ScriptedServer() as server, make_client(events=events) as client:
        text = "rate limited: retry-after: 2500ms, allowed: 2000/minute"
        server.expect("HEAD", HEAD, Response(403))
        server.expect(
            "GET", HEAD, Response(403, body=b"You have exceeded a secondary rate limit. Please wait a few minutes")
        )
        server.expect("HEAD", HEAD, Response(403))
        server.expect("GET", HEAD, Response(403, body=errors("TOOMANYREQUESTS", text)))
        server.expect("HEAD", HEAD, 404)
        assert not await client.blobs(repository(server)).has(LAYER)
        assert [event.wait_s for event in events if isinstance(event, HostPaused)] == [60.0, 2.5]


async def test_attempts_count_only_if_a_user_set_them():
    policy = RetryPolicy(max_attempts=2, attempts_were_set=True)
    async with ScriptedServer() as server, make_client(policy=policy) as client:
        server.expect("HEAD", HEAD, 500, times=2)
        with pytest.raises(Unavailable):
            await client.blobs(repository(server)).has(LAYER)
        server.expect("HEAD", HEAD, 500, times=9)
        server.expect("HEAD", HEAD, 404)
        async with make_client(policy=RetryPolicy(max_attempts=2)) as patient:
            assert not await patient.blobs(repository(server)).has(LAYER)


async def test_the_time_budget_ends_all_retries():
    clock = JumpingClock()
    async with ScriptedServer() as server, make_client(clock=clock, deadline=clock.now() + 90) as client:
        server.expect("HEAD", HEAD, 500, times=None)
        with pytest.raises(Unavailable, check=lambda error: "time budget" in message(error)):
            await client.blobs(repository(server)).has(LAYER)
        assert clock.now() - 1000 <= 90


@pytest.mark.parametrize("operation", ["look", "push", "put"])
async def test_a_host_that_is_down_fails_long_before_the_budget_ends(operation):
    clock = JumpingClock()
    async with ScriptedServer() as server:
        gone = repository(server)
    async with make_client(clock=clock) as client:
        work = {
            "look": lambda: client.blobs(gone).has(LAYER),
            "push": lambda: client.blobs(gone).write(LAYER, body_of(CONTENT)),
            "put": lambda: client.manifests.put(gone.with_digest(image(b"a")[0].digest), RawManifest(*image(b"a"))),
        }
        with pytest.raises(ConnectionFailed, match="no connection"):
            await work[operation]()
    assert clock.now() - 1000 < 120


async def test_an_error_of_the_reader_is_raised_unchanged(channel: Channel):
    async def broken():
        yield CONTENT[:1000]
        raise DigestMismatch("reading the source", about="x")

    async with channel.server() as server, channel.client() as client:
        server.expect("POST", UPLOADS, opened())
        server.expect("PUT", commit(), Response(201), times=None)
        with pytest.raises(DigestMismatch, match="reading the source"):
            await client.blobs(repository(server)).write(LAYER, broken)
        assert not server.sent("PUT")


async def test_a_blob_reaches_a_server_that_closes_each_connection_without_announcing_it():
    """The PUT follows the POST at once, on a connection that is just being closed."""
    stored: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"POST"):
            writer.write(b"HTTP/1.1 202 Accepted\r\nLocation: /up/1\r\nContent-Length: 0\r\n\r\n")
        elif head.startswith(b"PUT"):
            stored.append(await reader.readexactly(len(CONTENT)))
            writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0)  # the response is read before the end of the connection

    async with raw_server(serve) as host, make_client(clock=JumpingClock()) as client:
        await client.blobs(Repository(host, "acme/app")).write(LAYER, body_of(CONTENT))
    assert stored == [CONTENT]
