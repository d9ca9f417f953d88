"""Blob downloads over real sockets: verified to the last byte, resumed by strict rules, bounded by their size."""

from __future__ import annotations

import asyncio
import contextlib
import gzip

import pytest

from bakery.errors import BakeryError, ConnectionFailed, InvalidContent, NotFound, RegistryError
from bakery.oci.descriptor import Descriptor
from bakery.oci.reference import Repository
from bakery.registry.client import Client
from bakery.registry.config import RegistryConfig
from bakery.retry import RetryPolicy
from tests.clock import JumpingClock
from tests.wire.channel import Channel
from tests.wire.making import blob, repository
from tests.wire.script import Response, ScriptedServer

CONTENT = bytes(range(251)) * 4000  # a megabyte
LAYER, _ = blob(CONTENT)
TARGET = f"/v2/acme/app/blobs/{LAYER.digest}"
TWICE = RetryPolicy(max_attempts=2, attempts_were_set=True)


async def collect(
    client: Client,
    server: ScriptedServer,
    descriptor: Descriptor = LAYER,
    *,
    must_exist: bool = False,
) -> bytes:
    received = bytearray()
    async with contextlib.aclosing(client.blobs(repository(server)).read(descriptor, must_exist=must_exist)) as chunks:
        async for chunk in chunks:
            received += chunk
    return bytes(received)


def part(start: int, **others: object) -> Response:
    headers = {"Content-Range": f"bytes {start}-{LAYER.size - 1}/{LAYER.size}"}
    return Response(206, headers, CONTENT[start:], **others)  # type: ignore[arg-type]  # the fields of Response, by name


async def test_a_blob_arrives_unchanged(channel: Channel):
    async with channel.server() as server, channel.client() as client:
        server.expect("GET", TARGET, Response(200, body=CONTENT))
        assert await collect(client, server) == CONTENT
        assert server.received[0].header("Range") is None


async def test_inline_data_needs_no_request(channel: Channel):
    with_data = Descriptor(LAYER.media_type, LAYER.digest, LAYER.size, data=CONTENT)
    async with channel.server() as server, channel.client() as client:
        assert await collect(client, server, with_data) == CONTENT


async def test_a_broken_download_resumes_where_it_stopped(channel: Channel):
    async with channel.server() as server, channel.client() as client:
        server.expect("GET", TARGET, Response(200, body=CONTENT, cut=300_000))
        server.expect("GET", TARGET, lambda request: part(int((request.header("Range") or "")[6:-1]), cut=300_000))
        server.expect("GET", TARGET, lambda request: part(int((request.header("Range") or "")[6:-1])))
        assert await collect(client, server) == CONTENT


async def test_an_early_end_without_a_length_is_resumed_too(channel: Channel):
    async with channel.server() as server, channel.client() as client:
        server.expect("GET", TARGET, Response(200, body=CONTENT[:-1], length="none"))
        server.expect("GET", TARGET, part(LAYER.size - 1))
        assert await collect(client, server) == CONTENT


async def test_a_server_without_ranges_is_read_from_the_start_and_the_digest_covers_the_seam(channel: Channel):
    async with channel.server() as server, channel.client() as client:
        server.expect("GET", TARGET, Response(200, body=CONTENT, cut=400_000))
        server.expect("GET", TARGET, Response(200, body=CONTENT))
        assert await collect(client, server) == CONTENT


REFUSALS = {
    "416": Response(416, body=b"requested range not satisfiable", length=LAYER.size),
    "400": Response(400),
    "403": Response(403),
    "501": Response(501),
    "a 206 without a range": Response(206, body=CONTENT[400_000:]),
    "another range": part(399_000),
    "a part of it": Response(206, {"Content-Range": f"bytes 400000-499999/{LAYER.size}"}, CONTENT[400_000:500_000]),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_a_server_that_refuses_to_resume_is_read_from_the_start(channel: Channel, refusal: Response):
    async with channel.server() as server, channel.client() as client:
        server.expect("GET", TARGET, Response(200, body=CONTENT, cut=400_000))
        server.expect("GET", TARGET, refusal)
        server.expect("GET", TARGET, Response(200, body=CONTENT, cut=500_000))
        server.expect("GET", TARGET, Response(200, body=CONTENT))
        assert await collect(client, server) == CONTENT
        ranges = [request.header("Range") for request in server.received]
        assert ranges == [None, "bytes=400000-", None, None]


async def test_a_refusal_without_a_range_is_final(channel: Channel):
    async with channel.server() as server, channel.client() as client:
        server.expect("GET", TARGET, Response(200, body=CONTENT, cut=400_000))
        server.expect("GET", TARGET, Response(400, body=b"broken"), times=2)
        with pytest.raises(RegistryError, match="400: broken"):
            await collect(client, server)


@pytest.mark.parametrize("size", [1000, LAYER.size])
async def test_content_that_is_complete_needs_no_end_of_its_response(channel: Channel, size: int):
    """Nothing is left to request: the range after the last byte is refused."""
    layer, content = blob(CONTENT[:size])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (size, content))
        await writer.drain()

    async with channel.raw_server(serve) as host, channel.client() as client:
        chunks = client.blobs(Repository(host, "acme/app")).read(layer)
        assert b"".join([chunk async for chunk in chunks]) == content
        assert client.stats.retries == 0


async def test_a_download_that_stalls_after_progress_is_resumed(channel: Channel):
    """A firewall drops a connection: the host has been silent for as long as a dead one, but it sent megabytes."""
    large = CONTENT * 3
    layer, _ = blob(large)
    length, half = str(layer.size), 2 * len(CONTENT)

    class Passing(JumpingClock):
        """Time passes with each look at the clock, so that no host counts as alive."""

        def now(self) -> float:
            self.time += 1
            return super().now()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"Range: " in head:
            described = b"HTTP/1.1 206 Partial\r\nContent-Range: bytes %d-%d/%d\r\n" % (
                half,
                layer.size - 1,
                layer.size,
            )
            writer.write(described + b"Content-Length: %d\r\n\r\n" % (layer.size - half) + large[half:])
        else:
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode() + large[:half])
        await writer.drain()
        await reader.read()

    config = RegistryConfig(stall_s=0.5)
    async with channel.raw_server(serve) as host, channel.client(config=config, clock=Passing()) as client:
        chunks = client.blobs(Repository(host, "acme/app")).read(layer)
        assert b"".join([chunk async for chunk in chunks]) == large


async def test_a_blob_that_always_ends_early_is_an_error_after_the_last_attempt(channel: Channel):
    async with channel.server() as server, channel.client(policy=TWICE) as client:
        server.expect("GET", TARGET, Response(200, body=CONTENT, cut=1000))
        server.expect("GET", TARGET, part(1000, cut=0))
        with pytest.raises(ConnectionFailed):
            await collect(client, server)


async def test_a_blob_that_must_exist_is_waited_for(channel: Channel):
    clock = JumpingClock()
    async with channel.server() as server, channel.client(clock=clock) as client:
        server.expect("GET", TARGET, 404, times=3)
        server.expect("GET", TARGET, Response(200, body=CONTENT))
        assert await collect(client, server, must_exist=True) == CONTENT
    assert len(clock.slept) == 3


async def test_an_absent_blob_is_an_error_at_once(channel: Channel):
    async with channel.server() as server, channel.client() as client:
        server.expect("GET", TARGET, 404)
        with pytest.raises(NotFound):
            await collect(client, server)


async def test_a_redirect_to_storage_carries_no_registry_headers_and_is_repeated_for_each_resumption(channel: Channel):
    async with channel.server("storage.example") as storage, channel.server() as server, channel.client() as client:
        server.expect("GET", TARGET, Response(307, {"Location": f"{storage.origin}/bucket/x?sig=1"}))
        server.expect("GET", TARGET, Response(307, {"Location": f"{storage.origin}/bucket/x?sig=2"}))
        storage.expect("GET", "/bucket/x?sig=1", Response(200, body=CONTENT, cut=500_000))
        storage.expect("GET", "/bucket/x?sig=2", lambda request: part(int((request.header("Range") or "")[6:-1])))
        assert await collect(client, server) == CONTENT


async def test_a_redirect_loop_ends(channel: Channel):
    async with channel.server() as server, channel.client() as client:
        server.expect("GET", TARGET, Response(307, {"Location": TARGET}), times=None)
        with pytest.raises(BakeryError, match="10 redirects"):
            await collect(client, server)


async def test_a_compressed_layer_is_refused_and_not_decoded(channel: Channel):
    async with channel.server() as server, channel.client() as client:
        server.expect("GET", TARGET, Response(200, {"Content-Encoding": "gzip"}, gzip.compress(CONTENT)))
        with pytest.raises(InvalidContent, match="compressed"):
            await collect(client, server)


@pytest.mark.parametrize("encoding", ["gzip", "identity", "aws-chunked", ""])
async def test_a_layer_that_is_only_marked_as_compressed_is_used_as_sent(channel: Channel, encoding: str):
    async with channel.server() as server, channel.client() as client:
        server.expect("GET", TARGET, Response(200, {"Content-Encoding": encoding}, CONTENT))
        assert await collect(client, server) == CONTENT


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", "gzip, identity"])
async def test_a_config_that_is_compressed_unasked_is_read_and_verified(channel: Channel, encoding: str):
    config, content = blob(b"{}" * 30)
    async with channel.server() as server, channel.client() as client:
        target = f"/v2/acme/app/blobs/{config.digest}"
        server.expect("GET", target, Response(200, {"Content-Encoding": encoding}, gzip.compress(content)))
        chunks = client.blobs(repository(server)).read(config)
        assert b"".join([chunk async for chunk in chunks]) == content


async def test_a_download_that_is_closed_early_returns_its_slot(channel: Channel):
    async with channel.server() as server, channel.client() as client:
        server.expect("GET", TARGET, Response(200, body=CONTENT), times=12)
        for _ in range(12):
            async with contextlib.aclosing(client.blobs(repository(server)).read(LAYER)) as chunks:
                async for _chunk in chunks:
                    break
