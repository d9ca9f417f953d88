"""One connection against a server that does one thing at a time: what arrives, what waits, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import tempfile
from collections.abc import Callable
from typing import Any, cast

import pytest

from bakery.extent import Extent, Piece
from bakery.registry.http.turns import Turn, send
from bakery.registry.http.wire import _AHEAD_BYTES, Broken, Wire
from tests.wire.attacks import Tls
from tests.wire.channel import Channel
from tests.wire.peer import BUFFER_BYTES, NAME, Peer, accepted, connected, paired

BODY = os.urandom(1024 * 1024 + 17)
NEXT = b"HTTP/1.1 200 OK"
LARGE = os.urandom(8 * 1024 * 1024 + 17)  # more than the kernel keeps of a connection, or a thread sends at once
READ_AT_ONCE_BYTES = 256 * 1024  # by asyncio


async def by_the_loop(wire: Wire, received: bytearray) -> int:
    while not wire.has_news:
        await wire.change()
    data = wire.take_arrived()
    received += data
    return len(data)


async def by_a_thread(wire: Wire, received: bytearray) -> int:
    return await wire.receive_by(received.extend, 2 * len(BODY))


async def announces_its_end(peer: Peer) -> None:
    await peer.announce_end()


async def closes(peer: Peer) -> None:
    await peer.announce_end()
    peer.cut()


async def is_cut(peer: Peer) -> None:
    peer.cut()


async def is_reset(peer: Peer) -> None:
    peer.reset()


ENDS = {  # how the connection ends, and the error if that cannot be the end of a body
    "plain, closed": (False, is_cut, None),
    "plain, reset": (False, is_reset, ConnectionResetError),
    "TLS, announced": (True, announces_its_end, None),
    "TLS, closed": (True, closes, None),
    "TLS, cut off": (True, is_cut, ssl.SSLEOFError),
    "TLS, reset": (True, is_reset, ConnectionResetError),
}


@pytest.mark.parametrize("receive", [by_the_loop, by_a_thread])
@pytest.mark.parametrize(("over_tls", "end", "cause"), ENDS.values(), ids=ENDS)
async def test_only_an_orderly_end_may_be_the_end_of_a_body(tls: Tls, over_tls, end, cause, receive):
    """A body may have no length. An attacker who can cut a connection must not be able to shorten it."""
    received = bytearray()
    async with connected(tls if over_tls else None) as (wire, peer):
        sending = asyncio.create_task(peer.send(BODY))
        while len(received) < len(BODY):
            await receive(wire, received)
        await sending
        last = asyncio.create_task(receive(wire, received))
        await wire.next_wait()
        await end(peer)
        if cause is None:
            assert await last == 0
        else:
            for reading in (last, receive(wire, received)):
                with pytest.raises(Broken) as caught:
                    await reading
                assert isinstance(caught.value.__cause__, cause)
    assert received == BODY


async def test_an_end_that_arrives_while_a_thread_encrypts_is_not_orderly_without_notice(tls: Tls, monkeypatch):
    """An answer without a length may arrive while a body is sent."""
    async with connected(tls) as (wire, peer):
        session: Any = wire._tls
        encrypt = session.encrypt

        def meanwhile(content: memoryview) -> bytes:
            peer.cut()
            assert wire.saw_end.wait(timeout=10)
            encrypted: bytes = encrypt(content)
            return encrypted

        monkeypatch.setattr(session, "encrypt", meanwhile)
        await wire.send(memoryview(NEXT))
        with pytest.raises(Broken):
            await by_the_loop(wire, bytearray())


async def test_the_last_bytes_of_a_connection_are_counted(channel: Channel):
    """They may arrive together with its end."""
    async with connected(channel.tls) as (wire, peer):
        wire.transport.pause_reading()
        await peer.send(NEXT)
        await closes(peer)
        received = bytearray()
        assert await by_a_thread(wire, received) == len(NEXT)
        assert await by_a_thread(wire, received) == 0
    assert received == NEXT


async def test_a_server_waits_while_nothing_is_read_of_what_it_sends(channel: Channel):
    """What arrives is kept in memory: no server decides how much."""
    received = bytearray()
    async with connected(channel.tls) as (wire, peer):
        sending = asyncio.create_task(peer.send(LARGE))
        for _ in range(3):
            await wire.paused.wait()
            wire.paused.clear()
            assert not sending.done()
            before = len(received)
            while wire.has_news:
                received += wire.take_arrived()
            assert _AHEAD_BYTES <= len(received) - before <= _AHEAD_BYTES + READ_AT_ONCE_BYTES
        while len(received) < len(LARGE):
            await by_the_loop(wire, received)
        await sending
    assert received == LARGE


async def test_a_server_waits_from_a_number_of_unread_bytes_on():
    async with connected(None) as (wire, _):
        for take in (wire.take_arrived, None, wire.take_arrived):
            wire.data_received(bytes(_AHEAD_BYTES - 1))
            assert wire.transport.is_reading()
            wire.data_received(b"x")
            assert not wire.transport.is_reading()
            while take is not None and wire.has_news:
                take()
            if take is None:
                assert await wire.receive_by(lambda _: None, _AHEAD_BYTES) == _AHEAD_BYTES
            assert wire.transport.is_reading()


@pytest.mark.parametrize("size", [1, 16 * 1024, 64 * 1024 + 1, 300 * 1024 + 17, len(BODY)])
async def test_a_body_is_received_to_its_last_byte_and_no_further(channel: Channel, size):
    """The next response may follow in the same packet, or the same record of TLS."""
    received, following = bytearray(), bytearray()
    async with connected(channel.tls, buffer_bytes=8 * BUFFER_BYTES) as (wire, peer):
        wire.transport.pause_reading()  # so that a thread finds as much as the kernel keeps
        sending = asyncio.create_task(peer.send(BODY[:size] + NEXT))
        await asyncio.wait([sending], timeout=0)
        while len(received) < size:
            assert await wire.receive_by(received.extend, size - len(received))
        while len(following) < len(NEXT):
            await by_the_loop(wire, following)
        await sending
        assert not wire.has_news
    assert received == BODY[:size]
    assert following == NEXT


async def test_a_body_takes_no_memory_of_its_size_and_none_afterwards(channel: Channel):
    """Connections are kept, and layers are large."""
    async with connected(channel.tls) as (wire, peer):
        wire.transport.pause_reading()
        await peer.send(NEXT)
        assert await wire.receive_by(lambda _: None, 10**12) == len(NEXT)
        assert 0 < len(wire._buffer) <= 1024 * 1024
        wire.transport.pause_reading()
        await peer.send(NEXT)
        assert await wire.receive_by(lambda _: None, len(NEXT)) == len(NEXT)
        assert not wire._buffer


async def test_what_tls_has_to_send_follows_what_a_thread_received(tls: Tls, monkeypatch: pytest.MonkeyPatch):
    """Such as the response to a change of keys. Without it, the server ends a long download."""
    async with connected(tls) as (wire, peer):
        wire.transport.pause_reading()
        await peer.send(NEXT)
        due = [b"an update"]
        monkeypatch.setattr(wire._tls, "outgoing", lambda: due.pop() if due else b"")
        assert await wire.receive_by(lambda _: None, len(NEXT)) == len(NEXT)
        assert await asyncio.get_running_loop().sock_recv(peer.handle, 100) == b"an update"


async def test_a_body_is_waited_for_and_not_polled_for(channel: Channel):
    received = bytearray()
    async with connected(channel.tls) as (wire, peer):
        for part in (b"one", b"two", b"three"):
            receiving = asyncio.create_task(wire.receive_by(received.extend, 100))
            await wire.next_wait()
            await peer.send(part)
            assert await receiving == len(part)
            assert not asyncio.get_running_loop().remove_reader(wire._handle())
    assert received == b"onetwothree"


Kept = Callable[[bytes, int], Piece]  # content as a piece; a file may have it


def as_bytes(content: bytes, file: int) -> Piece:
    return content


def as_memory(content: bytes, file: int) -> Piece:
    return memoryview(content)


def as_a_file(content: bytes, file: int) -> Piece:
    os.pwrite(file, b"before" + content + b"after", 0)
    return Extent(file, len(b"before"), len(content))


@pytest.mark.parametrize("kept", [as_bytes, as_memory, as_a_file])
async def test_a_server_that_takes_content_slowly_gets_it_whole(channel: Channel, kept: Kept):
    moved: list[int] = []
    async with connected(channel.tls) as (wire, peer):
        with tempfile.TemporaryFile() as file:
            sending = asyncio.create_task(wire.send(kept(LARGE, file.fileno()), moved.append))
            await wire.next_wait()
            assert await peer.receive(len(LARGE)) == LARGE
            assert not await sending
        assert not asyncio.get_running_loop().remove_writer(wire._handle())
    assert sum(moved) == len(LARGE)


async def test_what_was_sent_is_in_the_kernel_so_that_a_thread_may_send_what_follows(channel: Channel):
    pieces = [os.urandom(1000) for _ in range(2000)]

    async def send(wire: Wire) -> None:
        for piece in pieces:
            await wire.send(piece)
            assert not wire.transport.get_write_buffer_size()

    async with connected(channel.tls) as (wire, peer):
        sending = asyncio.create_task(send(wire))
        await wire.next_wait()
        assert await peer.receive(2000 * 1000) == b"".join(pieces)
        await sending


async def test_what_the_kernel_took_is_not_waited_for():
    async with paired() as (wire, _):
        assert not await wire.send(memoryview(BODY[: 100 * 1024]))  # so much that it reports no space for more


async def test_a_full_connection_is_waited_for_and_not_polled_for():
    async with paired() as (wire, peer):
        filled = fill(wire)
        sending = asyncio.create_task(wire.send(memoryview(BODY)))
        await wire.next_wait()
        assert await peer.receive(filled) == bytes(filled)
        receiving = asyncio.create_task(peer.receive(len(BODY)))
        left = await sending
        while left:
            left = await wire.send(left)
        assert await receiving == BODY


def fill(wire: Wire) -> int:
    """Send until the kernel takes no more, and return how many bytes it took."""
    filled = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            filled += wire._handle().send(bytes(1024))
    return filled


async def test_a_response_that_arrives_while_a_thread_finds_a_full_connection_is_noticed(monkeypatch):
    """It would be found only once the server takes more, which it may never do."""
    async with paired() as (wire, peer):
        fill(wire)
        loop = asyncio.get_running_loop()

        def meanwhile(handle: socket.socket, content: memoryview | Extent) -> Turn:
            turn = send(handle, content)
            asyncio.run_coroutine_threadsafe(answer(), loop).result(timeout=10)
            return turn

        async def answer() -> None:
            await peer.send(NEXT)
            while not wire.has_news:
                await wire.change()

        monkeypatch.setattr("bakery.registry.http.wire.send", meanwhile)
        assert await wire.send(memoryview(BODY)) == BODY


@pytest.mark.parametrize("kept", [as_memory, as_a_file])
async def test_a_response_that_arrives_ends_the_sending_of_a_piece(channel: Channel, kept: Kept):
    moved: list[int] = []
    async with connected(channel.tls) as (wire, peer):
        with tempfile.TemporaryFile() as file:
            sending = asyncio.create_task(wire.send(kept(LARGE, file.fileno()), moved.append))
            await wire.next_wait()
            await peer.send(NEXT)
            assert len(await sending) == len(LARGE) - sum(moved) > 0
        assert wire.take_arrived() == NEXT


async def test_a_whole_response_arrives_although_the_server_takes_no_more():
    received = bytearray()
    async with connected(None) as (wire, peer):
        sending = asyncio.create_task(wire.send(LARGE))
        await wire.next_wait()
        await peer.send(NEXT)
        peer.cut()
        await sending
        while await by_the_loop(wire, received):
            pass
    assert received == NEXT


@pytest.mark.parametrize("kept", [as_bytes, as_memory, as_a_file])
async def test_what_a_server_said_before_it_reset_the_connection_is_read(kept: Kept):
    """It says why it takes no more; the network's error would not."""
    async with connected(None) as (wire, peer):
        wire.transport.pause_reading()  # so that sending meets the end first
        await peer.send(NEXT)
        peer.reset()
        with tempfile.TemporaryFile() as file:
            await wire.send(kept(BODY, file.fileno()))
        received = bytearray()
        assert await by_the_loop(wire, received)
        assert received == NEXT


@pytest.mark.parametrize("kept", [as_memory, as_a_file])
async def test_a_reset_while_a_piece_is_sent_is_the_networks_own_error(channel: Channel, kept: Kept):
    async with connected(channel.tls) as (wire, peer):
        wire.transport.pause_reading()
        peer.reset()
        with tempfile.TemporaryFile() as file, pytest.raises(Broken) as caught:
            await wire.send(kept(BODY, file.fileno()))
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_file_that_has_become_shorter_is_not_the_networks_error(channel: Channel):
    async with connected(channel.tls) as (wire, _):
        with tempfile.TemporaryFile() as file:
            os.pwrite(file.fileno(), b"short", 0)
            with pytest.raises(EOFError, match="the file ends before 100 bytes"):
                await wire.send(Extent(file.fileno(), 0, 100))


async def test_a_file_system_without_sendfile_is_read_instead(monkeypatch: pytest.MonkeyPatch):
    def unsupported(*_: object) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "sendfile", unsupported)
    async with connected(None) as (wire, peer):
        with tempfile.TemporaryFile() as file:
            receiving = asyncio.create_task(peer.receive(len(BODY)))
            left = as_a_file(BODY, file.fileno())
            while left:
                left = await wire.send(left)
            assert await receiving == BODY


async def test_a_connection_that_ended_before_its_handshake_is_broken(tls: Tls):
    async with accepted(tls) as (wire, peer):
        peer.cut()
        while not wire.has_news:
            await wire.change()
        with pytest.raises(Broken):
            await wire.start_tls(ssl.create_default_context(cafile=str(tls.file)), NAME)


async def test_a_connection_that_ends_within_its_handshake_is_broken(tls: Tls):
    async with accepted(tls) as (wire, peer):
        starting = asyncio.create_task(wire.start_tls(ssl.create_default_context(cafile=str(tls.file)), NAME))
        await wire.next_wait()
        peer.cut()
        with pytest.raises(Broken):
            await starting


async def test_a_closed_connection_keeps_no_descriptor(channel: Channel):
    async with connected(channel.tls) as (wire, _):
        descriptor = wire._handle().fileno()
        wire.close()
        assert wire.has_news
        await wire.closed
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


@pytest.mark.parametrize("had_descriptor", [True, False])
async def test_a_connection_that_breaks_keeps_only_the_descriptor_that_a_thread_may_be_using(had_descriptor):
    """One that is closed under a thread may be given to another connection, or to a file."""
    async with connected(None) as (wire, peer):
        if had_descriptor:
            wire._handle()
        peer.reset()
        await wire.closed
        assert (wire._socket is not None) is had_descriptor


async def test_what_follows_the_end_of_tls_takes_no_memory(tls: Tls):
    """A connection may be kept for a whole run."""
    async with connected(tls) as (wire, peer):
        await peer.announce_end()
        while not wire.has_news:
            await wire.change()
        await asyncio.get_running_loop().sock_sendall(peer.handle, LARGE)
        assert cast(Any, wire)._tls._in.pending <= READ_AT_ONCE_BYTES
