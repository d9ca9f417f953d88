"""Connections: which are kept, addresses, and large bodies that bypass the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from bakery.errors import BakeryError, ConnectionFailed, RegistryError
from bakery.events import Event, HostTraffic
from bakery.extent import Extent, Piece
from bakery.oci.descriptor import Descriptor
from bakery.oci.reference import Repository
from bakery.registry.config import RegistryConfig
from bakery.registry.http.config import Proxies
from bakery.registry.http.failure import Untrusted
from bakery.registry.loopback import over_tls
from bakery.retry import RetryPolicy
from tests.wire.attacks import Tls, names
from tests.wire.channel import Channel
from tests.wire.making import LAYER_TYPE, blob, make_client, repository
from tests.wire.script import Response, ScriptedServer, raw_server, responds

CONTENT = os.urandom(3 * 1024 * 1024 + 17)
LAYER, _ = blob(CONTENT)
TARGET = f"/v2/acme/app/blobs/{LAYER.digest}"
SESSION = "/v2/acme/app/blobs/uploads/1"
ONCE = RetryPolicy(max_attempts=1, attempts_were_set=True)


OpenPieces = Callable[[], AsyncIterator[Piece]]
Opened = Callable[[bytes], contextlib.AbstractContextManager[OpenPieces]]
STEP = 1024 * 1024


@contextlib.contextmanager
def in_a_file(content: bytes) -> Iterator[OpenPieces]:
    """Write the content to a file; yield it as a body of extents."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()

        async def pieces() -> AsyncIterator[Piece]:
            for start in range(0, len(content), STEP):
                yield Extent(file.fileno(), start, min(STEP, len(content) - start))

        yield pieces


@contextlib.contextmanager
def in_memory(content: bytes) -> Iterator[OpenPieces]:
    """Yield the content as a body of memory, which has other content afterwards."""
    memory = bytearray(content)

    async def pieces() -> AsyncIterator[Piece]:
        for start in range(0, len(memory), STEP):
            yield memoryview(memory)[start : start + STEP]

    yield pieces
    memory[:] = bytes(len(memory))


@pytest.fixture(params=[in_a_file, in_memory], ids=["a file", "memory"])
def opened(request: pytest.FixtureRequest) -> Opened:
    """Where a spool keeps large content."""
    kept: Opened = request.param
    return kept


def expect_upload(server: ScriptedServer, answer: Response | int = 201, descriptor: Descriptor = LAYER) -> None:
    server.expect("POST", "/v2/acme/app/blobs/uploads/", Response(202, {"Location": SESSION}))
    server.expect("PUT", f"{SESSION}?digest={descriptor.digest}", answer)


def total(events: list[Event]) -> HostTraffic:
    """Return the last totals that a client reported, of its only host."""
    return [event for event in events if isinstance(event, HostTraffic)][-1]


# Large bodies


async def test_parts_of_a_file_arrive_as_one_body(channel: Channel, opened: Opened):
    events: list[Event] = []
    async with channel.server() as server, channel.client(events=events) as client:
        expect_upload(server)
        with opened(CONTENT) as body:
            await client.blobs(repository(server)).write(LAYER, body)
        assert server.sent("PUT")[0].body == CONTENT
    assert total(events).bytes_out == LAYER.size


async def test_a_download_is_kept_whole_and_in_order(channel: Channel):
    kept, steps = bytearray(), []

    def keep(piece: memoryview, position: int) -> None:
        assert position == len(kept)
        kept.extend(piece)

    events: list[Event] = []
    async with channel.server() as server, channel.client(events=events) as client:
        server.expect("GET", TARGET, Response(200, body=CONTENT))
        async for step in client.blobs(repository(server)).fetch(LAYER, keep):
            assert step <= len(kept)
            steps.append(step)
        assert kept == CONTENT
        assert steps == sorted(set(steps))
        assert steps[-1] == LAYER.size
    assert total(events).bytes_in == LAYER.size


async def test_an_error_while_storing_is_raised_unchanged_without_a_retry(channel: Channel):
    def keep(piece: memoryview, position: int) -> None:
        raise OSError(28, "No space left on device")

    async with channel.server() as server, channel.client() as client:
        server.expect("GET", TARGET, Response(200, body=CONTENT))
        with pytest.raises(OSError, match="No space left"):
            async for _ in client.blobs(repository(server)).fetch(LAYER, keep):
                pass


async def test_a_refusal_before_the_whole_file_was_sent_is_reported(channel: Channel, opened: Opened):
    large = Descriptor(LAYER_TYPE, LAYER.digest, 64 * 1024 * 1024)
    events: list[Event] = []
    async with channel.server() as server, channel.client(policy=ONCE, events=events) as client:
        expect_upload(server, Response(400, body=b'{"errors": [{"code": "DENIED"}]}', early=True))
        with opened(bytes(large.size)) as body, pytest.raises(RegistryError, match="DENIED"):
            await client.blobs(repository(server)).write(large, body)
    assert total(events).bytes_out < large.size


async def test_interim_responses_while_a_file_is_sent_do_not_damage_it(channel: Channel, opened: Opened):
    got = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 202 Accepted\r\nLocation: {SESSION}\r\nContent-Length: 0\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        body = b""
        while len(body) < LAYER.size:
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            body += await reader.read(100_000)
        got.set_result(body)
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

    async with channel.raw_server(serve) as host, channel.client(policy=ONCE) as client:
        with opened(CONTENT) as body:
            await client.blobs(Repository(host, "acme/app")).write(LAYER, body)
        assert await got == CONTENT


async def test_a_server_that_stops_reading_a_file_times_out(channel: Channel, opened: Opened):
    large = Descriptor(LAYER_TYPE, LAYER.digest, 64 * 1024 * 1024)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 202 Accepted\r\nLocation: {SESSION}\r\nContent-Length: 0\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.Event().wait()

    config = RegistryConfig(stall_s=0.2)
    async with channel.raw_server(serve) as host, channel.client(policy=ONCE, config=config) as client:
        with opened(bytes(large.size)) as body, pytest.raises(ConnectionFailed, match="did not respond in time"):
            await client.blobs(Repository(host, "acme/app")).write(large, body)


async def test_a_large_body_that_stalls_times_out(channel: Channel):
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {LAYER.size}\r\n\r\n".encode() + CONTENT[:500_000]
    config = RegistryConfig(stall_s=0.2)
    async with channel.raw_server(responds(head)) as host, channel.client(policy=ONCE, config=config) as client:
        with pytest.raises(ConnectionFailed, match="did not respond in time"):
            async for _ in client.blobs(Repository(host, "acme/app")).fetch(LAYER, lambda *_: None):
                pass


async def test_a_destination_is_not_blamed_for_a_source_that_stalls(channel: Channel):
    """A download that is resumed after a stall takes longer than the limit for it; no upload of it fails for that."""
    config = RegistryConfig(stall_s=0.2)

    async def stalled():
        yield CONTENT[:1000]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2 * config.stall_s):
                await asyncio.Event().wait()
        yield CONTENT[1000:]

    async with channel.server() as server, channel.client(policy=ONCE, config=config) as client:
        server.expect("POST", "/v2/acme/app/blobs/uploads/", Response(202, {"Location": SESSION}))
        server.expect("PUT", f"{SESSION}?digest={LAYER.digest}", 201)
        await client.blobs(repository(server)).write(LAYER, stalled)


async def test_a_cancelled_upload_leaves_no_thread_that_uses_its_content(channel: Channel, opened: Opened):
    large = Descriptor(LAYER_TYPE, LAYER.digest, 64 * 1024 * 1024)
    begun = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 202 Accepted\r\nLocation: {SESSION}\r\nContent-Length: 0\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        begun.set()
        await asyncio.Event().wait()

    async with channel.raw_server(serve) as host, channel.client() as client:
        with opened(bytes(large.size)) as body:
            push = asyncio.create_task(client.blobs(Repository(host, "acme/app")).write(large, body))
            await begun.wait()
            push.cancel()
            with pytest.raises(asyncio.CancelledError):
                await push


# Connections


async def test_a_connection_is_reused(channel: Channel):
    async with channel.server() as server, channel.client() as client:
        server.expect("HEAD", TARGET, 404, times=5)
        for _ in range(5):
            assert not await client.blobs(repository(server)).has(LAYER)
        assert server.connections == 1


async def test_a_connection_is_reused_after_a_large_download(channel: Channel):
    async with channel.server() as server, channel.client() as client:
        server.expect("GET", TARGET, Response(200, body=CONTENT), times=2)
        for _ in range(2):
            async for _step in client.blobs(repository(server)).fetch(LAYER, lambda *_: None):
                pass
        assert server.connections == 1


LAST_RESPONSES = {
    "Connection: close": {"Connection": "close"},
    "in any case, among others": {"Connection": "Upgrade, Close"},
    "in a second field": [("Connection", "upgrade"), ("Connection", "close")],
}


@pytest.mark.parametrize("headers", LAST_RESPONSES.values(), ids=LAST_RESPONSES)
@pytest.mark.parametrize("size", [100, LAYER.size], ids=["small", "large"])
async def test_a_connection_that_the_server_is_about_to_close_is_not_used_again(
    channel: Channel, size: int, headers: dict[str, str]
):
    descriptor, content = blob(CONTENT[:size])
    async with channel.server() as server, channel.client() as client:
        server.expect("GET", f"/v2/acme/app/blobs/{descriptor.digest}", Response(200, headers, content), times=2)
        for _ in range(2):
            async for _step in client.blobs(repository(server)).fetch(descriptor, lambda *_: None):
                pass
        assert server.connections == 2


async def test_a_connection_stays_open_for_a_header_that_only_contains_the_word_close(channel: Channel):
    async with channel.server() as server, channel.client() as client:
        server.expect("GET", TARGET, Response(200, {"Connection": "closely"}, CONTENT), times=2)
        for _ in range(2):
            async for _step in client.blobs(repository(server)).fetch(LAYER, lambda *_: None):
                pass
        assert server.connections == 1


async def test_a_connection_to_a_server_of_http_1_0_is_not_used_again():
    head = f"HTTP/1.0 200 OK\r\nContent-Length: {LAYER.size}\r\n\r\n".encode()
    opened: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)
        await responds(head + CONTENT)(reader, writer)

    async with raw_server(serve) as host, make_client() as client:
        for _ in range(2):
            async for _step in client.blobs(Repository(host, "acme/app")).fetch(LAYER, lambda *_: None):
                pass
    assert len(opened) == 2


@pytest.mark.parametrize(("idle_s", "connections"), [(14.0, 1), (16.0, 2)])
async def test_a_connection_that_was_idle_for_15_seconds_is_not_used_again(
    idle_s: float, connections: int, monkeypatch: pytest.MonkeyPatch
):
    loop = asyncio.get_running_loop()
    passed, real = 0.0, loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + passed)
    async with ScriptedServer() as server, make_client() as client:
        server.expect("HEAD", TARGET, 404, times=2)
        for _ in range(2):
            assert not await client.blobs(repository(server)).has(LAYER)
            passed += idle_s
        assert server.connections == connections


async def test_a_connection_with_an_unrequested_response_is_not_used_again(channel: Channel):
    opened: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
            )

    async with channel.raw_server(serve) as host, channel.client() as client:
        for _ in range(2):
            assert not await client.blobs(Repository(host, "acme/app")).has(LAYER)
    assert len(opened) == 2


async def test_interim_responses_are_skipped(channel: Channel):
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    async with channel.raw_server(responds(early)) as host, channel.client() as client:
        assert not await client.blobs(Repository(host, "acme/app")).has(LAYER)


OK = b"HTTP/1.1 200 OK\r\n"
NO_STATUS_LINE, LENGTH, HEADER = "it does not begin with a status line", "its Content-Length is invalid", "a header is"
INVALID = {
    "a greeting of another protocol": (b"220 mail.example ESMTP\r\n\r\n", NO_STATUS_LINE),
    "an alert of TLS": (b"\x15\x03\x01\x00\x02\x02\x16", NO_STATUS_LINE),
    "an empty line": (b"\r\n\r\n", NO_STATUS_LINE),
    "two lengths": (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", LENGTH),
    "an invalid length": (OK + b"Content-Length: -1\r\n\r\n", LENGTH),
    "an unknown encoding": (OK + b"Transfer-Encoding: gzip\r\n\r\n", "its Transfer-Encoding is not supported"),
    "an endless head": (OK + b"X: " + b"x" * 100_000, "its head is longer than 64 KiB"),
    "a header without a name": (OK + b": x\r\n\r\n", HEADER),
    "a header with the name of another": (OK + b"Content-Length chunk: x\r\n\r\n", HEADER),
    "a continuation of nothing": (OK + b" x\r\n\r\n", HEADER),
}
H11S_WORDS = re.compile(r"peer|buffer|illegal|bytearray|b'|footer|hint|h11|[Rr]emote|EOF")


@pytest.mark.parametrize(("head", "why"), INVALID.values(), ids=INVALID)
async def test_an_invalid_http_response_is_an_error_that_says_what_is_wrong_with_it(head: bytes, why: str):
    async with raw_server(responds(head)) as host, make_client(policy=ONCE) as client:
        with pytest.raises(ConnectionFailed, match=f"invalid HTTP response from {host}: {why}") as raised:
            await client.blobs(Repository(host, "acme/app")).has(LAYER)
    assert not H11S_WORDS.search(str(raised.value))


CUT = {
    "before a byte": b"",
    "in the status line": b"HTTP/1.1 20",
    "in the headers": OK + b"Content-Type: application/json\r\nContent-Le",
    "in the body": OK + b"Content-Length: 9\r\n\r\n{",
    "in a chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{",
    "between chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
}


@pytest.mark.parametrize("sent", CUT.values(), ids=CUT)
async def test_a_response_that_is_cut_off_is_called_so_in_our_words(channel: Channel, sent: bytes):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        await writer.drain()
        writer.close()

    async with channel.raw_server(serve) as host, channel.client(policy=ONCE) as client:
        with pytest.raises(ConnectionFailed) as raised:
            await client.manifests.get(Repository(host, "acme/app").with_tag("1"))
    error = raised.value
    assert error.why == f"{host} closed the connection before the end of the response"
    assert not H11S_WORDS.search(f"{error} {error.hint}")


async def test_a_malformed_chunk_is_an_error_that_says_so():
    body = OK + b"Transfer-Encoding: chunked\r\n\r\nnot a number\r\n"
    async with raw_server(responds(body)) as host, make_client(policy=ONCE) as client:
        with pytest.raises(ConnectionFailed, match="a chunk is malformed") as raised:
            await client.manifests.get(Repository(host, "acme/app").with_tag("1"))
    assert not H11S_WORDS.search(str(raised.value))


async def test_the_next_address_is_tried_if_one_refuses():
    async def lookup(host: str, port: int) -> list[str]:
        return ["127.0.0.9", "127.0.0.1"]  # nothing listens on the first

    async with ScriptedServer(name="localhost") as server, make_client(lookup=lookup) as client:
        server.expect("HEAD", TARGET, 404)
        assert not await client.blobs(repository(server)).has(LAYER)


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.1", "127.0.0.2"]])
async def test_a_refused_connection_is_called_so_with_its_addresses(addresses: list[str]):
    async def lookup(host: str, port: int) -> list[str]:
        return addresses

    async with make_client(lookup=lookup, policy=ONCE) as client:
        with pytest.raises(BakeryError) as caught:
            await client.blobs(Repository("registry.example:9", "acme/app")).has(LAYER)
    assert caught.value.why == f"no connection to registry.example:9: Connection refused ({', '.join(addresses)})"


async def test_a_name_is_looked_up_once_for_many_requests():
    lookup = names(localhost="127.0.0.1")
    async with ScriptedServer(name="localhost") as server, make_client(lookup=lookup) as client:
        server.expect("HEAD", TARGET, 404, times=10)
        await asyncio.gather(*(client.blobs(repository(server)).has(LAYER) for _ in range(10)))
    assert lookup.names == ["localhost"]


async def until(server: ScriptedServer, connections: int) -> None:
    async with asyncio.timeout(5):
        while server.connections != connections:  # noqa: ASYNC110  # the server has no event for it
            await asyncio.sleep(0)


async def test_connections_are_opened_ahead_for_each_repository_as_many_as_the_host_gets_requests_at_once():
    config = RegistryConfig(small_at_once=5)
    async with ScriptedServer() as one, ScriptedServer() as two, make_client(config=config) as client:
        repositories = [Repository(one.host, "acme/a"), Repository(two.host, "acme/a"), Repository(two.host, "acme/b")]
        await client.open_ahead(repositories, each=3)
        await until(one, 3)
        await until(two, 5)


async def test_a_proxy_that_refuses_a_tunnel_is_named():
    async with ScriptedServer() as proxy:
        proxy.expect("CONNECT", "registry.example:443", 407)
        config = RegistryConfig(proxies=Proxies.from_environment({"HTTPS_PROXY": proxy.origin}))
        async with make_client(policy=ONCE, config=config) as client:
            with pytest.raises(BakeryError, match=rf"the proxy {proxy.origin} responds 407"):
                await client.blobs(Repository("registry.example", "acme/app")).has(LAYER)


# Loopback names


async def test_a_registry_on_a_loopback_name_is_asked_over_tls_if_it_speaks_tls(tls: Tls):
    config = RegistryConfig(ca_file=tls.file, tries_tls_on_loopback=True)
    async with ScriptedServer(tls=tls.server("localhost"), name="localhost") as server:
        async with make_client(config=config, lookup=names(localhost="127.0.0.1")) as client:
            server.expect("HEAD", TARGET, 404, times=2)
            for _ in range(2):
                assert not await client.blobs(repository(server)).has(LAYER)
        assert server.connections == 1  # besides the handshake that found out


async def test_connections_are_opened_ahead_to_a_loopback_name_only_when_it_is_known_whether_it_speaks_tls(tls: Tls):
    config = RegistryConfig(ca_file=tls.file, tries_tls_on_loopback=True)
    async with (
        ScriptedServer(tls=tls.server("localhost"), name="localhost") as server,
        make_client(config=config, lookup=names(localhost="127.0.0.1")) as client,
    ):
        await client.open_ahead([repository(server)], each=2)
        server.expect("HEAD", TARGET, 404)
        assert not await client.blobs(repository(server)).has(LAYER)
        assert server.connections == 1
        await client.open_ahead([repository(server)], each=2)
        await until(server, 2)


async def test_a_registry_on_a_loopback_name_that_does_not_speak_tls_is_asked_over_plain_http():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        status = b"404 Not Found" if head.startswith(b"HEAD /v2/") else b"400 Bad Request"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    config = RegistryConfig(tries_tls_on_loopback=True)
    async with raw_server(serve) as host, make_client(config=config, policy=ONCE) as client:
        assert not await client.blobs(Repository(host, "acme/app")).has(LAYER)


async def test_a_certificate_error_on_a_loopback_name_does_not_lead_to_plain_http(tls: Tls):
    config = RegistryConfig(tries_tls_on_loopback=True)  # without the authority
    lookup = names(localhost="127.0.0.1")
    async with (
        ScriptedServer(tls=tls.server("localhost"), name="localhost") as server,
        make_client(config=config, lookup=lookup, policy=ONCE) as client,
    ):
        with pytest.raises(Untrusted, match="certificate"):
            await client.blobs(repository(server)).has(LAYER)


async def test_a_loopback_registry_that_the_user_marked_as_plain_http_gets_no_handshake():
    async with ScriptedServer() as server:
        config = RegistryConfig(tries_tls_on_loopback=True, plain_http=frozenset({server.host}))
        async with make_client(config=config) as client:
            server.expect("HEAD", TARGET, 404)
            assert not await client.blobs(repository(server)).has(LAYER)
        assert server.connections == 1


async def test_loopback_registries_that_speak_tls_are_found_for_programs_that_must_be_told(tls: Tls):
    plain_http = raw_server(responds(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
    async with ScriptedServer(tls=tls.server("localhost")) as secure, plain_http as plain:
        closed = "127.0.0.1:1"
        asked = [secure.host, plain, closed, "registry.example", secure.host]
        assert await over_tls(asked, RegistryConfig()) == {secure.host}
        assert await over_tls(asked, RegistryConfig(plain_http=frozenset({secure.host}))) == frozenset()
