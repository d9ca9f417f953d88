"""Hosts that hold a request without end, and hosts that are not there: each ends as a failure in bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

import pytest

from bakery.errors import ConnectionFailed, InvalidContent
from bakery.oci.reference import Repository, TagReference
from bakery.registry.config import RegistryConfig
from bakery.registry.http.failure import NotConnected, UnknownHost
from bakery.retry import RetryPolicy
from tests.clock import JumpingClock
from tests.wire.making import blob, make_client, repository
from tests.wire.script import ScriptedServer, raw_server

LAYER, CONTENT = blob(b"some layer" * 1000)
BLOB = f"/v2/acme/app/blobs/{LAYER.digest}"
ONCE = RetryPolicy(max_attempts=1, attempts_were_set=True)
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def repeats(head: bytes, piece: bytes, *, wait_s: float = 0.0) -> Serve:
    """Serve a head, and then one piece after another until the client leaves."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head)
            while True:
                writer.write(piece)
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await reader.read(1)
                        return  # the client has left

    return serve


FLOODS = {
    "interim responses": repeats(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "tiny chunks": repeats(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 2000),
}


@pytest.mark.parametrize("serve", FLOODS.values(), ids=FLOODS)
async def test_a_flood_ends_as_a_failure_at_once_and_lets_other_hosts_proceed(serve: Serve):
    async with raw_server(serve) as host, ScriptedServer() as other, make_client() as client:
        other.expect("HEAD", BLOB, 404)
        flooded = asyncio.create_task(client.manifests.get(TagReference(Repository(host, "acme/app"), "1")))
        assert not await client.blobs(repository(other)).has(LAYER)
        with pytest.raises(InvalidContent, match=r"interim responses|chunks contain"):
            await flooded
        assert client.stats.retries == 0


TRICKLES = {
    "a head": repeats(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n", wait_s=0.05),
    "a body": repeats(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LAYER.size, b"x", wait_s=0.05),
    "chunks": repeats(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", wait_s=0.05),
}


@pytest.mark.parametrize("serve", TRICKLES.values(), ids=TRICKLES)
async def test_a_response_that_trickles_ends_within_the_limit_for_a_stall(serve: Serve):
    config = RegistryConfig(stall_s=0.3)
    async with raw_server(serve) as host, make_client(config=config, policy=ONCE) as client, asyncio.timeout(5):
        with pytest.raises(ConnectionFailed, match="did not respond in time"):
            async for _ in client.blobs(Repository(host, "acme/app")).fetch(LAYER, lambda *_: None):
                pass


async def test_a_host_that_is_silent_to_every_request_is_given_up_after_one_stall():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    config = RegistryConfig(stall_s=0.2)
    async with raw_server(silent) as host, make_client(config=config) as client:
        with pytest.raises(ConnectionFailed, match="did not respond in time"):
            await client.blobs(Repository(host, "acme/app")).has(LAYER)
        assert client.stats.retries == 0


async def test_a_loopback_host_that_accepts_and_is_silent_is_given_up_once_for_all_requests():
    accepted = 0

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        await reader.read()

    config = RegistryConfig(connect_s=0.2, tries_tls_on_loopback=True)
    async with raw_server(silent) as host, make_client(config=config) as client:
        blobs = client.blobs(Repository(host, "acme/app"))
        results = await asyncio.gather(*(blobs.has(LAYER) for _ in range(5)), return_exceptions=True)
        assert [type(result) for result in results] == [NotConnected] * 5
        assert (accepted, client.stats.retries) == (1, 0)


async def test_an_unknown_name_is_given_up_after_5_seconds():
    async def lookup(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    clock = JumpingClock()
    async with make_client(clock=clock, lookup=lookup) as client:
        with pytest.raises(UnknownHost, match="Name or service not known"):
            await client.blobs(Repository("registry.example", "acme/app")).has(LAYER)
    assert sum(clock.slept) == pytest.approx(5)


async def test_a_host_that_refuses_every_connection_is_given_up_after_20_seconds():
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    clock = JumpingClock()
    async with make_client(clock=clock) as client:
        with pytest.raises(NotConnected):
            await client.blobs(Repository(f"127.0.0.1:{port}", "acme/app")).has(LAYER)
    assert sum(clock.slept) == pytest.approx(20)


async def test_a_kept_connection_that_ends_without_a_byte_is_replaced_silently():
    opened: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")  # and no response to the second request

    async with raw_server(serve) as host, make_client() as client:
        for _ in range(3):
            assert not await client.blobs(Repository(host, "acme/app")).has(LAYER)
        assert client.stats.retries == 0
    assert len(opened) == 3
