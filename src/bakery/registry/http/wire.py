"""One connection: bytes in order, in both directions, plain or over TLS. Knows nothing of HTTP.

Small pieces go through the event loop. Without TLS, large content bypasses it in threads that never wait for the
network: from a file to the socket by sendfile, and from the socket to whatever consumes it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, cast

from msgspec import Struct

from bakery.extent import Extent, Piece
from bakery.tasks import in_thread

_AHEAD_BYTES: Final = 512 * 1024  # unread bytes at which the server is made to wait
_TURN_BYTES: Final = 8 * 1024 * 1024  # the most that one turn in a thread moves
_BUFFER_BYTES: Final = 256 * 1024  # fits the processor's cache between the socket, the hash and the file
_NO_SENDFILE: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})

Take = Callable[[memoryview], object]
"""Consumes the next bytes of a body. Runs in a thread, never twice at once; the memory is valid during the call."""


class Broken(Exception):  # internal: turned into a ConnectionFailed
    """The connection broke or ended too early; the cause, if there is one, is the network's own error.

    A class of its own, so that an OSError of a file on the way is not mistaken for it.
    """


class Wire(asyncio.Protocol):
    """One connection, used by one exchange at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived: deque[bytes] = deque()
        self._arrived_bytes = 0
        self._paused = False  # reading is paused
        self._full = False  # the server accepts no more for now
        self._ended = False
        self._error: Exception | None = None
        self._change = asyncio.Event()
        self._socket: socket.socket | None = None  # a second handle of the connection, for threads
        self._buffer = bytearray()
        self.idle_since = 0.0  # the loop's time
        self.closed = self._loop.create_future()  # done once the connection holds no resources

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if not self.is_tls:
            self.transport.set_write_buffer_limits(high=0)  # what was sent is in the kernel: a file may follow

    def data_received(self, data: bytes) -> None:
        self._arrived.append(data)
        self._arrived_bytes += len(data)
        if self._arrived_bytes >= _AHEAD_BYTES and not self._paused:
            self._pause()
        self._change.set()

    def eof_received(self) -> None:
        self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error)
        self.closed.set_result(None)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._change.set()

    # Called by the exchange

    @property
    def is_tls(self) -> bool:
        return self.transport.get_extra_info("ssl_object") is not None

    @property
    def is_full(self) -> bool:
        """Whether bytes that were sent wait for the server to accept them."""
        return self._full

    @property
    def has_news(self) -> bool:
        """Whether unread bytes arrived or the connection ended."""
        return bool(self._arrived) or self._ended

    async def change(
        self, watch: Callable[..., object] | None = None, unwatch: Callable[..., object] | None = None
    ) -> None:
        """Wait until something arrives, the connection ends, or the server accepts more.

        watch and unwatch: the loop's functions to wait for the second handle as well.
        """
        handle = self._socket
        if watch is not None:
            watch(handle, self._change.set)
        try:
            self._change.clear()
            await self._change.wait()
        finally:
            if unwatch is not None:
                unwatch(handle)

    def take_arrived(self) -> bytes:
        """Return the next bytes that arrived, b"" at the end of the connection. Raises Broken."""
        if not self._arrived:
            if self._error is not None:
                raise Broken from self._error
            return b""
        data = self._arrived.popleft()
        self._arrived_bytes -= len(data)
        if not self._arrived:
            self._resume()
        return data

    async def send(self, piece: Piece, moved: Callable[[int], object] = lambda _: None) -> Piece:
        """Send bytes or a part of a file, and return what is left of it.

        Something is left only if there is news: the server may not want the rest. moved: called with the number of
        bytes as they are sent. Raises Broken.
        """
        left = piece
        while left and not self.has_news:
            if not isinstance(left, Extent):
                self.transport.write(left)
                size, left = len(left), b""
            elif self.is_tls:
                part = Extent(left.file, left.offset, min(left.size, _BUFFER_BYTES))
                self.transport.write(await in_thread(part.read))
                size, left = part.size, left.after(part.size)
            else:
                size, error = await in_thread(partial(_send_file, self._handle(), left))
                if error is not None and not self.has_news:
                    raise Broken from error
                left = left.after(size)
                if not size and not self.has_news:
                    await self.change(self._loop.add_writer, self._loop.remove_writer)
            while self._full and not self.has_news:
                await self.change()
            moved(size)
        return left

    async def receive_by(self, take: Take, size: int) -> int:
        """Pass some of the next `size` bytes to `take`, in a thread. Return how many, 0 at the end. Not over TLS.

        Raises Broken, and whatever `take` raises.
        """
        self._pause()
        got = 0
        if self._arrived:
            data = self._arrived.popleft()
            if len(data) > size:
                self._arrived.appendleft(data[size:])
            got = min(len(data), size)
            self._arrived_bytes -= got
            await in_thread(partial(take, memoryview(data)[:got]))
        while not got:
            self._buffer = self._buffer or bytearray(min(_BUFFER_BYTES, size))
            turn = await in_thread(partial(_receive, self._handle(), self._buffer, min(size, _TURN_BYTES), take))
            got, self._error = turn.size, self._error or turn.error
            if not got and self._error is not None:
                raise Broken from self._error
            if not got and turn.ended:
                return 0
            if not got:
                await self.change(self._loop.add_reader, self._loop.remove_reader)
        if got == size:
            self._buffer = bytearray()
            self._resume()
        return got

    async def start_tls(self, context: ssl.SSLContext, server_name: str) -> None:
        """Use TLS from here on: after a proxy has opened a tunnel."""
        transport = await self._loop.start_tls(self.transport, self, context, server_hostname=server_name)
        self.transport = cast(asyncio.Transport, transport)

    def close(self) -> None:
        """Close the connection at once; unsent bytes are dropped."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self.transport.abort()

    def _end(self, error: Exception | None) -> None:
        self._ended = True
        self._error = self._error or error
        self._change.set()

    def _pause(self) -> None:
        self._paused = True
        self.transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and not self._ended:
            self._paused = False
            self.transport.resume_reading()

    def _handle(self) -> socket.socket:
        if self._socket is None:
            # The transport's own descriptor belongs to the event loop, which lets no one else wait for it.
            self._socket = socket.socket(fileno=os.dup(self.transport.get_extra_info("socket").fileno()))
            self._socket.setblocking(False)
        return self._socket


class _Turn(Struct):
    """The result of one turn in a thread. ended: the connection has no more bytes."""

    size: int = 0
    ended: bool = False
    error: OSError | None = None


def _receive(handle: socket.socket, buffer: bytearray, most: int, take: Take) -> _Turn:
    turn, view = _Turn(), memoryview(buffer)
    while turn.size < most:
        try:
            got = handle.recv_into(view, min(len(buffer), most - turn.size))
        except BlockingIOError:
            break
        except OSError as error:
            turn.error = error
            break
        if not got:
            turn.ended = True
            break
        take(view[:got])
        turn.size += got
    return turn


def _send_file(handle: socket.socket, extent: Extent) -> tuple[int, OSError | None]:
    """Return how many bytes the socket accepted, and the error if the connection broke."""
    left = Extent(extent.file, extent.offset, min(extent.size, _TURN_BYTES))
    most = left.size
    while left.size:
        try:
            try:
                sent = os.sendfile(handle.fileno(), left.file, left.offset, left.size)
            except OSError as error:
                if error.errno not in _NO_SENDFILE:  # some file systems do not support it
                    raise
                sent = handle.send(Extent(left.file, left.offset, min(left.size, _BUFFER_BYTES)).read())
        except BlockingIOError:
            break
        except OSError as error:
            return most - left.size, error
        if not sent:
            raise EOFError(f"the file ends before {left.offset + left.size} bytes")
        left = left.after(sent)
    return most - left.size, None
