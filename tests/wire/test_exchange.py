"""One request and its response over a connection in memory: what is sent when, what is read, and what may follow."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from bakery.errors import InvalidContent
from bakery.extent import Piece
from bakery.registry.http import exchange as module
from bakery.registry.http.exchange import Exchange, NotHttp
from bakery.registry.http.wire import Broken, Wire

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"


class MemoryWire:
    """A connection in memory. arriving: what the server sends, a piece each time one is waited for; b"" is its end."""

    def __init__(self, *arriving: bytes) -> None:
        self.arriving, self.arrived = deque(arriving), deque[bytes]()
        self.sent: list[bytes] = []
        self.idle_since, self.is_full, self.takes = 0.0, False, 10**9

    @property
    def has_news(self) -> bool:
        return bool(self.arrived)

    def take_arrived(self) -> bytes:
        return self.arrived.popleft()

    def arrive(self) -> None:
        self.arrived.append(self.arriving.popleft())

    async def change(self) -> None:
        self.arrive()

    async def send(self, piece: Piece, moved: Callable[[int], object] = lambda _: None) -> Piece:
        assert isinstance(piece, bytes)
        now, left = piece[: self.takes], piece[self.takes :]
        self.sent.append(now)
        moved(len(now))
        if left:
            self.arrive()  # the server has something to say before it takes more
        return left

    async def receive_by(self, take: Callable[[memoryview], object], size: int) -> int:
        if not self.arrived:
            self.arrive()
        data = self.take_arrived()
        if data:
            take(memoryview(data))
        return len(data)


class Body:
    """A body in pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces, self.size, self.opened = pieces, sum(map(len, pieces)), list[bytes]()

    async def open(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.opened.append(piece)
            yield piece


def over(wire: MemoryWire) -> Exchange:
    return Exchange(cast(Wire, wire))


async def ask(wire: MemoryWire, method: str = "GET") -> Exchange:
    found = over(wire)
    await found.request(method, "/", [("Host", "h")])
    return found


async def put(wire: MemoryWire, body: Body, *, stated: int | None = None, **more: Any) -> Exchange:
    found = over(wire)
    size = body.size if stated is None else stated
    await found.request("PUT", "/", [("Host", "h"), ("Content-Length", str(size))], cast(Any, body), **more)
    return found


async def content_of(found: Exchange) -> bytes:
    parts = []
    while part := await found.chunk():
        parts.append(part)
    return b"".join(parts)


async def moved_by(found: Exchange) -> bytes:
    parts: list[bytes] = []
    while await found.move(lambda view: parts.append(bytes(view))):
        pass
    return b"".join(parts)


async def test_a_connection_may_be_used_again_once_the_response_was_read_to_its_end():
    found = await ask(MemoryWire(EMPTY))
    assert not found.is_reusable
    assert await content_of(found) == b""
    assert found.is_reusable


async def test_bytes_after_the_response_end_the_use_of_a_connection():
    wire = MemoryWire(EMPTY)
    found = await ask(wire)
    await content_of(found)
    wire.arrived.append(b"more")
    assert not found.is_reusable
    together = await ask(MemoryWire(EMPTY + b"more"))
    await content_of(together)
    assert not together.is_reusable


@pytest.mark.parametrize(
    ("idle_since", "answer", "expected"), [(5.0, b"", True), (0.0, b"", False), (5.0, b"HTTP", False)]
)
async def test_only_a_kept_connection_that_ended_without_a_byte_met_a_closed_one(idle_since, answer, expected):
    wire = MemoryWire(*filter(None, [answer]), b"")
    wire.idle_since = idle_since
    found = over(wire)
    with pytest.raises(Broken):
        await found.request("GET", "/", [("Host", "h")])
    assert found.met_closed is expected


async def test_each_piece_of_a_body_is_reported_before_and_after_it_moves():
    steps: list[int | str] = []
    body = Body(b"abc", b"defg")
    await put(
        MemoryWire(EMPTY),
        body,
        waits=lambda: steps.append("waits"),
        moved=steps.append,
        sent=lambda: steps.append("sent"),
    )
    assert steps == ["waits", 0, 3, "waits", 0, 4, "waits", "sent"]


async def test_a_response_ends_a_body_that_the_server_does_not_take():
    wire = MemoryWire(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    wire.takes = 2
    body = Body(b"abc", b"def")
    found = await put(wire, body)
    assert (found.status, found.is_sent) == (413, False)
    assert body.opened == [b"abc"]
    await content_of(found)
    assert not found.is_reusable


@pytest.mark.parametrize(("is_full", "pieces"), [(True, 1), (False, 1), (True, 2)])
async def test_a_response_before_the_server_took_the_last_piece_ends_the_body(monkeypatch, is_full, pieces):
    wire, body = MemoryWire(EMPTY), Body(*[b"abc"] * pieces)
    wire.is_full = is_full

    async def send(piece: Piece, moved: Callable[[int], object] = lambda _: None) -> Piece:
        if piece == b"abc":
            wire.arrive()  # while the whole piece waits in the kernel
        return b""

    monkeypatch.setattr(wire, "send", send)
    found = await put(wire, body)
    assert found.is_sent is not is_full
    assert len(body.opened) == 1


async def test_a_full_connection_without_a_response_does_not_end_a_body():
    wire = MemoryWire(EMPTY)
    wire.is_full = True
    body = Body(b"abc", b"def")
    assert (await put(wire, body)).is_sent
    assert wire.sent[1:] == [b"abc", b"def"]


@pytest.mark.parametrize(("stated", "why"), [(2, "longer than its stated size"), (4, "shorter than its stated size")])
async def test_a_body_of_another_size_than_stated_is_an_error(stated, why):
    with pytest.raises(InvalidContent, match=why):
        await put(MemoryWire(EMPTY), Body(b"abc"), stated=stated)


@pytest.mark.parametrize("piece", [1, 7, 10_000])
async def test_a_body_arrives_whole_in_whatever_pieces(piece):
    raw = OK + b"Content-Length: 20\r\n\r\n" + b"0123456789" * 2
    found = await ask(MemoryWire(*(raw[at : at + piece] for at in range(0, len(raw), piece))))
    assert await content_of(found) == b"0123456789" * 2


async def test_the_end_of_the_connection_within_a_body_is_no_end_of_the_body():
    found = await ask(MemoryWire(OK + b"Content-Length: 20\r\n\r\n0123", b""))
    with pytest.raises(Broken):
        await content_of(found)


async def test_a_body_without_a_length_ends_with_the_connection():
    found = await ask(MemoryWire(OK + b"Connection: close\r\n\r\nabc", b""))
    assert await content_of(found) == b"abc"
    assert not found.is_reusable


async def test_a_switch_of_protocols_that_nobody_asked_for_breaks_the_exchange():
    found = await ask(MemoryWire(b"HTTP/1.1 200 OK\r\n\r\n"), "CONNECT")
    with pytest.raises(Broken):
        await found.chunk()


INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"


async def test_as_many_interim_responses_as_the_limit_says_are_skipped():
    found = await ask(MemoryWire(INTERIM * module._MOST_INTERIM + EMPTY))
    assert found.status == 200
    with pytest.raises(InvalidContent, match=f"more than {module._MOST_INTERIM} interim"):
        await ask(MemoryWire(INTERIM * (module._MOST_INTERIM + 1) + EMPTY))


async def test_what_is_no_http_is_told_even_if_the_body_was_not_sent():
    wire = MemoryWire(b"\x15\x03\x01\x00\x02\x02\x0a\r\n\r\n", b"")
    wire.takes = 1
    with pytest.raises(NotHttp):
        await put(wire, Body(b"abc"))


def chunked(*parts: bytes) -> list[bytes]:
    framed = [b"%x\r\n%s\r\n" % (len(part), part) for part in parts]
    return [OK + b"Transfer-Encoding: chunked\r\n\r\n", *framed, b"0\r\n\r\n"]


@pytest.mark.parametrize(
    ("size", "refused"), [(module._LEAST_CHUNK_BYTES, False), (module._LEAST_CHUNK_BYTES - 1, True)]
)
async def test_a_body_in_many_tiny_chunks_is_refused(size, refused):
    found = await ask(MemoryWire(*chunked(*[b"x" * size] * module._PIECES_A_TURN)))
    if refused:
        with pytest.raises(InvalidContent, match=f"contain {size * module._PIECES_A_TURN} bytes in total"):
            await content_of(found)
    else:
        assert len(await content_of(found)) == size * module._PIECES_A_TURN


@pytest.mark.parametrize("size", [module._LARGE_BYTES - 1, module._LARGE_BYTES])
async def test_a_body_is_moved_whole_whether_it_is_large_or_not(size):
    content = bytes(range(256)) * (size // 256 + 1)
    raw = content[:size]
    wire = MemoryWire(OK + b"Content-Length: %d\r\n\r\n" % size + raw[:100], raw[100:])
    found = await ask(wire)
    assert await moved_by(found) == raw
    assert found.is_complete
    assert found.is_reusable


async def test_a_large_body_that_arrives_with_its_head_is_complete_at_once():
    raw = b"x" * module._LARGE_BYTES
    found = await ask(MemoryWire(OK + b"Content-Length: %d\r\n\r\n" % len(raw) + raw))
    assert await found.move(lambda view: None) == len(raw)
    assert found.is_complete


async def test_a_large_body_that_is_cut_off_is_broken():
    found = await ask(MemoryWire(OK + b"Content-Length: %d\r\n\r\n" % module._LARGE_BYTES, b"abc", b""))
    with pytest.raises(Broken):
        await moved_by(found)
    assert not found.is_complete


@pytest.mark.parametrize(
    ("head", "length"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n", 70),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 70\r\n\r\n", 0),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 70\r\n\r\n", 0),
        (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 70\r\n\r\n", 0),
        (OK + b"\r\n", 0),
    ],
)
async def test_the_length_of_a_body_is_known_only_if_the_response_has_one(head, length):
    assert (await ask(MemoryWire(head)))._content_length() == length
