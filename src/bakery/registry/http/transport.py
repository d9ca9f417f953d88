"""Sends one request and gives its answer. Never retries, never follows a redirect, knows no credentials of its own.

HTTP/1.1 alone: every registry speaks it, and an upload of gigabytes gains nothing from sharing its connection.
Nothing is done that nobody asked for: no cookies, no netrc, no decompression, no quoting of URLs that came quoted.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Final

from msgspec import Struct, field

from bakery import __version__
from bakery.errors import BakeryError, ConnectionFailed, InvalidContent
from bakery.extent import Piece
from bakery.registry.answers import Fields, Reply
from bakery.registry.faults import BodyCut, NotConnected, Untrusted
from bakery.registry.http.exchange import Exchange, Malformed
from bakery.registry.http.pool import Lookup, Pool, Refused, Route, system_lookup
from bakery.registry.http.wire import Broken, Take
from bakery.registry.origin import EVERYWHERE, Origin, Reach, Url, reach_of
from bakery.registry.settings import Settings
from bakery.values import repr_without

USER_AGENT: Final = f"bakery/{__version__}"
_AT_ONCE_BYTES: Final = 512 * 1024  # bytes up to here are sent in one go
_PIECE_BYTES: Final = 256 * 1024
_FALSE_LENGTH: Final = 416  # distribution's claims the length of the whole blob and sends 33 bytes: it is not read


class Body(Struct, frozen=True):
    """Something to send: a fresh reader per attempt, and its size in bytes."""

    open: Callable[[], AsyncIterator[Piece]]
    size: int


def in_pieces(content: bytes) -> Body:
    """Bytes as a body that is sent piece by piece, so that the event loop is never held by one long write."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), _PIECE_BYTES):
            yield content[start : start + _PIECE_BYTES]

    return Body(pieces, len(content))


class Request(Struct, frozen=True):
    """One request to one address. `allowed`: the classes of addresses that its host may have."""

    method: str
    url: Url
    headers: Mapping[str, str]
    body: bytes | Body | None = None
    allowed: frozenset[Reach] = EVERYWHERE
    doing: str = "asking"
    about: str = ""

    __repr__ = repr_without("headers", "body")


class Stats(Struct):
    """What was sent and received in this run."""

    requests: Counter[tuple[str, str]] = field(default_factory=Counter)  # by host and method
    bytes_in: int = 0  # bodies only
    bytes_out: int = 0
    retries: int = 0
    token_requests: int = 0
    logins_refused: int = 0  # answers 401, the first of each registry among them


class _Sending:
    """A body on its way: held to its size, counted, and the stall limit pushed on with every byte that goes."""

    def __init__(self, body: Body, stats: Stats, timer: asyncio.Timeout, stall_s: float) -> None:
        self._body, self._stats, self._timer, self._stall_s = body, stats, timer, stall_s

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        given = 0
        async for piece in self._body.open():
            given += len(piece)
            if given > self._body.size:
                raise InvalidContent("sending a body", why=f"it is longer than its {self._body.size} bytes")
            self.moved(0)
            yield piece
        if given < self._body.size:
            raise InvalidContent("sending a body", why=f"{given} bytes, expected {self._body.size}")

    def moved(self, size: int) -> None:
        self._stats.bytes_out += size
        self._timer.reschedule(asyncio.get_running_loop().time() + self._stall_s)


class Incoming:
    """An answer whose head has arrived. Read it or pour it out, then `close` it, whatever happens."""

    def __init__(
        self, exchange: Exchange, head: tuple[int, Fields], request: Request, transport: Transport, route: Route
    ) -> None:
        self._exchange, self._request, self._transport, self._route = exchange, request, transport, route
        self._stall_s = transport.settings.stall_s
        self._reply: Reply | None = None
        self._closed = False
        self.status, self.headers = head

    @property
    def url(self) -> Url:
        return self._request.url

    async def read(self, limit_bytes: int, *, strict: bool = True) -> Reply:
        """The whole answer, read once and kept. strict: a longer or broken body raises; else it is cut."""
        if self._reply is not None:
            return self._reply
        body = b""
        if self.status != _FALSE_LENGTH:
            body = await self._read_body(limit_bytes, strict)
            self._transport.stats.bytes_in += len(body)
        self._reply = Reply(self.status, self.headers, body, self._request.url.redacted)
        return self._reply

    async def _read_body(self, limit_bytes: int, strict: bool) -> bytes:
        parts: list[bytes] = []
        total = 0
        try:
            async with asyncio.timeout(self._stall_s):
                while total <= limit_bytes and (part := await self._exchange.chunk()):
                    total += len(part)
                    parts.append(part)
        except _FAILURES as error:
            if strict:
                raise _failed(error, self._request, "ended the answer early") from error
            # The status is what counts; what was said with it is for people.
        if total > limit_bytes and strict:
            raise InvalidContent(
                self._request.doing, about=self._request.about, why=f"more than the {limit_bytes} bytes allowed"
            )
        return b"".join(parts)[:limit_bytes]

    async def pour(self, take: Take) -> AsyncGenerator[int, None]:
        """Hand the body to `take` as it comes; gives how many bytes went. A large body is taken in threads.

        Raises ConnectionFailed where it stops early or stands still, and what `take` raises, as it is.
        """
        async with aclosing(self._exchange.pour(take)) as moving:
            while True:
                try:
                    async with asyncio.timeout(self._stall_s):
                        size = await anext(moving, 0)
                except _FAILURES as error:
                    raise _failed(error, self._request, "ended the answer early") from error
                if not size:
                    return
                self._transport.stats.bytes_in += size
                yield size

    def close(self) -> None:
        """Give the connection back where all was said; else end it, since what follows is unknown."""
        if not self._closed:
            self._closed = True
            self._transport.finished(self._route, self._exchange)


class Transport:
    """Connections to all hosts of a run, kept apart by what addresses they may lead to."""

    def __init__(
        self,
        settings: Settings,
        stats: Stats,
        *,
        lookup: Lookup = system_lookup,
        classify: Callable[[str], Reach] = reach_of,
    ) -> None:
        self.settings, self.stats = settings, stats
        self._pool = Pool(settings, lookup, classify, USER_AGENT)

    def reach_of(self, origin: Origin) -> Reach:
        """The class of an origin's own address, as it was connected to; PUBLIC where that is not known."""
        return self._pool.reach_of(origin)

    async def start(self, request: Request) -> Incoming:
        """Send a request and wait for the head of its answer.

        Raises NotConnected, ConnectionFailed, Untrusted, UnsafeTarget, or what the body's own reader raised.
        """
        route = Route.to(request.url.origin, request.allowed, self.settings.proxies.for_origin(request.url.origin))
        self.stats.requests[request.url.origin.authority, request.method] += 1
        try:
            exchange = Exchange(await self._pool.take(route))
        except (*_FAILURES, Refused, OSError) as error:
            raise _unconnected(error, request) from error
        try:
            head, sent = await self._exchange(exchange, request, route)
            _, headers = head
            if headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
                # Decoding it would change size and digest, and is how bombs come in (registry.md 7 row 20).
                raise InvalidContent(request.doing, about=request.about, why="the answer is compressed, unasked")
            if not sent and head[0] < 400:
                raise BodyCut(request.doing, about=request.about, why="answered before the body was sent")
        except BaseException:
            exchange.wire.close()
            raise
        return Incoming(exchange, head, request, self, route)

    def finished(self, route: Route, exchange: Exchange) -> None:
        """An exchange has ended, well or not."""
        if exchange.reusable:
            self._pool.give_back(route, exchange.wire)
        else:
            exchange.wire.close()

    async def _exchange(self, exchange: Exchange, request: Request, route: Route) -> tuple[tuple[int, Fields], bool]:
        """The head of the answer, and whether the request went whole."""
        url, body, sent = request.url, request.body, True
        if isinstance(body, bytes) and len(body) > _AT_ONCE_BYTES:
            body = in_pieces(body)
        headers = self._headers(request, route)
        # A proxy that stands in for plain-http origins is told the whole URL.
        target = str(url) if route.origin is None else url.target
        try:
            async with asyncio.timeout(self.settings.answer_s) as timer:
                if isinstance(body, Body):
                    sent = False
                    sending = _Sending(body, self.stats, timer, self.settings.stall_s)
                    async with aclosing(sending.pieces()) as pieces:
                        sent = await exchange.ask_with(request.method, target, headers, pieces, sending.moved)
                    timer.reschedule(asyncio.get_running_loop().time() + self.settings.answer_s)
                else:
                    self.stats.bytes_out += len(body or b"")
                    await exchange.ask(request.method, target, headers, body or b"")
                return await exchange.answer(), sent
        except _FAILURES as error:
            raise _failed(error, request, "", cut=not sent) from error

    def _headers(self, request: Request, route: Route) -> list[tuple[str, str]]:
        body, proxy = request.body, route.proxy
        headers = [("Host", request.url.origin.authority), ("User-Agent", USER_AGENT), ("Accept-Encoding", "identity")]
        if proxy is not None and proxy.authorization and route.origin is None:
            headers.append(("Proxy-Authorization", proxy.authorization))
        if body is not None:
            headers.append(("Content-Length", str(body.size if isinstance(body, Body) else len(body))))
        return headers + list(request.headers.items())

    async def close(self) -> None:
        """End all connections."""
        await self._pool.close()


_FAILURES: Final = (Broken, Malformed, TimeoutError)


def _unconnected(error: BaseException, request: Request) -> BakeryError:
    """Our error where no connection came about: nothing was sent."""
    about, where = request.about or request.url.redacted, request.url.origin.authority
    if isinstance(error, ssl.SSLError):
        return Untrusted(
            request.doing,
            about=about,
            why=f"{where}: {_reason(error)}",
            hint="check the name, or give its CA in BAKERY_CA_FILE",
        )
    return NotConnected(
        request.doing,
        about=about,
        why=f"no connection to {where}: {_reason(error)}",
        hint="see whether it is up and can be reached from here: name, port, proxy, firewall",
    )


def _failed(error: BaseException, request: Request, ended: str, *, cut: bool = False) -> BakeryError:
    """Our error for one of the network's. Its text names the host, never the query. cut: a body was not sent whole.

    ended: what an end means that came too early and without an error.
    """
    broken = BodyCut if cut else ConnectionFailed
    about, where = request.about or request.url.redacted, request.url.origin.authority
    if isinstance(error, TimeoutError):
        hint = "see whether it is well, and what stands between"
        return broken(request.doing, about=about, why=f"{where} did not answer in time", hint=hint)
    if isinstance(error, Malformed):
        return broken(request.doing, about=about, why=f"what {where} answers is no HTTP: {error}")
    if ended and not isinstance(error.__cause__, OSError):
        return broken(request.doing, about=about, why=f"{where} {ended}")
    return broken(request.doing, about=about, why=f"the connection to {where} broke: {_reason(error.__cause__)}")


def _reason(error: BaseException | None) -> str:
    if isinstance(error, TimeoutError):
        return "it takes too long"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) if error is not None and str(error) else "it was closed"
