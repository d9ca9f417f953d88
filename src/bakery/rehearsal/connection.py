"""One client's connection: reads requests, passes each to `respond`, sends the response as its Delivery says.

The only module of this room that touches sockets; it knows nothing about registries. Memory stays flat: reading pauses
while no task consumes the body, and stored content is sent in pieces.
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

from bakery.rehearsal.http import (
    MAX_HEAD_BYTES,
    ChunkedBody,
    MalformedRequest,
    RequestHead,
    looks_like_http,
    parse_head,
    response_head,
)
from bakery.rehearsal.responses import Delivery, Response, StoredContent, error_response
from bakery.rehearsal.time_source import TimeSource

_log = logging.getLogger(__name__)

_READ_AHEAD: Final = 1024 * 1024  # bytes read from the socket before a task needs them
_DRAIN_LIMIT: Final = 256 * 1024  # bytes of an unread body: up to this, drain it and keep the connection; else close
_LINGER_LIMIT: Final = 64 * 1024 * 1024  # bytes drained before closing, so that a reset does not destroy the response
_SMALL: Final = 64 * 1024
_NO_BODY: Final = frozenset({204, 304})
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER on with 0 s: closing sends RST, not FIN


class ClientGone(Exception):
    """The connection ended in the middle of a request."""


class RequestBody:
    """The body of a request: read once, in pieces, no faster than it is consumed."""

    def __init__(self, connection: Connection, head: RequestHead) -> None:
        self._connection = connection
        self._left = head.length
        self._chunked = ChunkedBody() if head.length is None else None
        self._held_back = head.expects_continue
        self.received = 0  # bytes consumed so far

    @property
    def done(self) -> bool:
        """Whether all of it was consumed."""
        return self._chunked.done if self._chunked else not self._left

    @property
    def held_back(self) -> bool:
        """Whether the client still waits for `100 Continue`."""
        return self._held_back

    @property
    def left(self) -> int | None:
        """The bytes still to come, or None if the client did not say."""
        return None if self._chunked else self._left

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body in pieces. Raises ClientGone at a premature end, MalformedRequest for invalid framing."""
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


class ServerRequest(Struct, frozen=True):
    """A request: its head, and a body that is still to be read."""

    head: RequestHead
    body: RequestBody


Respond = Callable[[ServerRequest], Awaitable[Response]]


class Connection(asyncio.Protocol):
    """The asyncio protocol of one client. `serve()` runs until either side ends the connection."""

    def __init__(self, respond: Respond, clock: TimeSource, opened: Callable[[Connection], None]) -> None:
        self._respond, self._clock, self._opened = respond, clock, opened
        self._transport: asyncio.Transport | None = None
        self._chunks: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._ended = False
        self._paused = False
        self._arrival: asyncio.Future[None] | None = None
        self._flushed: asyncio.Future[None] | None = None

    # Called by asyncio.

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
        return True  # half-closed: a response may still be in flight

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

    # Used by RequestBody and the loop below.

    async def take(self) -> bytes:
        """Return the next bytes from the client. Raises ClientGone at the end of the connection."""
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
        """Return bytes to the front of the queue: they belong to what follows."""
        self._chunks.appendleft(data)
        self._waiting_bytes += len(data)

    def write(self, data: bytes | memoryview) -> None:
        """Send data. Raises ClientGone if the connection is closed."""
        if self._transport is None or self._transport.is_closing():
            raise ClientGone
        self._transport.write(data)

    async def _flush(self) -> None:
        if self._flushed is not None:
            await self._flushed

    def reset(self) -> None:
        """End the connection with a reset, whatever was written before."""
        if self._transport is not None:
            sock: socket.socket = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()

    def abort(self) -> None:
        """End the connection at once and drop unsent data."""
        if self._transport is not None:
            self._transport.abort()

    async def serve(self) -> None:
        """Serve requests one after the other until the connection ends."""
        try:
            while (head := await self._next_head()) is not None:
                request = ServerRequest(head, RequestBody(self, head))
                if not await self._deliver(request, await self._respond(request)):
                    break
        except MalformedRequest as problem:
            self._refuse(problem)
        except ClientGone:
            pass
        finally:
            if self._transport is not None:
                self._transport.close()

    async def _next_head(self) -> RequestHead | None:
        seen = b""
        while True:
            end = seen.find(b"\r\n\r\n")
            if end >= 0:
                if len(seen) > end + 4:
                    self.put_back(seen[end + 4 :])
                return parse_head(seen[:end])
            if len(seen) > MAX_HEAD_BYTES:
                raise MalformedRequest("the request head is too large", 431)
            try:
                seen += await self.take()
            except ClientGone:
                return None
            if not looks_like_http(seen):
                raise MalformedRequest("not an HTTP request: this registry only speaks plain HTTP")

    def _refuse(self, problem: MalformedRequest) -> None:
        response = error_response("UNSUPPORTED", message=str(problem), status=problem.status)
        if self._transport is not None and not self._transport.is_closing():
            assert isinstance(response.body, bytes)
            length = ("Content-Length", str(len(response.body)))
            head = response_head(response.status, (*response.headers, length, ("Connection", "close")))
            self._transport.write(head + response.body)

    async def _deliver(self, request: ServerRequest, response: Response) -> bool:
        """Send the response. Return whether the connection can serve another request."""
        delivery = response.delivery
        if delivery.lost:
            self.reset()
            return False
        size = response.size_bytes
        closes = response.header("Connection") == "close"
        stays = request.head.keeps_alive and not closes and size is not None and self._can_drain(request.body)
        headers = list(response.headers)
        if size is not None and response.status not in _NO_BODY:
            headers.append(("Content-Length", str(size)))
        if not stays and not closes:
            headers.append(("Connection", "close"))
        head = response_head(response.status, headers)
        try:
            if request.head.method == "HEAD" or response.status in _NO_BODY:
                self.write(head)
            elif isinstance(response.body, bytes) and len(response.body) <= _SMALL and delivery == Delivery():
                self.write(head + response.body)
            else:
                self.write(head)
                if not await self._send_body(response):
                    return False
            await self._flush()
        finally:
            if not isinstance(response.body, bytes):
                response.body.close()
        return await self._settle(request.body, stays)

    @staticmethod
    def _can_drain(body: RequestBody) -> bool:
        return body.done or (not body.held_back and body.left is not None and body.left <= _DRAIN_LIMIT)

    async def _settle(self, body: RequestBody, stays: bool) -> bool:
        """Drain the unread body: closing with unread bytes sends a reset, which destroys the response."""
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
        except (ClientGone, MalformedRequest):
            return False
        return stays

    async def _send_body(self, response: Response) -> bool:
        delivery, body = response.delivery, response.body
        end = response.size_bytes
        if delivery.cut_after is not None:
            end = delivery.cut_after if end is None else min(end, delivery.cut_after)
        sent = 0
        while end is None or sent < end:
            wanted = delivery.piece_bytes if end is None else min(delivery.piece_bytes, end - sent)
            piece = _piece(body, response.start + sent, wanted)
            if not piece:
                self.reset()  # the content is shorter than its size, or gone: the client must notice
                return False
            self.write(piece)
            sent += len(piece)
            await self._flush()
            if delivery.pause_s:
                await self._clock.sleep(delivery.pause_s)
        if delivery.cut_after is not None:
            if delivery.by_reset:
                await self._drain()
                self.reset()
            return False
        return True

    async def _drain(self) -> None:
        """Wait until the kernel has taken everything written: a reset drops the rest."""
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high=0)
            if self._transport.get_write_buffer_size():
                if self._flushed is None:
                    self._flushed = asyncio.get_running_loop().create_future()
                await self._flushed


def _piece(body: bytes | StoredContent, offset: int, length: int) -> bytes | memoryview:
    if isinstance(body, bytes):
        return memoryview(body)[offset : offset + length]
    try:
        return body.read(offset, length)
    except OSError:
        _log.warning("cannot read content of the embedded registry", exc_info=True)
        return b""
