"""A connection over a pair of sockets: the order of what is sent."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import Future
from typing import Any, cast

from bakery.registry.http.turns import RECORDS_BYTES
from bakery.registry.http.wire import Wire

CONTENT = bytes(8 * 1024 * 1024)
UPDATE = b"u"


class Session:
    """A TLS session that has to send UPDATE once something arrived, and that arrives while a thread encrypts."""

    def __init__(self, wire: Wire) -> None:
        self.wire, self.loop, self.due, self.met = wire, asyncio.get_running_loop(), b"", 0
        self.is_encrypting = self.was_shared = False

    def encrypt(self, content: memoryview) -> bytes:
        arrived = Future[None]()

        def arrive() -> None:
            self.wire.data_received(b"a new key")
            arrived.set_result(None)

        self.is_encrypting = True
        self.loop.call_soon_threadsafe(arrive)
        arrived.result(timeout=10)
        self.is_encrypting = False
        return bytes(content)

    def feed(self, data: bytes) -> None:
        self.was_shared |= self.is_encrypting
        self.due, self.met = UPDATE, self.met + 1

    def read(self) -> None:
        return None

    def outgoing(self) -> bytes:
        due, self.due = self.due, b""
        return due


class FullWire(Wire):
    """A connection; `was_full` is set once its server accepts no more for now."""

    def __init__(self) -> None:
        super().__init__()
        self.was_full = asyncio.Event()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.was_full.set()


async def test_what_a_tls_session_sends_itself_never_cuts_a_record_that_is_being_sent():
    """TLS numbers its records. After a change of keys in mid-upload, the server reported a bad record."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    _, wire = await loop.create_connection(FullWire, sock=ours)
    session = Session(wire)
    cast(Any, wire)._tls = session
    received = bytearray()

    async def receive() -> None:
        await wire.was_full.wait()
        while data := await loop.sock_recv(theirs, 1024 * 1024):
            received.extend(data)

    reading = asyncio.ensure_future(receive())
    left: Any = memoryview(CONTENT)
    while left:
        left = await wire.send(left)
    wire.transport.write_eof()
    await reading
    wire.close()
    await wire.closed
    theirs.close()
    assert session.met > 1
    assert not session.was_shared  # by the event loop and a thread
    at, content = 0, 0
    while at < len(received):  # each record is whole: the session's own message is between two of them
        if received[at : at + 1] == UPDATE:
            at += 1
        else:
            assert received[at : at + RECORDS_BYTES] == CONTENT[:RECORDS_BYTES]
            at, content = at + RECORDS_BYTES, content + RECORDS_BYTES
    assert content == len(CONTENT)
    assert len(received) > content  # with the session's own messages


async def test_what_arrived_before_a_body_is_received_reaches_its_reader_at_once():
    """Records of TLS arrive one by one. Each woke a thread, and every upload that follows the download, for 16 KiB."""
    ours, theirs = socket.socketpair()
    _, wire = await asyncio.get_running_loop().create_connection(Wire, sock=ours)
    for part in (b"one, ", b"two, ", b"three, and the next response"):
        wire.data_received(part)
    taken: list[bytes] = []
    size = len(b"one, two, three")
    assert await wire.receive_by(lambda piece: taken.append(bytes(piece)), size) == size
    assert taken == [b"one, two, three"]
    assert wire.take_arrived() == b", and the next response"
    wire.data_received(b"all")
    assert await wire.receive_by(lambda piece: taken.append(bytes(piece)), len(b"all")) == len(b"all")
    assert not wire.has_news
    wire.close()
    await wire.closed
    theirs.close()


async def test_a_thread_never_sends_past_bytes_that_wait_in_the_event_loop():
    """Part of an interim response ended the wait for them: a server of TLS reported a bad record in mid-upload."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    _, wire = await loop.create_connection(FullWire, sock=ours)
    first, second = b"a" * (4 * 1024 * 1024), b"b" * (4 * 1024 * 1024)
    sending = asyncio.ensure_future(wire.send(first))
    await wire.was_full.wait()
    wire.data_received(b"HTTP/1.1 100")
    assert await sending == b""
    assert (wire.is_full, wire.take_arrived()) == (True, b"HTTP/1.1 100")
    sending = asyncio.ensure_future(wire.send(memoryview(second)))
    received = bytearray()
    while len(received) < len(first) + len(second):
        received += await loop.sock_recv(theirs, 1024 * 1024)
    assert not await sending
    assert received == first + second
    wire.close()
    await wire.closed
    theirs.close()
