"""One client's connection: reads requests, hands each to `respond`, sends the answer as its Delivery says.

The only module of this room that touches sockets. Decides nothing about registries. Memory stays flat: reading pauses
when a body is not taken, and a Content is sent piece by piece.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from msgspec import Struct

from bakery.rehearsal.answers import Answer, Content, Delivery, failure
from bakery.rehearsal.clock import Clock
from bakery.rehearsal.http import MAX_HEAD_BYTES, ChunkedBody, Head, Malformed, answer_head, could_begin, parse_head

_log = logging.getLogger(__name__)

_READ_AHEAD: Final = 1024 * 1024  # bytes taken from the socket before somebody asked for them
_DRAIN_LIMIT: Final = 256 * 1024  # of an unread body: less is read away to keep the connection, more closes it
_LINGER_LIMIT: Final = 64 * 1024 * 1024  # read away before closing, so that the answer is not lost to a reset
_SMALL: Final = 64 * 1024
_NO_BODY: Final = frozenset({204, 304})
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER on with 0 s: closing sends RST, not FIN


class ClientGone(Exception):
    """The connection ended before the request did."""


class Body:
    """A request's body: read once, in pieces, as fast as it is taken."""

    def __init__(self, connection: Connection, head: Head) -> None:
        self._connection = connection
        self._left = head.length
        self._chunked = ChunkedBody() if head.length is None else None
        self._held_back = head.expects_continue
        self.received = 0  # bytes of it that were taken

    @property
    def done(self) -> bool:
        """Whether all of it was taken."""
        return self._chunked.done if self._chunked else not self._left

    @property
    def held_back(self) -> bool:
        """Whether the client still waits to be told to send it."""
        return self._held_back

    @property
    def left(self) -> int | None:
        """The bytes still to come, or None where the client did not say."""
        return None if self._chunked else self._left

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, piece by piece. Raises ClientGone where the connection ends first, Malformed for bad framing."""
        if self._held_back and not self.done:
            self._held_back = False
            self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not self.done:
            data = await self._connection.take()
            if self._chunked is not None:
                for piece in self._chunked.feed(data):
                    self.received += len(piece)
                    yield piece
                if self._chunked.leftover:
                    self._connection.put_back(self._chunked.leftover)
                continue
            assert self._left is not None
            if len(data) > self._left:
                self._connection.put_back(data[self._left :])
                data = data[: self._left]
            self._left -= len(data)
            self.received += len(data)
            yield data


class Request(Struct, frozen=True):
    """A request as the registry sees it: its head, and a body that is still to be read."""

    head: Head
    body: Body


Respond = Callable[[Request], Awaitable[Answer]]


class Connection(asyncio.Protocol):
    """The asyncio side of one client. `serve()` runs until either side ends it."""

    def __init__(self, respond: Respond, clock: Clock, opened: Callable[[Connection], None]) -> None:
        self._respond, self._clock, self._opened = respond, clock, opened
        self._transport: asyncio.Transport | None = None
        self._chunks: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._ended = False
        self._paused = False
        self._arrival: asyncio.Future[None] | None = None
        self._flushed: asyncio.Future[None] | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=512 * 1024)
        self._opened(self)

    def data_received(self, data: bytes) -> None:
        self._chunks.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > _READ_AHEAD and not self._paused and self._transport:
            self._paused = True
            self._transport.pause_reading()
        self._wake(self._arrival)

    def eof_received(self) -> bool:
        self._ended = True
        self._wake(self._arrival)
        return True  # half-closed: an answer may still be on its way

    def connection_lost(self, _: Exception | None) -> None:
        self._ended = True
        self._transport = None
        self._wake(self._arrival)
        self._wake(self._flushed)

    def pause_writing(self) -> None:
        self._flushed = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        self._wake(self._flushed)
        self._flushed = None

    @staticmethod
    def _wake(future: asyncio.Future[None] | None) -> None:
        if future is not None and not future.done():
            future.set_result(None)

    # What a body and the loop below use.

    async def take(self) -> bytes:
        """The next bytes from the client. Raises ClientGone when there will be none."""
        while not self._chunks:
            if self._ended:
                raise ClientGone
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        data = self._chunks.popleft()
        self._waiting_bytes -= len(data)
        if self._paused and self._waiting_bytes < _READ_AHEAD // 2 and self._transport:
            self._paused = False
            self._transport.resume_reading()
        return data

    def put_back(self, data: bytes) -> None:
        """Bytes that belong to what comes next."""
        self._chunks.appendleft(data)
        self._waiting_bytes += len(data)

    def write(self, data: bytes | memoryview) -> None:
        """Send, as soon as the socket takes it. Raises ClientGone where nobody listens any more."""
        if self._transport is None or self._transport.is_closing():
            raise ClientGone
        self._transport.write(data)

    async def _flush(self) -> None:
        if self._flushed is not None:
            await self._flushed

    def reset(self) -> None:
        """End the connection so that the client gets a reset, whatever was written before."""
        if self._transport is not None:
            sock: socket.socket = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()

    def abort(self) -> None:
        """End the connection at once; what was not sent yet never will be."""
        if self._transport is not None:
            self._transport.abort()

    async def serve(self) -> None:
        """Answer requests one after the other until the connection ends."""
        try:
            while (head := await self._next_head()) is not None:
                request = Request(head, Body(self, head))
                if not await self._deliver(request, await self._respond(request)):
                    break
        except Malformed as problem:
            self._refuse(problem)
        except ClientGone:
            pass
        finally:
            if self._transport is not None:
                self._transport.close()

    async def _next_head(self) -> Head | None:
        seen = b""
        while True:
            end = seen.find(b"\r\n\r\n")
            if end >= 0:
                if len(seen) > end + 4:
                    self.put_back(seen[end + 4 :])
                return parse_head(seen[:end])
            if len(seen) > MAX_HEAD_BYTES:
                raise Malformed("the request head is too large", 431)
            try:
                seen += await self.take()
            except ClientGone:
                return None
            if not could_begin(seen):
                raise Malformed("this is no HTTP; the registry speaks plain HTTP only")

    def _refuse(self, problem: Malformed) -> None:
        answer = failure("UNSUPPORTED", message=str(problem), status=problem.status)
        if self._transport is not None and not self._transport.is_closing():
            assert isinstance(answer.body, bytes)
            length = ("Content-Length", str(len(answer.body)))
            head = answer_head(answer.status, (*answer.headers, length, ("Connection", "close")))
            self._transport.write(head + answer.body)

    async def _deliver(self, request: Request, answer: Answer) -> bool:
        """Send the answer. Gives whether the connection can serve another request."""
        delivery = answer.delivery
        if delivery.lost:
            self.reset()
            return False
        size = answer.size_bytes
        stays = request.head.keeps_alive and size is not None and self._can_drain(request.body)
        headers = list(answer.headers)
        if size is not None and answer.status not in _NO_BODY:
            headers.append(("Content-Length", str(size)))
        if not stays:
            headers.append(("Connection", "close"))
        head = answer_head(answer.status, headers)
        try:
            if request.head.method == "HEAD" or answer.status in _NO_BODY:
                self.write(head)
            elif isinstance(answer.body, bytes) and len(answer.body) <= _SMALL and delivery == Delivery():
                self.write(head + answer.body)
            else:
                self.write(head)
                if not await self._send_body(answer):
                    return False
            await self._flush()
        finally:
            if not isinstance(answer.body, bytes):
                answer.body.close()
        return await self._settle(request.body, stays)

    @staticmethod
    def _can_drain(body: Body) -> bool:
        return body.done or (not body.held_back and body.left is not None and body.left <= _DRAIN_LIMIT)

    async def _settle(self, body: Body, stays: bool) -> bool:
        """Read away what was not read of the body: closing over unread bytes would reset, and lose the answer."""
        if body.done:
            return stays
        if body.held_back:
            return False
        if not stays and self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()
        try:
            async for _ in body.pieces():
                if body.received > _LINGER_LIMIT:
                    return False
        except (ClientGone, Malformed):
            return False
        return stays

    async def _send_body(self, answer: Answer) -> bool:
        delivery, body = answer.delivery, answer.body
        end = answer.size_bytes
        if delivery.cut_after is not None:
            end = delivery.cut_after if end is None else min(end, delivery.cut_after)
        sent = 0
        while end is None or sent < end:
            wanted = delivery.piece_bytes if end is None else min(delivery.piece_bytes, end - sent)
            piece = _piece(body, answer.start + sent, wanted)
            if not piece:
                self.reset()  # the content is shorter than it said, or gone: never pretend that this was all
                return False
            self.write(piece)
            sent += len(piece)
            await self._flush()
            if delivery.pause_s:
                await self._clock.sleep(delivery.pause_s)
        if delivery.cut_after is not None:
            if delivery.by_reset:
                await self._let_go()
                self.reset()
            return False
        return True

    async def _let_go(self) -> None:
        """Wait until the kernel has taken all that was written: a reset throws away what it has not."""
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high=0)
            if self._transport.get_write_buffer_size():
                if self._flushed is None:
                    self._flushed = asyncio.get_running_loop().create_future()
                await self._flushed


def _piece(body: bytes | Content, offset: int, length: int) -> bytes | memoryview:
    if isinstance(body, bytes):
        return memoryview(body)[offset : offset + length]
    try:
        return body.read(offset, length)
    except OSError:
        _log.warning("content of the registry cannot be read", exc_info=True)
        return b""
