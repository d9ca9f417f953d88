"""The server's end of one connection, over TLS or not: it does what a test says, one step at a time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from bakery.registry.http.wire import Wire
from tests.wire.attacks import Tls

NAME = "registry.example"
BUFFER_BYTES = 64 * 1024  # of the kernel, at each end: what does not fit waits
_READ_BYTES = 256 * 1024


class WatchedWire(Wire):
    """A connection; `waits` is set whenever it waits for the server, `paused` when it reads no more for now.

    saw_end: set, for threads too, once the server has ended its direction.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits, self.paused = asyncio.Event(), asyncio.Event()
        self.saw_end = threading.Event()

    async def change(
        self, watch: Callable[..., object] | None = None, unwatch: Callable[..., object] | None = None
    ) -> None:
        self.waits.set()
        await super().change(watch, unwatch)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.transport.is_reading():
            self.paused.set()

    def eof_received(self) -> None:
        super().eof_received()
        self.saw_end.set()

    async def next_wait(self) -> None:
        """Return once it waits after this call."""
        self.waits.clear()
        async with asyncio.timeout(10):
            await self.waits.wait()


class Peer:
    """Sends and receives without a transport, so that nothing happens on its own."""

    def __init__(self, handle: socket.socket, tls: ssl.SSLContext | None) -> None:
        self.handle, self._loop = handle, asyncio.get_running_loop()
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = None if tls is None else tls.wrap_bio(self._in, self._out, server_side=True)

    async def start_tls(self) -> None:
        if self._object is not None:
            await self._until_done(self._object.do_handshake)

    async def send(self, content: bytes) -> None:
        if self._object is None:
            await self._loop.sock_sendall(self.handle, content)
        else:
            self._object.write(content)
            await self._flush()

    async def receive(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer if the connection ends."""
        received = bytearray()
        while len(received) < size:
            most = min(_READ_BYTES, size - len(received))
            if self._object is None:
                data = await self._loop.sock_recv(self.handle, most)
            else:
                data = await self._until_done(self._object.read, most)
            if not data:
                break
            received += data
        return bytes(received)

    async def announce_end(self) -> None:
        """Send that nothing follows within TLS. The connection stays open."""
        if self._object is not None:
            with contextlib.suppress(ssl.SSLWantReadError):
                self._object.unwrap()
            await self._flush()

    def cut(self) -> None:
        """End this direction of the connection, without notice within TLS."""
        self.handle.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.handle.close()

    async def _until_done(self, work: Callable[..., Any], *given: object) -> Any:
        while True:
            try:
                result = work(*given)
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._loop.sock_recv(self.handle, _READ_BYTES)
                if data:
                    self._in.write(data)
                else:
                    self._in.write_eof()
            else:
                await self._flush()
                return result

    async def _flush(self) -> None:
        await self._loop.sock_sendall(self.handle, self._out.read())


@contextlib.asynccontextmanager
async def _joined(
    ours: socket.socket, theirs: socket.socket, tls: Tls | None
) -> AsyncIterator[tuple[WatchedWire, Peer]]:
    with theirs:
        theirs.setblocking(False)
        _, wire = await asyncio.get_running_loop().create_connection(WatchedWire, sock=ours)
        try:
            async with asyncio.timeout(20):
                yield wire, Peer(theirs, None if tls is None else tls.server(NAME))
        finally:
            wire.close()
            await wire.closed


@contextlib.asynccontextmanager
async def accepted(tls: Tls | None, *, buffer_bytes: int = BUFFER_BYTES) -> AsyncIterator[tuple[WatchedWire, Peer]]:
    """Connect a wire and a peer over TCP. TLS, if any, has not begun."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as ours:
        for one in (server, ours):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        ours.setblocking(False)
        await loop.sock_connect(ours, server.getsockname())
        theirs, _ = server.accept()
        async with _joined(ours, theirs, tls) as made:
            yield made


@contextlib.asynccontextmanager
async def paired() -> AsyncIterator[tuple[WatchedWire, Peer]]:
    """Connect a wire and a peer within the kernel: what one sends takes up its own buffer until the other reads it."""
    ours, theirs = socket.socketpair()
    with ours:
        async with _joined(ours, theirs, None) as made:
            yield made


@contextlib.asynccontextmanager
async def connected(tls: Tls | None, *, buffer_bytes: int = BUFFER_BYTES) -> AsyncIterator[tuple[WatchedWire, Peer]]:
    """Connect a wire and a peer, over TLS if it is given."""
    async with accepted(tls, buffer_bytes=buffer_bytes) as (wire, peer):
        if tls is not None:
            context = ssl.create_default_context(cafile=str(tls.file))
            await asyncio.gather(wire.start_tls(context, NAME), peer.start_tls())
        yield wire, peer
