"""A scripted server on a real socket: a table of expected requests. A request that the table lacks fails the test.

It records every header and body byte, and its responses can be as bad as a test wants: truncated, reset, endless, or
with a wrong length.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True)
class Received:
    """One request as received."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) < 2, f"{name} occurs {len(found)} times"
        return found[0] if found else None

    @property
    def raw(self) -> str:
        """The whole request as one text, to search for secrets."""
        lines = [f"{self.method} {self.target}", *(f"{key}: {value}" for key, value in self.headers)]
        return "\n".join(lines) + "\n\n" + self.body.decode("latin-1")


@dataclass(frozen=True)
class Response:
    """A response.

    length: a false Content-Length, None for the true one, or "none" for no length (the body ends with the connection).
    cut: close after so many bytes of the body. reset: with a TCP reset, after `cut` bytes. lose: read the whole request
    and close without a response. endless: repeat the body in chunks until the client disconnects. early: respond before
    the request's body is read, then close. hold: wait for this before responding.
    """

    status: int = 200
    headers: Iterable[tuple[str, str]] | Mapping[str, str] = ()
    body: bytes = b""
    length: int | str | None = None
    cut: int | None = None
    reset: bool = False
    lose: bool = False
    endless: bool = False
    early: bool = False
    hold: asyncio.Event | None = None


@dataclass
class Expected:
    """One line of the table. `times` None: any number, including none."""

    method: str
    target: re.Pattern[str]
    response: Response | Callable[[Received], Response]
    times: int | None
    met: int = 0
    came: asyncio.Event = field(default_factory=asyncio.Event)


class ScriptedServer:
    """Use `async with ScriptedServer() as server`. At the end, exactly the expected requests must have arrived."""

    def __init__(
        self, *, tls: ssl.SSLContext | None = None, name: str = "127.0.0.1", bind: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.received: list[Received] = []
        self.unexpected: list[Received] = []
        self.connections = 0
        self._tls, self._name, self._bind, self.port = tls, name, bind, port
        self._table: list[Expected] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._bind, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await _all_closed(self._writers)
        if kind is None:
            self.check()

    def check(self) -> None:
        assert not self.unexpected, f"unexpected requests: {[(r.method, r.target) for r in self.unexpected]}"
        left = [(e.method, e.target.pattern, e.times - e.met) for e in self._table if e.times and e.met < e.times]
        assert not left, f"these requests never arrived: {left}"

    @property
    def host(self) -> str:
        """The registry's name in references: `127.0.0.1:port`."""
        return f"{self._name}:{self.port}"

    @property
    def origin(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.host}"

    def expect(
        self,
        method: str,
        target: str,
        response: Response | Callable[[Received], Response] | int = 200,
        *,
        times: int | None = 1,
        regex: bool = False,
    ) -> Expected:
        """Add a line to the table. The first matching line that is not used up responds."""
        pattern = re.compile(target if regex else re.escape(target))
        line = Expected(method, pattern, Response(response) if isinstance(response, int) else response, times)
        self._table.append(line)
        return line

    def sent(self, method: str, part: str = "") -> list[Received]:
        """Return the requests with this method, and this text in their target."""
        return [request for request in self.received if request.method == method and part in request.target]

    @property
    def transcript(self) -> str:
        return "\n---\n".join(request.raw for request in self.received + self.unexpected)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.append(writer)
        self.connections += 1
        try:
            with contextlib.suppress(
                ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError
            ):
                while await self._one(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        raw = await reader.readuntil(b"\r\n\r\n")
        if raw.startswith(b"\x16\x03"):
            return False  # a TLS handshake, by which a client finds out that this server speaks plain HTTP
        head = raw.decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = tuple((k, v.strip()) for k, _, v in (line.partition(":") for line in head[1:] if line))
        length = int(next((v for k, v in headers if k.lower() == "content-length"), "0"))
        line = next(
            (e for e in self._table if e.method == method and e.target.fullmatch(target) and e.met != e.times), None
        )
        early = line is not None and isinstance(line.response, Response) and line.response.early
        body = b"" if early else await reader.readexactly(length)
        request = Received(method, target, headers, body)
        if line is None:
            self.unexpected.append(request)
            writer.write(b"HTTP/1.1 418 Not In The Script\r\nContent-Length: 0\r\n\r\n")
            return True
        self.received.append(request)
        line.met += 1
        line.came.set()
        response = line.response if isinstance(line.response, Response) else line.response(request)
        if response.hold is not None:
            await response.hold.wait()
        return await self._respond(response, request, writer)

    async def _respond(self, response: Response, request: Received, writer: asyncio.StreamWriter) -> bool:
        if response.lose:
            if response.reset:
                _reset(writer)
            return False
        pairs = list(response.headers.items() if isinstance(response.headers, Mapping) else response.headers)
        if response.endless:
            pairs.append(("Transfer-Encoding", "chunked"))
        elif request.method == "HEAD" and response.length is None:
            pass  # the test decides what a HEAD responds
        elif response.length != "none" and not any(key.lower() == "content-length" for key, _ in pairs):
            pairs.append(("Content-Length", str(len(response.body) if response.length is None else response.length)))
        head = (
            f"HTTP/1.1 {response.status} Response\r\n" + "".join(f"{key}: {value}\r\n" for key, value in pairs) + "\r\n"
        )
        writer.write(head.encode("latin-1"))
        if request.method == "HEAD":
            return True
        if response.endless:
            while True:
                writer.write(b"%x\r\n%s\r\n" % (len(response.body), response.body))
                await writer.drain()
        writer.write(response.body if response.cut is None else response.body[: response.cut])
        await writer.drain()
        if response.reset:
            _reset(writer)
        return response.cut is None and not response.reset and not response.early and response.length != "none"


async def _all_closed(writers: Iterable[asyncio.StreamWriter]) -> None:
    """Close open connections: an orderly end of TLS would wait for a client that has disconnected."""
    for writer in writers:
        writer.transport.abort()
        with contextlib.suppress(OSError):  # the test checks how the connection ended
            await writer.wait_closed()


def _reset(writer: asyncio.StreamWriter) -> None:
    found = writer.get_extra_info("socket")
    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextlib.asynccontextmanager
async def raw_server(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    *,
    tls: ssl.SSLContext | None = None,
    name: str = "127.0.0.1",
) -> AsyncIterator[str]:
    """Run a server that may send anything; yield its host."""
    tasks: list[asyncio.Task[None]] = []
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{name}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        await _all_closed(writers)


def responds(head: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head)
            await writer.drain()

    return serve
