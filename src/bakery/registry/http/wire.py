"""One connection: bytes in order, in both directions, plain or over TLS. Knows nothing of HTTP.

Small pieces go through the event loop. Large content bypasses it in threads that never wait for the network: from a
file to the socket, by sendfile without TLS, and from the socket to whatever consumes it. TLS is ours to drive
(`tls.py`), not asyncio's, so that the same threads encrypt and decrypt.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, cast

from bakery.extent import Piece, rest
from bakery.registry.http.tls import Tls, TlsFacts
from bakery.registry.http.turns import (
    BUFFER_BYTES,
    RECORDS_BYTES,
    TURN_BYTES,
    Take,
    receive,
    receive_encrypted,
    send,
    send_encrypted,
)
from bakery.tasks import in_thread

_AHEAD_BYTES: Final = 64 * 1024  # unread bytes at which the server is made to wait: threads read cheaper


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
        self._full = False  # the server accepts no more for now
        self._ended = False
        self._error: Exception | None = None
        self._change = asyncio.Event()
        self._socket: socket.socket | None = None  # a second handle of the connection, for threads
        self._buffer = bytearray()
        self._tls: Tls | None = None
        self._encrypted: deque[bytes] | None = None  # what arrives during a handshake or while a thread uses `_tls`
        self.idle_since = 0.0  # the loop's time
        self.closed = self._loop.create_future()  # done once the connection holds no resources

    @property
    def tls(self) -> TlsFacts | None:
        """What is known of the TLS session; None without one."""
        return self._tls.facts if self._tls is not None else None

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=0)  # what was sent is in the kernel: a file may follow

    def data_received(self, data: bytes) -> None:
        if self._encrypted is not None:
            self._encrypted.append(data)
            self._change.set()
        elif self._tls is None:
            self._arrive(data)
        elif not self._ended:  # what follows the end of TLS, or an error of it, is dropped
            self._decrypt(data)

    def eof_received(self) -> None:
        if self._encrypted is not None:
            self._encrypted.append(b"")
        elif self._tls is not None:
            self._decrypt(b"")
        self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._ended:  # then there is an error
            had_handle = self._socket is not None  # then a thread may be using it, and `close` closes it
            self._read_rest()
            if not had_handle:
                self._close_handle()
        self._end(error)
        self.closed.set_result(None)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._change.set()

    # Called by the exchange

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
            self.transport.resume_reading()
        return data

    async def send(self, piece: Piece, moved: Callable[[int], object] = lambda _: None) -> Piece:
        """Send a piece, and return what is left of it.

        Something is left only if there is news: the server may not want the rest. moved: called with the number of
        bytes as they are sent. Raises Broken.
        """
        left = piece
        await self._accepted()  # news, such as an interim response, may have ended the wait of the last call
        while left and not self.has_news:
            if isinstance(left, bytes):
                self.transport.write(left if self._tls is None else self._tls.encrypt(left))
                size, left = len(left), b""
            else:
                handle = self._handle()
                with self._lent() as tls:
                    if tls is None:
                        work = partial(send, handle, left)
                    else:
                        self._buffer = self._buffer or bytearray(RECORDS_BYTES)
                        work = partial(send_encrypted, handle, tls, self._buffer, left)
                    turn = await in_thread(work)
                    if turn.unsent:  # before anything that TLS has to send itself: its records are numbered
                        self.transport.write(turn.unsent)
                size, left = turn.size, rest(left, turn.size)
                if turn.error is not None:
                    self._read_rest()
                    if not self.has_news:
                        raise Broken from turn.error
                elif not size and not self.has_news:
                    await self.change(self._loop.add_writer, self._loop.remove_writer)
            await self._accepted()
            moved(size)
        return left

    async def _accepted(self) -> None:
        """Wait until the kernel has what was sent, or there is news: a thread sends past what waits in the loop."""
        while self._full and not self.has_news:
            await self.change()

    async def receive_by(self, take: Take, size: int) -> int:
        """Pass some of the next `size` bytes to `take`, in a thread. Return how many, 0 at the end.

        Raises Broken, and whatever `take` raises.
        """
        self.transport.pause_reading()
        got = 0
        if self._arrived:
            data = memoryview(b"".join(self._arrived))  # records of TLS; each would wake a thread, and every reader
            self._arrived.clear()
            got = min(len(data), size)
            if got < len(data):
                self._arrived.append(bytes(data[got:]))
            self._arrived_bytes -= got
            await in_thread(partial(take, data[:got]))
        while not got:
            if self._ended:
                if self._error is not None:
                    raise Broken from self._error
                return 0
            handle, most = self._handle(), min(size, TURN_BYTES)
            self._buffer = self._buffer or bytearray(min(BUFFER_BYTES, size) * (1 if self._tls is None else 2))
            with self._lent() as tls:
                if tls is None:
                    work = partial(receive, handle, self._buffer, most, take)
                else:
                    work = partial(receive_encrypted, handle, tls, self._buffer, most, take)
                turn = await in_thread(work)
            got, self._error = turn.size, self._error or turn.error
            if not got and self._error is not None:
                raise Broken from self._error
            if not got and turn.ended:
                return 0
            if not got:
                await self.change(self._loop.add_reader, self._loop.remove_reader)
        if got == size:
            self._buffer = bytearray()
            self.transport.resume_reading()
        return got

    async def start_tls(self, context: ssl.SSLContext, server_name: str) -> None:
        """Use TLS from here on; a second time, within the first: to a registry behind a proxy that is reached over TLS.

        Raises SSLError if the server cannot be trusted, Broken if the connection ends.
        """
        tls = Tls(context, server_name, below=self._tls)
        self._encrypted = deque(self._arrived)
        self._arrived.clear()
        self._arrived_bytes = 0
        while True:
            try:
                is_complete = tls.handshake()
            except ssl.SSLEOFError as error:
                raise Broken from error
            finally:
                self.transport.write(tls.outgoing())
            if is_complete:
                break
            while not self._encrypted and not self._ended:
                await self.change()
            if not self._encrypted:
                raise Broken from self._error
            tls.feed(self._encrypted.popleft())
        self._tls = tls
        self._catch_up()

    def close(self) -> None:
        """Close the connection at once; unsent bytes are dropped."""
        self._ended = True
        self._close_handle()
        self.transport.abort()

    def _close_handle(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _arrive(self, data: bytes) -> None:
        self._arrived.append(data)
        self._arrived_bytes += len(data)
        if self._arrived_bytes >= _AHEAD_BYTES:
            self.transport.pause_reading()
        self._change.set()

    def _decrypt(self, *data: bytes) -> None:
        """Decrypt what was fed earlier, and these bytes; b"" is the end of the connection."""
        tls = self._tls
        assert tls is not None
        try:
            for part in data:
                tls.feed(part)
            while content := tls.read():
                self._arrive(content)
            if content == b"":
                self._end(None)
            if outgoing := tls.outgoing():
                self.transport.write(outgoing)
        except ssl.SSLError as error:
            self._end(error)

    @contextmanager
    def _lent(self) -> Iterator[Tls | None]:
        """Lend the TLS session, if there is one, to a thread. What arrives in the meantime is decrypted afterwards."""
        if self._tls is None:
            yield None
            return
        self._encrypted = deque()
        try:
            yield self._tls
        finally:
            self._catch_up()

    def _catch_up(self) -> None:
        late, self._encrypted = self._encrypted or (), None
        self._decrypt(*late)

    def _read_rest(self) -> None:
        """Read what the server sent before it closed a connection that we could not write to: it says why."""
        try:
            while data := self._handle().recv(BUFFER_BYTES):
                self.data_received(data)
        except OSError:
            pass  # it said nothing, or that is all

    def _end(self, error: Exception | None) -> None:
        self._ended = True
        self._error = self._error or error
        self._change.set()

    def _handle(self) -> socket.socket:
        if self._socket is None:
            # The transport's own descriptor belongs to the event loop, which lets no one else wait for it.
            self._socket = socket.socket(fileno=os.dup(self.transport.get_extra_info("socket").fileno()))
            self._socket.setblocking(False)
        return self._socket
