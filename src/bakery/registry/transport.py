"""Sends one request and gives its answer. Never retries, never follows a redirect, knows no credentials of its own.

The only module that speaks aiohttp, and with every convenience of it switched off (registry.md, "aiohttp/Python
traps"): cookies, redirects, netrc, decompression, re-quoting, its silent second try on a dropped connection.
Which addresses a name may lead to is enforced in the resolver, so that what is checked is what is connected to.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult

from bakery import __version__
from bakery.errors import BakeryError, ConnectionFailed, InvalidContent
from bakery.registry.answers import Headers, Reply
from bakery.registry.faults import BodyCut, NotConnected, UnsafeTarget, Untrusted
from bakery.registry.origin import EVERYWHERE, Origin, Reach, Url, literal_reach, reach_of
from bakery.registry.settings import Settings

_log = logging.getLogger(__name__)

USER_AGENT: Final = f"bakery/{__version__}"
_MAX_HEADER_BYTES: Final = 32 * 1024  # upload Locations and signed URLs run to kilobytes
_READ_BUFFER_BYTES: Final = 256 * 1024
_ADDRESS_LIFE_S: Final = 300.0  # one address for one push: geo-replicated registries change it in between
_KEPT_ALIVE_S: Final = (
    15.0  # less than servers and what stands before them keep: one that dies under a PUT costs a look
)
_AT_ONCE_BYTES: Final = 512 * 1024  # bytes up to here are given to aiohttp whole
_FALSE_LENGTH: Final = 416  # distribution's claims the length of the whole blob and sends 33 bytes: it is not read
_IDENTITY: Final = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}

Lookup = Callable[[str, int], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class Body:
    """Something to send: a fresh reader per attempt, and its size in bytes."""

    open: Callable[[], AsyncIterator[bytes]]
    size: int


def in_pieces(content: bytes) -> Body:
    """Bytes as a body that is sent piece by piece, so that the event loop is never held by one long write."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), _READ_BUFFER_BYTES):
            yield content[start : start + _READ_BUFFER_BYTES]

    return Body(pieces, len(content))


@dataclass(frozen=True, slots=True)
class Request:
    """One request to one address. `allowed`: the classes of addresses that its host may have."""

    method: str
    url: Url
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | Body | None = field(default=None, repr=False)
    allowed: frozenset[Reach] = EVERYWHERE
    doing: str = "asking"
    about: str = ""


@dataclass(slots=True)
class Stats:
    """What was sent and received in this run."""

    requests: Counter[tuple[str, str]] = field(default_factory=Counter)  # by host and method
    bytes_in: int = 0  # bodies only
    bytes_out: int = 0
    retries: int = 0
    token_requests: int = 0
    logins_refused: int = 0  # answers 401, the first of each registry among them

    @property
    def total_requests(self) -> int:
        return sum(self.requests.values())


async def system_lookup(host: str, port: int) -> list[str]:
    """The addresses of a host name, as the machine resolves it."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _Addresses:
    """Resolved names, kept for a while."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._known: dict[str, tuple[float, list[str]]] = {}

    async def of(self, host: str, port: int) -> list[str]:
        now = asyncio.get_running_loop().time()
        known = self._known.get(host)
        if known is None or known[0] < now:
            known = (now + _ADDRESS_LIFE_S, await self._lookup(host, port))
            self._known[host] = known
        return known[1]

    def known(self, host: str) -> list[str]:
        return self._known.get(host, (0.0, []))[1]

    def forget(self, host: str) -> None:
        self._known.pop(host, None)


class _Resolver(AbstractResolver):
    """Gives a connector only such addresses as it may connect to."""

    def __init__(self, addresses: _Addresses, allowed: frozenset[Reach], classify: Callable[[str], Reach]) -> None:
        self._addresses, self._allowed, self._classify = addresses, allowed, classify

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = await self._addresses.of(host, port)
        good = [address for address in addresses if self._classify(address) in self._allowed]
        if not good:
            kinds = ", ".join(sorted({self._classify(address).value for address in addresses})) or "no"
            raise UnsafeTarget("connecting to", about=host, answer=f"its name leads to {kinds} addresses only")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in good
            if family in (socket.AF_UNSPEC, socket.AF_INET6 if ":" in address else socket.AF_INET)
        ]

    async def close(self) -> None:
        """Nothing is held."""


class _Sending:
    """A body on its way: counts, pushes the stall limit on, and keeps its own failure apart from the connection's."""

    def __init__(self, body: Body, stats: Stats, timer: asyncio.Timeout, stall_s: float, answer_s: float) -> None:
        self._body, self._stats, self._timer = body, stats, timer
        self._stall_s, self._answer_s = stall_s, answer_s
        self.complete = False
        self.error: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop, sent = asyncio.get_running_loop(), 0
        try:
            async for chunk in self._body.open():
                sent += len(chunk)
                if sent > self._body.size:
                    raise InvalidContent("sending a body", answer=f"it is longer than its {self._body.size} bytes")
                self._timer.reschedule(loop.time() + self._stall_s)
                yield chunk
                self._stats.bytes_out += len(chunk)
            if sent < self._body.size:
                raise InvalidContent("sending a body", answer=f"{sent} bytes, expected {self._body.size}")
        except Exception as error:  # whatever the reader raises must come out as it is, not as a broken connection
            self.error = error
            raise
        self.complete = True
        self._timer.reschedule(loop.time() + self._answer_s)


class Incoming:
    """An answer whose head has arrived. Read it or stream it, then `close` it, whatever happens."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        request: Request,
        stats: Stats,
        stall_s: float,
        sending: _Sending | None = None,
    ) -> None:
        self._response, self._request, self._stats, self._stall_s = response, request, stats, stall_s
        self._sending = sending
        self._reply: Reply | None = None
        self.status = response.status
        self.headers: Headers = response.headers

    @property
    def url(self) -> Url:
        return self._request.url

    async def read(self, limit_bytes: int, *, strict: bool = True) -> Reply:
        """The whole answer, read once and kept. strict: a longer or broken body raises; else it is cut."""
        if self._reply is not None:
            return self._reply
        body = b""
        if self._request.method != "HEAD" and self.status != _FALSE_LENGTH:
            body = await self._read_body(limit_bytes, strict)
            self._stats.bytes_in += len(body)
        self._reply = Reply(self.status, self.headers, body, self._request.url.redacted)
        return self._reply

    async def _read_body(self, limit_bytes: int, strict: bool) -> bytes:
        content = self._response.content
        parts: list[bytes] = []
        total = 0
        try:
            async with asyncio.timeout(self._stall_s):
                while not content.at_eof():
                    part = await content.readany()
                    total += len(part)
                    parts.append(part)
                    if total > limit_bytes:
                        break
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._response.close()
            if strict:
                raise _wrapped(error, self._request) from error
            # The status is what counts; what was said with it is for people.
        if total > limit_bytes:
            self._response.close()
            if strict:
                raise InvalidContent(
                    self._request.doing, about=self._request.about, answer=f"more than the {limit_bytes} bytes allowed"
                )
        return b"".join(parts)[:limit_bytes]

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises ConnectionFailed where it stops early or stands still."""
        content = self._response.content
        while True:
            try:
                async with asyncio.timeout(self._stall_s):
                    chunk, _ = await content.readchunk()  # readany would copy what came into one piece
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise _wrapped(error, self._request) from error
            if not chunk:
                if content.at_eof():
                    return
                continue  # the end of a chunk of chunked coding, not of the body
            self._stats.bytes_in += len(chunk)
            yield chunk

    def close(self) -> None:
        """Give the connection back where the answer was read whole; else end it, since what follows is unknown."""
        if self._response.content.at_eof() and (self._sending is None or self._sending.complete):
            self._response.release()
        else:
            self._response.close()


class Transport:
    """Connections to all hosts of a run, pooled apart by what addresses they may lead to."""

    def __init__(
        self,
        settings: Settings,
        stats: Stats,
        *,
        lookup: Lookup = system_lookup,
        classify: Callable[[str], Reach] = reach_of,
    ) -> None:
        self._settings, self._stats, self._classify = settings, stats, classify
        self._addresses = _Addresses(lookup)
        self._sessions: dict[tuple[frozenset[Reach], bool], aiohttp.ClientSession] = {}
        self._tls: ssl.SSLContext | None = None

    def reach_of(self, origin: Origin) -> Reach:
        """The class of an origin's own address, as it was connected to; PUBLIC where that is not known."""
        literal = literal_reach(origin.host)
        if literal is not None:
            return literal
        found = {self._classify(address) for address in self._addresses.known(origin.host)}
        for reach in (Reach.PUBLIC, Reach.PRIVATE, Reach.LOOPBACK):
            if reach in found:
                return reach
        return Reach.PUBLIC

    async def start(self, request: Request) -> Incoming:
        """Send a request and wait for the head of its answer.

        Raises NotConnected, ConnectionFailed, Untrusted, UnsafeTarget, or what the body's own reader raised.
        """
        settings, url = self._settings, request.url
        proxy = settings.proxies.for_origin(url.origin)
        options: dict[str, Any] = {}
        headers = {**_IDENTITY, **request.headers}
        if proxy is not None:
            options["proxy"] = yarl.URL(str(proxy.origin))
            if proxy.authorization and url.origin.scheme == "https":
                options["proxy_headers"] = {"Proxy-Authorization": proxy.authorization}  # of the CONNECT alone
            elif proxy.authorization:
                headers["Proxy-Authorization"] = proxy.authorization
        session = self._session(request.allowed, proxied=proxy is not None)
        if url.origin.scheme == "https":
            options["ssl"] = self._tls or self._load_tls()
        self._stats.requests[url.origin.authority, request.method] += 1
        sending: _Sending | None = None
        try:
            async with asyncio.timeout(settings.answer_s) as timer:
                body = request.body
                if isinstance(body, bytes) and len(body) > _AT_ONCE_BYTES:
                    body = in_pieces(body)
                if isinstance(body, Body):
                    sending = _Sending(body, self._stats, timer, settings.stall_s, settings.answer_s)
                    headers["Content-Length"] = str(body.size)
                    options["data"] = sending
                elif body is not None:
                    options["data"] = body
                    headers["Content-Length"] = str(len(body))
                    self._stats.bytes_out += len(body)
                response = await session.request(
                    request.method,
                    yarl.URL(str(url), encoded=True),
                    headers=headers,
                    allow_redirects=False,
                    **options,
                )
        except (aiohttp.ClientError, OSError, TimeoutError, _Broken) as error:
            if sending is not None and sending.error is not None:
                raise sending.error from None
            if isinstance(error, aiohttp.ClientConnectorError):
                self._addresses.forget(url.origin.host)
            cut = sending is not None and not sending.complete
            # Some of aiohttp's texts hold the whole URL, with what signs it: such a cause would leak in a traceback.
            raise _wrapped(error, request, cut=cut) from (None if isinstance(error, _TELLTALES) else error)
        incoming = Incoming(response, request, self._stats, settings.stall_s, sending)
        if response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
            response.close()
            # Decoding it would change size and digest, and is how bombs come in (registry.md 7 row 20).
            raise InvalidContent(request.doing, about=request.about, answer="the answer is compressed, unasked")
        if sending is not None and not sending.complete and response.status < 400:
            response.close()
            raise BodyCut(request.doing, about=request.about, answer="answered before the body was sent")
        return incoming

    def _session(self, allowed: frozenset[Reach], *, proxied: bool) -> aiohttp.ClientSession:
        # Through a proxy the name is resolved by the proxy; its own address is the user's choice.
        key = (EVERYWHERE if proxied else allowed, proxied)
        session = self._sessions.get(key)
        if session is None:
            connector = aiohttp.TCPConnector(
                resolver=_Resolver(self._addresses, key[0], self._classify),
                use_dns_cache=False,
                limit=0,  # the gates bound it
                keepalive_timeout=_KEPT_ALIVE_S,
            )
            session = self._sessions[key] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_s),
                max_line_size=_MAX_HEADER_BYTES,
                max_field_size=_MAX_HEADER_BYTES,
                read_bufsize=_READ_BUFFER_BYTES,
                middlewares=(_only_once,),
            )
        return session

    def _load_tls(self) -> ssl.SSLContext:
        self._tls = ssl.create_default_context()
        if self._settings.ca_file is not None:
            try:
                self._tls.load_verify_locations(cafile=self._settings.ca_file)
            except (ssl.SSLError, OSError) as error:
                raise Untrusted(
                    "reading the CA file", about=self._settings.ca_file, answer=str(error), hint="BAKERY_CA_FILE is PEM"
                ) from error
        return self._tls

    async def close(self) -> None:
        """End all connections."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()


_TELLTALES: Final = (aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)


class _Broken(Exception):  # internal: turned into a ConnectionFailed where it is caught
    """A connection that ended under a request, hidden from aiohttp, which would send a PUT again on its own."""


async def _only_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise  # nothing was sent, and aiohttp does not try these again
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Broken(str(error)) from error


def _wrapped(error: BaseException, request: Request, *, cut: bool = False) -> BakeryError:
    """Our error for one of the network's. Its text names the host, never the query. cut: a body was not sent whole."""
    broken = BodyCut if cut else ConnectionFailed
    about = request.about or request.url.redacted
    where = request.url.origin.authority
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return Untrusted(
            request.doing,
            about=about,
            answer=f"{where}: {_reason(error)}",
            hint="check the name, or give its CA in BAKERY_CA_FILE",
        )
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return NotConnected(
            request.doing,
            about=about,
            answer=f"no connection to {where}: {_reason(error)}",
            hint="see whether it is up and can be reached from here: name, port, proxy, firewall",
        )
    if isinstance(error, TimeoutError):
        hint = "see whether it is well, and what stands between"
        return broken(request.doing, about=about, answer=f"{where} did not answer in time", hint=hint)
    if isinstance(error, aiohttp.ClientPayloadError):
        return broken(request.doing, about=about, answer=f"{where} ended the answer early")
    cause = error.__cause__ if isinstance(error, _Broken) else error
    return broken(request.doing, about=about, answer=f"the connection to {where} broke: {_reason(cause)}")


def _reason(error: BaseException | None) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
