"""The relay of the benchmark counts the traffic and does not change it."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

import pytest
from bench.relay import Relay, RequestCounter
from hypothesis import given
from hypothesis import strategies as st

CONVERSATION = (
    b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n"
    b"PUT /v2/x HTTP/1.1\r\nHost: a\r\nContent-Length: 22\r\n\r\nGET / HTTP/1.1\r\n\r\nbody"
    b"PATCH /v2/y HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nGET /\r\n3;x=y\r\nabc\r\n0\r\n\r\n"
    b"POST /v2/z HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
    b"HEAD /v2/w HTTP/1.1\r\n\r\n"
)


@given(st.lists(st.integers(0, len(CONVERSATION)), max_size=12))
def test_the_request_count_does_not_depend_on_how_the_bytes_are_cut(cuts):
    counter = RequestCounter()
    edges = [0, *sorted(cuts), len(CONVERSATION)]
    for start, end in itertools.pairwise(edges):
        counter.feed(CONVERSATION[start:end])
    assert counter.methods == Counter(GET=1, PUT=1, PATCH=1, POST=1, HEAD=1)
    assert counter.body_bytes == 22 + 8


@pytest.mark.parametrize("round_trip_s", [0, 0.002])
async def test_the_relay_delivers_all_bytes_in_order(round_trip_s):
    body = bytes(range(256)) * 4096

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(len(request)))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    request = b"PUT / HTTP/1.1\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        relay = Relay(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", round_trip_s)
        host, _, port = (await relay.listen()).rpartition(":")
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(request)
            assert await reader.read() == request
            writer.close()
            await writer.wait_closed()
        finally:
            await relay.close()
    assert relay.counts.requests == Counter(PUT=1)
    assert relay.counts.sent_bytes == len(body)
    assert relay.counts.received_bytes == len(request)
    assert relay.counts.connections == 1
