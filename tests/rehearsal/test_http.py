"""HTTP/1.1 from the server's side: ambiguous framing is refused, and the size of reads changes nothing."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.rehearsal import EmbeddedRegistry
from bakery.rehearsal.faults import Slow
from bakery.rehearsal.http import ChunkedBody, MalformedRequest, parse_head
from tests.clock import JumpingClock
from tests.rehearsal.content import LAYER, REPO, Http


def test_a_head_is_parsed_with_its_query_and_repeated_headers():
    head = parse_head(b"GET /v2/a%2fb/tags/list?n=1&last=a%20b&x HTTP/1.1\r\nHost: h\r\nAccept: a\r\naccept:  b ")
    assert (head.method, head.segments, head.version) == ("GET", ["v2", "a/b", "tags", "list"], "HTTP/1.1")
    assert head.query() == [("n", "1"), ("last", "a b"), ("x", "")]
    assert head.headers == {"host": "h", "accept": "a, b"}
    assert head.length == 0
    assert head.keeps_alive


REFUSED = {
    "one part": b"GET",
    "four parts": b"GET / x HTTP/1.1",
    "an unknown version": b"GET / HTTP/2.0",
    "a method that is not a token": b"G@T / HTTP/1.1",
    "a control character in the target": b"GET /\x01 HTTP/1.1",
    "a target that is not a path": b"GET host:80 HTTP/1.1",
    "a header without a colon": b"GET / HTTP/1.1\r\nHost",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : h",
    "a folded header": b"GET / HTTP/1.1\r\nHost: h\r\n more",
    "a bare line feed": b"GET / HTTP/1.1\r\nHost: h\nX: y",
    "a length that is not a number": b"PUT / HTTP/1.1\r\nContent-Length: +3",
    "two lengths": b"PUT / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4",
    "a length and chunked coding": b"PUT / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
    "an unknown coding": b"PUT / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked",
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
def test_a_malformed_or_ambiguous_head_is_refused(raw):
    with pytest.raises(MalformedRequest):
        parse_head(raw)


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(raw):
    with suppress(MalformedRequest):
        parse_head(raw)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.binary(max_size=20), st.data())
def test_a_chunked_body_does_not_depend_on_the_size_of_reads(pieces, following, data):
    wire = (
        b"".join(b"%x;x=y\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nTrailer: t\r\n\r\n" + following
    )
    body, got, position = ChunkedBody(), b"", 0
    while not body.done:
        step = data.draw(st.integers(min_value=1, max_value=len(wire) - position))
        got += b"".join(body.feed(wire[position : position + step]))
        position += step
    assert got == b"".join(pieces)
    assert body.leftover + wire[position:] == following


@pytest.mark.parametrize("wire", [b"x\r\n", b"-1\r\n", b"1\r\nab\r\n", b" \r\n", b"0x1\r\n", b"1" * 5000])
def test_a_chunk_with_a_wrong_or_invalid_size_is_refused(wire):
    with pytest.raises(MalformedRequest):
        list(ChunkedBody().feed(wire))


async def talk(registry: EmbeddedRegistry, *writes: bytes, end: bool = False) -> bytes:
    """Send these bytes and return everything received until the registry closes the connection."""
    host, _, port = registry.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for data in writes:
            writer.write(data)
            await writer.drain()
        if end:
            writer.write_eof()
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_tls_greeting_is_refused_at_once(registry):
    response = await talk(registry, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert response.startswith(b"HTTP/1.1 400 ")


async def test_pipelined_requests_get_their_responses_in_order(registry):
    get = b"GET /v2/%s/tags/list HTTP/1.1\r\nHost: h\r\n%s\r\n"
    response = await talk(registry, get % (b"a/one", b"") + get % (b"a/two", b"Connection: close\r\n"))
    assert response.count(b"HTTP/1.1 404 ") == 2
    assert response.index(b"a/one") < response.index(b"a/two")


async def test_a_request_may_arrive_in_small_pieces(registry):
    request = b"GET /v2/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    assert (await talk(registry, *[request[n : n + 7] for n in range(0, len(request), 7)])).startswith(
        b"HTTP/1.1 200 OK"
    )


async def test_a_client_that_expects_100_continue_gets_it(registry):
    head = b"PUT /v2/a/b/manifests/1 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
    response = await talk(registry, head + b"Connection: close\r\n\r\n", b"{}")
    assert response.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 ")


async def test_a_useless_body_is_refused_before_it_is_sent(registry):
    head = b"PUT /v2/a/b/blobs/uploads/none HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n"
    response = await talk(registry, head + b"Expect: 100-continue\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 404 ")
    assert b"\r\nConnection: close\r\n" in response


async def test_an_early_refusal_reaches_a_client_that_is_still_sending(registry):
    body = b"x" * 3_000_000
    head = b"PUT /v2/a/b/blobs/uploads/none HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert b"BLOB_UPLOAD_UNKNOWN" in await talk(registry, head, body)


async def test_an_oversized_head_is_refused(registry):
    assert (await talk(registry, b"GET /v2/ HTTP/1.1\r\nX: " + b"x" * 70_000)).startswith(b"HTTP/1.1 431 ")


async def test_a_client_that_disconnects_mid_request_does_no_harm(registry):
    assert await talk(registry, b"PUT /v2/a/b/manifests/1 HTTP/1.1\r\nContent-Length: 9\r\n\r\n{", end=True) == b""
    assert (await talk(registry, b"GET /v2/ HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    assert registry.tags("a/b") == {}


async def test_a_client_that_does_not_read_does_not_block_the_shutdown():
    async with EmbeddedRegistry() as registry:
        digest = registry.put_blob("a/b", b"x" * 30_000_000)
        host, _, port = registry.address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET /v2/a/b/blobs/{digest} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        _, late = await asyncio.open_connection(host, int(port))  # a connection that was only just accepted
    for each in (writer, late):
        each.close()
        with suppress(ConnectionError):
            await each.wait_closed()


async def test_vanished_content_breaks_the_download_instead_of_shortening_it(session, tmp_path):
    class Thief(JumpingClock):
        async def sleep(self, seconds: float) -> None:
            for file in (tmp_path / "store" / "content").glob("*/*/*"):
                os.truncate(file, 0)

    async with EmbeddedRegistry(tmp_path / "store", clock=Thief()) as registry:
        digest = registry.put_blob(REPO, LAYER)
        registry.fault("GET", then=Slow(piece_bytes=100, pause_s=1.0))
        with pytest.raises(aiohttp.ClientError):
            await Http(session, registry)("GET", f"/v2/{REPO}/blobs/{digest}")
