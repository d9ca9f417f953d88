"""HTTP/1.1 as the server reads it: what could be framed in two ways is refused, and no cut changes what is read."""

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
from bakery.rehearsal.http import ChunkedBody, Malformed, parse_head
from tests.rehearsal.content import LAYER, REPO, Http
from tests.rehearsal.test_faults import JumpingClock


def test_a_head_is_read_with_its_query_and_its_repeated_headers():
    head = parse_head(b"GET /v2/a%2fb/tags/list?n=1&last=a%20b&x HTTP/1.1\r\nHost: h\r\nAccept: a\r\naccept:  b ")
    assert (head.method, head.segments, head.version) == ("GET", ["v2", "a/b", "tags", "list"], "HTTP/1.1")
    assert head.query() == [("n", "1"), ("last", "a b"), ("x", "")]
    assert head.headers == {"host": "h", "accept": "a, b"}
    assert head.length == 0
    assert head.keeps_alive


REFUSED = {
    "no parts": b"GET",
    "four parts": b"GET / x HTTP/1.1",
    "another protocol": b"GET / HTTP/2.0",
    "a method that is no token": b"G@T / HTTP/1.1",
    "a target with a control": b"GET /\x01 HTTP/1.1",
    "a target that is no path": b"GET host:80 HTTP/1.1",
    "a header without a colon": b"GET / HTTP/1.1\r\nHost",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : h",
    "a folded header": b"GET / HTTP/1.1\r\nHost: h\r\n more",
    "a bare line feed": b"GET / HTTP/1.1\r\nHost: h\nX: y",
    "a length that is no number": b"PUT / HTTP/1.1\r\nContent-Length: +3",
    "two lengths": b"PUT / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4",
    "a length and chunks": b"PUT / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
    "an unknown coding": b"PUT / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked",
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
def test_a_head_that_is_malformed_or_ambiguous_is_refused(raw):
    with pytest.raises(Malformed):
        parse_head(raw)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw):
    with suppress(Malformed):
        parse_head(raw)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.binary(max_size=20), st.data())
def test_a_chunked_body_does_not_depend_on_how_it_was_cut(pieces, following, data):
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
def test_a_chunk_that_is_not_its_size_is_refused(wire):
    with pytest.raises(Malformed):
        list(ChunkedBody().feed(wire))


async def talk(registry: EmbeddedRegistry, *writes: bytes, end: bool = False) -> bytes:
    """Send these bytes, and give all that comes until the registry closes."""
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


async def test_who_tries_tls_is_told_at_once_that_this_is_plain_http(registry):
    answer = await talk(registry, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_requests_that_come_at_once_are_answered_in_order(registry):
    get = b"GET /v2/%s/tags/list HTTP/1.1\r\nHost: h\r\n%s\r\n"
    answer = await talk(registry, get % (b"a/one", b"") + get % (b"a/two", b"Connection: close\r\n"))
    assert answer.count(b"HTTP/1.1 404 ") == 2
    assert answer.index(b"a/one") < answer.index(b"a/two")


async def test_a_request_in_small_pieces_is_one_request(registry):
    request = b"GET /v2/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    assert (await talk(registry, *[request[n : n + 7] for n in range(0, len(request), 7)])).startswith(
        b"HTTP/1.1 200 OK"
    )


async def test_a_client_that_waits_to_send_its_body_is_told_to_go_on(registry):
    head = b"PUT /v2/a/b/manifests/1 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
    answer = await talk(registry, head + b"Connection: close\r\n\r\n", b"{}")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 ")


async def test_a_body_that_nobody_wants_is_refused_before_it_is_sent(registry):
    head = b"PUT /v2/a/b/blobs/uploads/none HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n"
    answer = await talk(registry, head + b"Expect: 100-continue\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"\r\nConnection: close\r\n" in answer


async def test_an_early_refusal_reaches_a_client_that_is_still_sending(registry):
    body = b"x" * 3_000_000
    head = b"PUT /v2/a/b/blobs/uploads/none HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert b"BLOB_UPLOAD_UNKNOWN" in await talk(registry, head, body)


async def test_a_head_without_end_is_refused(registry):
    assert (await talk(registry, b"GET /v2/ HTTP/1.1\r\nX: " + b"x" * 70_000)).startswith(b"HTTP/1.1 431 ")


async def test_a_client_that_leaves_in_the_middle_harms_nobody(registry):
    assert await talk(registry, b"PUT /v2/a/b/manifests/1 HTTP/1.1\r\nContent-Length: 9\r\n\r\n{", end=True) == b""
    assert (await talk(registry, b"GET /v2/ HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    assert registry.tags("a/b") == {}


async def test_a_client_that_does_not_read_does_not_hold_up_the_end():
    async with EmbeddedRegistry() as registry:
        digest = registry.put_blob("a/b", b"x" * 30_000_000)
        host, _, port = registry.address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET /v2/a/b/blobs/{digest} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        _, late = await asyncio.open_connection(host, int(port))  # one that has only just been accepted
    for each in (writer, late):
        each.close()
        with suppress(ConnectionError):
            await each.wait_closed()


async def test_content_that_vanishes_is_a_broken_download_and_never_a_short_one(session, tmp_path):
    class Thief(JumpingClock):
        async def sleep(self, seconds: float) -> None:
            for file in (tmp_path / "store" / "content").glob("*/*/*"):
                os.truncate(file, 0)

    async with EmbeddedRegistry(tmp_path / "store", clock=Thief()) as registry:
        digest = registry.put_blob(REPO, LAYER)
        registry.fault("GET", then=Slow(piece_bytes=100, pause_s=1.0))
        with pytest.raises(aiohttp.ClientError):
            await Http(session, registry)("GET", f"/v2/{REPO}/blobs/{digest}")
