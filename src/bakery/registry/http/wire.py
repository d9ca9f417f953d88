"""One connection: bytes in order, to and fro, plain or under TLS. Knows nothing of HTTP.

Small things go through the event loop. What is large goes past it where no TLS stands in between: from a file into the
socket by sendfile, from the socket into whatever takes it, in threads that never wait for the network.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Final, cast

from msgspec import Struct

from bakery.extent import Extent
from bakery.tasks import in_thread

_AHEAD_BYTES: Final = 512 * 1024  # how much may lie here unread before the other side is made to wait
_TURN_BYTES: Final = 8 * 1024 * 1024  # what one turn in a thread moves at most
_BUFFER_BYTES: Final = 256 * 1024  # stays in the processor's cache between the socket, the hash and the file
_NO_SENDFILE: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})

Take = Callable[[memoryview], object]
"""Takes the next bytes of a body. Called in a thread, never twice at once; the memory is lent for the call only."""


class Broken(Exception):  # internal: turned into a ConnectionFailed where it is caught
    """The connection broke or ended too early; the cause, where there is one, is the network's own error.

    A class of its own, so that an OSError of a file that is read or written on the way is not taken for it.
    """


class Wire(asyncio.Protocol):
    """The protocol of one connection, and the face that its one user at a time sees."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived: deque[bytes] = deque()
        self._arrived_bytes = 0
        self._paused = False  # we read no further for now
        self._full = False  # the other side takes no more for now
        self._ended = False
        self._error: Exception | None = None
        self._change: asyncio.Future[None] | None = None
        self._socket: socket.socket | None = None  # a second handle of the connection, for threads
        self.idle_since = 0.0  # the loop's time
        self.gone = self._loop.create_future()  # done once the connection holds nothing any more

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if not self.is_secret:
            self.transport.set_write_buffer_limits(high=0)  # all that was sent is with the kernel: a file may follow

    def data_received(self, data: bytes) -> None:
        self._arrived.append(data)
        self._arrived_bytes += len(data)
        if self._arrived_bytes >= _AHEAD_BYTES and not self._paused:
            self._pause()
        self._wake()

    def eof_received(self) -> None:
        self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error)
        self.gone.set_result(None)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._wake()

    # What its user sees

    @property
    def is_secret(self) -> bool:
        """Whether TLS stands in between."""
        return self.transport.get_extra_info("ssl_object") is not None

    @property
    def has_news(self) -> bool:
        """Whether something arrived that nobody read, or the connection ended."""
        return bool(self._arrived) or self._ended

    async def receive(self) -> bytes:
        """The next bytes; b"" at the end. Raises Broken."""
        while not self._arrived:
            if self._ended:
                if self._error is not None:
                    raise Broken from self._error
                return b""
            self._go_on()
            await self._changed()
        data = self._arrived.popleft()
        self._arrived_bytes -= len(data)
        if not self._arrived:
            self._go_on()
        return data

    async def send(self, data: bytes) -> None:
        """Send this. Returns early where news came or the connection ended: the other side may want no more of it."""
        if self._ended:
            return
        self.transport.write(data)
        while self._full and not self.has_news:
            await self._changed()

    async def send_file(self, extent: Extent) -> AsyncGenerator[int, None]:
        """Send a stretch of a file; gives how many bytes went, as they go. Ends early as `send` does. Not under TLS."""
        handle, left = self._handle(), extent
        while left.size and not self.has_news:
            sent, error = await in_thread(partial(_send_file, handle, left))
            if error is not None and not self.has_news:
                raise Broken from error
            if sent:
                left = left.after(sent)
                yield sent
            elif not self.has_news:
                await self._ready(self._loop.add_writer, self._loop.remove_writer)

    async def receive_by(self, take: Take, size: int) -> AsyncGenerator[int, None]:
        """Hand the next `size` bytes to `take`, in threads; gives how many came, as they come. Not under TLS.

        Ends early where the connection does. Raises Broken where it breaks, and what `take` raises as it is.
        """
        handle, left = self._handle(), size
        self._pause()
        while left and self._arrived:
            data = self._arrived.popleft()
            self._arrived_bytes -= len(data)
            use = memoryview(data)[:left]
            if len(use) < len(data):
                self._arrived.appendleft(data[left:])
                self._arrived_bytes += len(data) - left
            await in_thread(partial(take, use))
            left -= len(use)
            yield len(use)
        buffer = bytearray(min(_BUFFER_BYTES, left))
        while left:
            turn = await in_thread(partial(_receive, handle, buffer, min(left, _TURN_BYTES), take))
            left -= turn.size
            if turn.size:
                yield turn.size
            if turn.error is not None:
                raise Broken from turn.error
            if turn.ended:
                return
            if left and turn.dry:
                await self._ready(self._loop.add_reader, self._loop.remove_reader)
        self._go_on()

    async def start_tls(self, context: ssl.SSLContext, server_name: str) -> None:
        """From here on under TLS: after a proxy has opened the way."""
        transport = await self._loop.start_tls(self.transport, self, context, server_hostname=server_name)
        self.transport = cast(asyncio.Transport, transport)

    def close(self) -> None:
        """End it at once; what is still to be sent is not."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self.transport.abort()

    # Waiting

    def _end(self, error: Exception | None) -> None:
        self._ended = True
        self._error = self._error or error
        self._wake()

    def _wake(self) -> None:
        if self._change is not None and not self._change.done():
            self._change.set_result(None)

    async def _changed(self) -> None:
        self._change = self._loop.create_future()
        try:
            await self._change
        finally:
            self._change = None

    async def _ready(self, add: Callable[..., object], remove: Callable[..., object]) -> None:
        """Wait until the second handle can be read or written, or anything else happens."""
        handle = self._handle()
        add(handle, self._wake)
        try:
            await self._changed()
        finally:
            remove(handle)

    def _pause(self) -> None:
        self._paused = True
        self.transport.pause_reading()

    def _go_on(self) -> None:
        if self._paused and not self._ended:
            self._paused = False
            self.transport.resume_reading()

    def _handle(self) -> socket.socket:
        if self._socket is None:
            # The transport's own descriptor belongs to the event loop, which lets nobody else wait on it.
            self._socket = socket.socket(fileno=os.dup(self.transport.get_extra_info("socket").fileno()))
            self._socket.setblocking(False)
        return self._socket


class _Turn(Struct):
    """What one turn in a thread brought. dry: there is no more for now. ended: there will be no more."""

    size: int = 0
    dry: bool = False
    ended: bool = False
    error: OSError | None = None


def _receive(handle: socket.socket, buffer: bytearray, most: int, take: Take) -> _Turn:
    turn, view = _Turn(), memoryview(buffer)
    while turn.size < most:
        try:
            got = handle.recv_into(view, min(len(buffer), most - turn.size))
        except BlockingIOError:
            turn.dry = True
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
    """How many bytes the socket took, and how the connection broke, if it did."""
    sent, most = 0, min(extent.size, _TURN_BYTES)
    while sent < most:
        rest = Extent(extent.file, extent.offset + sent, most - sent)
        try:
            took = _send_some(handle, rest)
        except BlockingIOError:
            break
        except OSError as error:
            return sent, error
        if not took:
            raise EOFError(f"the file ends before {rest.offset + rest.size} bytes")
        sent += took
    return sent, None


def _send_some(handle: socket.socket, extent: Extent) -> int:
    try:
        return os.sendfile(handle.fileno(), extent.file, extent.offset, extent.size)
    except OSError as error:
        if error.errno not in _NO_SENDFILE:  # some file systems have none
            raise
    return handle.send(extent.pieces(_BUFFER_BYTES)[0].read())
