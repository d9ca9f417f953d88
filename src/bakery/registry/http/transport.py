"""Sends one request and returns its response. Never retries, never follows a redirect, knows no credentials.

HTTP/1.1 only: every registry speaks it, and an upload of gigabytes gains nothing from sharing its connection.
No cookies, no netrc, no quoting of URLs that are already quoted. A response that is compressed although that was not
requested is decoded only if it is read as a whole, and only up to the limit for it.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Final, Self

from bakery.errors import RAISE_FILES, TOO_MANY_FILES, BakeryError, ConnectionFailed, InvalidContent, limit_of_files
from bakery.registry.http.address import EVERYWHERE, Reach, reach_of
from bakery.registry.http.config import HttpConfig
from bakery.registry.http.exchange import Exchange, NotHttp
from bakery.registry.http.failure import (
    BodyCut,
    Denied,
    NotConnected,
    ProxyDenied,
    ProxyRefused,
    ProxyUntrusted,
    UnknownHost,
    Untrusted,
)
from bakery.registry.http.message import Fields, HttpBody, HttpRequest, HttpResponse, Stats, Traffic, in_pieces
from bakery.registry.http.pool import USER_AGENT, Lookup, Pool, Route, system_lookup
from bakery.registry.http.redirect import is_followed
from bakery.registry.http.tls import TlsFacts
from bakery.registry.http.trust import in_words, refuses_us, untrusted
from bakery.registry.http.turns import Take
from bakery.registry.http.url import Origin, Url
from bakery.registry.http.wire import Broken

_AT_ONCE_BYTES: Final = 512 * 1024  # content up to this size is sent in one write
_FALSE_LENGTH: Final = 416  # distribution's states the length of the whole blob and sends 33 bytes: it is not read
_REPEATABLE: Final = ("GET", "HEAD")
_UNKNOWN: Final = (socket.EAI_NONAME, socket.EAI_NODATA)
_CALL_FAILED: Final = re.compile(r"Connect call failed \('([^']+)'")  # asyncio's words
_SLOWEST: Final = 1024  # bytes a second, over the limit for a stall
_FAILURES: Final = (Broken, NotHttp, TimeoutError)
_GZIP: Final = ("gzip", "x-gzip")
_NO_ENCODING: Final = ("", "identity", "aws-chunked")  # the last is how S3 was sent the content, not how it sends it


class OpenResponse:
    """A response whose head has arrived. Read or move its body, then `close` it in every case."""

    def __init__(
        self, exchange: Exchange, request: HttpRequest, transport: Transport, route: Route, traffic: Traffic
    ) -> None:
        self._exchange, self._request, self._transport, self._route = exchange, request, transport, route
        self._traffic = traffic
        self._stall_s = transport.config.stall_s
        self._window_ends, self._window_bytes = asyncio.get_running_loop().time() + self._stall_s, 0
        self._read: HttpResponse | None = None
        self._closed = False

    @property
    def status(self) -> int:
        return self._exchange.status

    @property
    def headers(self) -> Fields:
        return self._exchange.headers

    @property
    def url(self) -> Url:
        return self._request.url

    @property
    def encoding(self) -> str:
        """How the body is compressed, in lower case, or ""."""
        return _encoding(self.headers)

    async def read(self, limit_bytes: int, *, strict: bool = True) -> HttpResponse:
        """Return the whole response, read once and kept. A longer or broken body is truncated, or raises if strict."""
        if self._read is None:
            body = b"" if self.status == _FALSE_LENGTH else await self._read_body(limit_bytes, strict)
            self._traffic.received(len(body))
            self._read = HttpResponse(self.status, self.headers, body, self.url)
        return self._read

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
                raise _failed(error, self._request) from error
            # Only the status matters; the rest of the text is for people.
        if total > limit_bytes and strict:
            raise InvalidContent(
                f"cannot {self._request.action}",
                about=self._request.subject,
                why=f"the response is longer than the {limit_bytes} bytes allowed",
            )
        body = b"".join(parts)[:limit_bytes]
        return self._decoded(body, limit_bytes, strict=strict) if self.encoding and body else body

    def _decoded(self, body: bytes, limit_bytes: int, *, strict: bool) -> bytes:
        """Return a compressed body, decoded to no more than the limit; if not strict, as much as can be."""
        why = ""
        if self.encoding in _GZIP:
            body, why = _gunzip(body, limit_bytes)
        elif strict:
            raise _compressed(self.encoding, self._request)
        if why and strict:
            raise InvalidContent(f"cannot {self._request.action}", about=self._request.subject, why=why)
        return body

    async def move(self, take: Take) -> int:
        """Pass the next bytes of the body to `take`, in a thread if they are many. Return how many, 0 at the end.

        Raises ConnectionFailed if the body ends early or stalls, and whatever `take` raises.
        """
        try:
            async with asyncio.timeout(self._stall_s):
                size = await self._exchange.move(take)
            self._watch(size)
        except _FAILURES as error:
            raise _failed(error, self._request) from error
        self._traffic.received(size)
        return size

    def _watch(self, size: int) -> None:
        """Raise TimeoutError if the body trickles: a byte now and then would keep a request alive indefinitely."""
        self._window_bytes += size
        now = asyncio.get_running_loop().time()
        if now > self._window_ends:
            if size and self._window_bytes < _SLOWEST * self._stall_s:
                raise TimeoutError
            self._window_ends, self._window_bytes = now + self._stall_s, 0

    def refuse_encoding(self) -> None:
        """Raise if the body is compressed: decoding a stream would change its size and digest."""
        if self.encoding:
            raise _compressed(self.encoding, self._request)

    def close(self) -> None:
        """Return the connection to the pool if the response was read to its end, or else close it."""
        if not self._closed:
            self._closed = True
            self._transport.finish(self._route, self._exchange)


class Transport:
    """Connections to all hosts of a run, kept apart by the addresses that they may lead to."""

    def __init__(
        self,
        config: HttpConfig,
        stats: Stats,
        *,
        lookup: Lookup = system_lookup,
        classify: Callable[[str], Reach] = reach_of,
    ) -> None:
        self.config, self.stats = config, stats
        self._pool = Pool(config, lookup, classify)

    def tls_of(self, origin: Origin) -> TlsFacts | None:
        """Return what is known of the TLS session with this origin, if a connection to it is open and idle."""
        return self._pool.tls_of(origin)

    def reach_of(self, origin: Origin) -> Reach:
        """Return the class of the address that was connected to for this origin, PUBLIC if that is not known."""
        return self._pool.reach_of(origin)

    async def start(self, request: HttpRequest, traffic: Traffic | None = None) -> OpenResponse:
        """Send a request and wait for the head of its response. traffic: counts it.

        Raises NotConnected, ConnectionFailed, Untrusted, UnsafeTarget, and whatever the reader of the body raises.
        """
        origin, body, counter = request.url.origin, request.body, traffic or Traffic()
        route = Route.to(origin, request.allowed, self.config.proxies.for_origin(origin))
        self.stats.requests[origin.authority, request.method] += 1
        counter.asked()
        if body is None or (isinstance(body, bytes) and len(body) <= _AT_ONCE_BYTES):
            body = body or b""
            counter.sent(len(body))
        elif isinstance(body, bytes):
            body = in_pieces(body)
        try:
            exchange = Exchange(await self._pool.take(route))
        except (*_FAILURES, ProxyRefused, OSError) as error:
            raise _unconnected(error, request, route, self.config.ca_setting) from error
        # A proxy for plain-HTTP origins needs the whole URL.
        target = str(request.url) if route.origin is None else request.url.target
        # A registry may take long to store what it was sent, but not to begin a response that needs no work.
        response_s = min(self.config.response_s, self.config.stall_s) if body == b"" else self.config.response_s
        try:
            async with asyncio.timeout(response_s) as timer:
                loop = asyncio.get_running_loop()

                def moved(size: int) -> None:
                    counter.sent(size)
                    timer.reschedule(loop.time() + self.config.stall_s)

                def sent() -> None:
                    timer.reschedule(loop.time() + response_s)

                headers, waits = _headers(request, route), partial(timer.reschedule, None)
                await exchange.request(request.method, target, headers, body, waits=waits, moved=moved, sent=sent)
            _check(exchange, request, route)
        except BaseException as error:
            exchange.wire.close()
            if isinstance(error, Broken) and exchange.met_closed:
                self._pool.used_again(route, exchange.wire, met_closed=True)
            # A server may close a kept connection just as a request is sent on it: the host is not to blame.
            if isinstance(error, Broken) and exchange.met_closed and request.method in _REPEATABLE:
                return await self.start(request, traffic)
            if isinstance(error, _FAILURES):
                raise _failed(error, request, is_cut=not exchange.is_sent) from error
            raise
        if exchange.wire.idle_since:
            self._pool.used_again(route, exchange.wire, met_closed=False)
        return OpenResponse(exchange, request, self, route, counter)

    def open_ahead(self, origin: Origin, number: int) -> None:
        """Open so many connections to an origin that the user named, for requests that follow soon."""
        self._pool.open_ahead(Route.to(origin, EVERYWHERE, self.config.proxies.for_origin(origin)), number)

    def present_certificate_to(self, registry: Origin) -> None:
        """Present the user's client certificate to this server if it requests one."""
        self._pool.contexts.present_to(registry)

    async def speaks_tls(self, request: HttpRequest) -> bool:
        """Return whether the host of a request speaks TLS; whatever its certificate. Raises NotConnected."""
        try:
            return await self._pool.speaks_tls(request.url.origin, request.allowed)
        except (TimeoutError, OSError) as error:
            route = Route(request.url.origin, request.allowed)
            raise _unconnected(error, request, route, self.config.ca_setting) from error

    def finish(self, route: Route, exchange: Exchange) -> None:
        """Keep or close the connection of an exchange that has ended."""
        if exchange.is_reusable:
            self._pool.give_back(route, exchange.wire)
        else:
            exchange.wire.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        await self._pool.close()


def _headers(request: HttpRequest, route: Route) -> list[tuple[str, str]]:
    body, proxy = request.body, route.proxy
    headers = [("Host", request.url.origin.authority), ("User-Agent", USER_AGENT), ("Accept-Encoding", "identity")]
    if proxy is not None and proxy.authorization and route.origin is None:
        headers.append(("Proxy-Authorization", proxy.authorization))
    if body is not None:
        headers.append(("Content-Length", str(body.size if isinstance(body, HttpBody) else len(body))))
    return headers + list(request.headers.items())


def _check(exchange: Exchange, request: HttpRequest, route: Route) -> None:
    """Raise if the head of a response makes it unusable."""
    if exchange.status == 407 and route.proxy is not None:
        raise _unconnected(ProxyDenied(route.proxy, 407), request, route)
    if request.method == "HEAD" and exchange.status < 400 and (encoding := _encoding(exchange.headers)):
        raise _compressed(encoding, request)  # its length is not that of the content
    if not exchange.is_sent and exchange.status < 400 and not is_followed(exchange.status, request.method):
        why = f"{request.url.origin.authority} responded {exchange.status} before the whole body was sent"
        raise BodyCut(f"cannot {request.action}", about=request.subject, why=why)


def _encoding(headers: Fields) -> str:
    names = [name.strip().lower() for value in headers.getall("Content-Encoding") for name in value.split(",")]
    return ", ".join(name for name in names if name not in _NO_ENCODING)


def _compressed(encoding: str, request: HttpRequest) -> InvalidContent:
    why = f"the response is compressed ({encoding[:40]!r}), which was not requested"
    return InvalidContent(f"cannot {request.action}", about=request.subject, why=why)


def _gunzip(body: bytes, limit_bytes: int) -> tuple[bytes, str]:
    """Return a compressed body, decoded to no more than the limit, and what is wrong with it, or ""."""
    import zlib

    try:
        content = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, limit_bytes + 1)
    except zlib.error as error:
        return b"", f"invalid gzip: {error}"
    is_long = len(content) > limit_bytes
    return content[:limit_bytes], f"the response is longer than the {limit_bytes} bytes allowed" if is_long else ""


def _unconnected(error: BaseException, request: HttpRequest, route: Route, ca_setting: str = "") -> BakeryError:
    """Return the error for a connection that could not be established: nothing was sent."""
    where, variable = request.url.origin.authority, f"{request.url.origin.scheme.upper()}_PROXY"
    if isinstance(error, ProxyDenied):
        hint = f"ask those who run the proxy to allow {where}, or name it in NO_PROXY"
        if error.status == 407:
            hint = f"write its address as http://USER:PASSWORD@HOST:PORT in {variable}"
            if error.proxy.authorization:
                hint = f"correct the user name and password in {variable}"
        why = f"no connection to {where}: {error}"
        return Denied(f"cannot {request.action}", about=request.subject, why=why, hint=hint)
    if isinstance(error, ssl.SSLError):
        return untrusted(error, request, ca_setting)
    if isinstance(error, ProxyUntrusted):
        hint = "check its name, or set BAKERY_PROXY_CA_FILE to the PEM file of its authority"
        if not isinstance(error.__cause__, ssl.SSLCertVerificationError):
            hint = "if the proxy speaks plain HTTP, write its address as http://HOST:PORT in HTTPS_PROXY"
        return Untrusted(f"cannot {request.action}", about=request.subject, why=str(error), hint=hint)
    if limit_of_files(error):
        return NotConnected(f"cannot {request.action}", about=request.subject, why=TOO_MANY_FILES, hint=RAISE_FILES)
    unknown = isinstance(error, socket.gaierror) and error.errno in _UNKNOWN
    why = f"no connection to {where}: {_reason(error)}"
    hint = f"check that {where} is up and reachable from here (name, port, proxy, firewall)"
    if route.proxy is not None and not isinstance(error, ProxyRefused):
        why = f"no connection to {where} through the proxy {route.proxy.address}: {_reason(error)}"
        hint = f"check that the proxy of {variable} is up and reaches {where}"
    return (UnknownHost if unknown else NotConnected)(
        f"cannot {request.action}",
        about=request.subject,
        why=why,
        hint=hint,
    )


def _failed(error: BaseException, request: HttpRequest, *, is_cut: bool = False) -> BakeryError:
    """Return the error for one of the network's. It names the host, never the query. is_cut: the body was not sent."""
    where, hint = request.url.origin.authority, ""
    cause = error.__cause__
    if isinstance(cause, ssl.SSLError) and refuses_us(cause):
        return untrusted(cause, request)  # in TLS 1.3, a refused client certificate is reported after the handshake
    if isinstance(error, TimeoutError):
        why = f"{where} did not respond in time"
        hint = f"check that {where} is healthy, and the proxies and firewalls on the way"
    elif isinstance(error, NotHttp):
        why = f"invalid HTTP response from {where}: {error}"
    elif isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
        why = f"the connection to {where} broke: TLS: {in_words(cause)}"
    elif isinstance(cause, OSError) and not isinstance(cause, ssl.SSLEOFError):
        why = f"the connection to {where} broke: {_reason(cause)}"
    else:
        why = f"{where} closed the connection before the end of the response"
    failure = BodyCut if is_cut else ConnectionFailed
    return failure(f"cannot {request.action}", about=request.subject, why=why, hint=hint)


def _reason(error: BaseException | None) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, OSError) and (calls := _CALL_FAILED.findall(str(error))):
        why = os.strerror(error.errno) if error.errno else "no address can be reached"
        return f"{why} ({', '.join(calls)})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) if error is not None and str(error) else "connection closed"
