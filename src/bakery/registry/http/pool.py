"""Connections: the addresses of a name, connecting (proxies, TLS), and keeping connections for the next request.

The address policy is enforced here, on the address that is connected to and not on an earlier lookup, so that a name
that resolves differently the second time gains nothing (registry.md 1.5 d).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import aiohappyeyeballs
from msgspec import Struct, field

from bakery import __version__
from bakery.registry.http.address import EVERYWHERE, Reach, literal_reach
from bakery.registry.http.certificates import Contexts
from bakery.registry.http.config import HttpConfig, Proxy
from bakery.registry.http.exchange import Exchange
from bakery.registry.http.failure import ProxyDenied, ProxyRefused, ProxyUntrusted, UnsafeTarget
from bakery.registry.http.tls import TLS_ANSWERS, TlsFacts, hello
from bakery.registry.http.url import Origin
from bakery.registry.http.wire import Broken, Wire

USER_AGENT: Final = f"bakery/{__version__}"
_ADDRESS_LIFE_S: Final = 300.0  # one address for one push: geo-replicated registries change it in between
# Less than servers and load balancers keep a connection: one that dies under a PUT costs a look for the blob.
_KEPT_ALIVE_S: Final = 15.0
_NEXT_ADDRESS_S: Final = 0.25  # then the next address is tried in parallel (RFC 8305)
_MOST_CLOSED: Final = 2  # connections that were closed unannounced, one after another
_CLOSED_AT_ONCE_S: Final = 2.0  # servers that keep connections do so for longer
_CLOSING_S: Final = 5.0  # a closed connection reports it at once; nothing in a shutdown waits without a limit

Lookup = Callable[[str, int], Awaitable[list[str]]]


async def system_lookup(host: str, port: int) -> list[str]:
    """Return the addresses of a host name, as the machine resolves it."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Route(Struct, frozen=True):
    """What a connection leads to. allowed: the classes of addresses that the host of `origin` may have.

    A connection to an HTTP proxy for plain-HTTP origins serves all of them: its origin is None.
    """

    origin: Origin | None
    allowed: frozenset[Reach]
    proxy: Proxy | None = None

    @classmethod
    def to(cls, origin: Origin, allowed: frozenset[Reach], proxy: Proxy | None) -> Route:
        """Return the route of a request to this origin."""
        if proxy is None:
            return cls(origin, allowed)
        # The proxy resolves the name. Its own address is the user's choice.
        is_tunnel = origin.scheme == "https" or proxy.socks is not None
        return cls(origin if is_tunnel else None, EVERYWHERE, proxy)


class _Line(Struct):
    """The connections of one route that no exchange uses, and the exchanges that wait for one."""

    idle: list[Wire] = field(default_factory=list)  # most recently used last
    waiting: deque[asyncio.Future[Wire]] = field(default_factory=deque)
    opening: int = 0
    closed: int = 0  # how many connections in a row were closed unannounced while they were used again


class Pool:
    """All connections of a run. An exchange takes the first that is free, whichever it was opened for."""

    def __init__(self, config: HttpConfig, lookup: Lookup, classify: Callable[[str], Reach]) -> None:
        self._config, self._lookup, self._classify = config, lookup, classify
        self._known: dict[str, tuple[float, list[str]]] = {}  # addresses by host, and when they expire
        self._lookups: dict[str, asyncio.Task[list[str]]] = {}  # under way, by host
        self._lines: defaultdict[Route, _Line] = defaultdict(_Line)
        self._open: set[Wire] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self.contexts = Contexts(
            config.ca_file,
            config.ca_setting,
            config.proxy_ca_file,
            config.client_certificate,
            config.certificate_folders,
        )

    def reach_of(self, origin: Origin) -> Reach:
        """Return the class of the address that was connected to for this origin, PUBLIC if that is not known."""
        literal = literal_reach(origin.host)
        if literal is not None:
            return literal
        _, addresses = self._known.get(origin.host, (0.0, []))
        found = {self._classify(address) for address in addresses}
        return next((reach for reach in (Reach.PUBLIC, Reach.PRIVATE, Reach.LOOPBACK) if reach in found), Reach.PUBLIC)

    def tls_of(self, origin: Origin) -> TlsFacts | None:
        """Return what is known of the TLS session of an idle connection to this origin; None without one."""
        idle = [wire for route, line in self._lines.items() if route.origin == origin for wire in line.idle]
        return idle[-1].tls if idle else None

    async def take(self, route: Route) -> Wire:
        """Return a connection for one exchange, kept or new. Give it back or close it.

        Raises UnsafeTarget, Untrusted, ProxyRefused, Broken, and OSError or TimeoutError if connecting fails.
        """
        line, loop = self._lines[route], asyncio.get_running_loop()
        while line.idle:
            wire = line.idle.pop()
            if not wire.has_news and loop.time() - wire.idle_since < _KEPT_ALIVE_S:
                return wire
            wire.close()
        waiter: asyncio.Future[Wire] = loop.create_future()
        line.waiting.append(waiter)
        self._start(route, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter not in line.waiting:
                self.give_back(route, waiter.result())  # it arrived together with the cancellation
            raise
        finally:
            if waiter in line.waiting:
                line.waiting.remove(waiter)

    def open_ahead(self, route: Route, number: int) -> None:
        """Open so many connections that requests will need soon. A failure is dropped: the request meets its own."""
        line = self._lines[route]
        for _ in range(number - line.opening - len(line.idle)):
            self._start(route)

    async def speaks_tls(self, origin: Origin, allowed: frozenset[Reach]) -> bool:
        """Return whether a TLS handshake meets a response that is TLS. Raises OSError or TimeoutError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._config.connect_s):
            with await self._open_socket(origin, allowed) as opened:
                try:
                    await loop.sock_sendall(
                        opened, hello() + b"\r\n\r\n"
                    )  # the end of a head, for servers of plain HTTP
                    return await loop.sock_recv(opened, 1) in TLS_ANSWERS
                except ConnectionError:
                    return False

    def give_back(self, route: Route, wire: Wire) -> None:
        """Pass on or keep a connection on which the exchange is complete."""
        if wire.has_news or self._lines[route].closed >= _MOST_CLOSED:
            wire.close()
        else:
            wire.idle_since = asyncio.get_running_loop().time()
            self._pass_on(route, wire)

    def used_again(self, route: Route, wire: Wire, *, met_closed: bool) -> None:
        """Note whether the server had closed a kept connection, unannounced, right after its last response.

        A server that does so with each connection would break every upload, which follows the request that opened it:
        connections to it are not kept any more.
        """
        line, idle_s = self._lines[route], asyncio.get_running_loop().time() - wire.idle_since
        if not met_closed:
            line.closed = 0
        elif idle_s < _CLOSED_AT_ONCE_S:
            line.closed += 1

    async def close(self) -> None:
        """Close all connections. Takes at most a few seconds."""
        under_way = [*self._opening, *self._lookups.values()]
        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way, timeout=_CLOSING_S)
        wires = list(self._open)
        for wire in wires:
            wire.close()
        self._lines.clear()
        if wires:
            await asyncio.wait([wire.closed for wire in wires], timeout=_CLOSING_S)

    def _start(self, route: Route, waiter: asyncio.Future[Wire] | None = None) -> None:
        self._lines[route].opening += 1
        task = asyncio.get_running_loop().create_task(self._open_one(route, waiter))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open_one(self, route: Route, waiter: asyncio.Future[Wire] | None) -> None:
        """Open a connection for the exchange that has waited longest. A failure is for `waiter`, if it still waits."""
        try:
            async with asyncio.timeout(self._config.connect_s):
                wire = await self._connect(route)
        except (Exception, asyncio.CancelledError) as error:
            if waiter is not None and not waiter.done():
                waiter.set_exception(error if isinstance(error, Exception) else Broken())
            if not isinstance(error, Exception):
                raise
        else:
            self._pass_on(route, wire)
        finally:
            self._lines[route].opening -= 1

    def _pass_on(self, route: Route, wire: Wire) -> None:
        line = self._lines[route]
        while line.waiting:
            waiter = line.waiting.popleft()
            if not waiter.done():
                waiter.set_result(wire)
                return
        wire.idle_since = asyncio.get_running_loop().time()
        line.idle.append(wire)

    async def _connect(self, route: Route) -> Wire:
        opened = await self._open_route(route)
        _, wire = await asyncio.get_running_loop().create_connection(Wire, sock=opened)
        self._open.add(wire)
        wire.closed.add_done_callback(lambda _: self._open.discard(wire))
        proxy, origin = route.proxy, route.origin
        try:
            if proxy is not None and proxy.socks is None:
                if proxy.origin.scheme == "https":
                    await self._start_proxy_tls(wire, proxy.origin)
                if origin is not None:
                    await self._tunnel(wire, proxy, origin)
            if origin is not None and origin.scheme == "https":
                await self._start_tls(wire, self.contexts.for_origin(origin), origin)
        except BaseException:
            wire.close()
            raise
        return wire

    async def _open_route(self, route: Route) -> socket.socket:
        """Return a connection to the origin or its HTTP proxy, or through a SOCKS proxy."""
        proxy, origin = route.proxy, route.origin
        if proxy is None:
            assert origin is not None, "a route without a proxy has an origin"
            return await self._open_socket(origin, route.allowed)
        if proxy.socks is None:
            return await self._open_socket(proxy.origin, EVERYWHERE)
        from bakery.registry.http.socks import open_through

        assert origin is not None, "a SOCKS proxy opens a tunnel to every origin"
        addresses = await self._addresses(proxy.origin, EVERYWHERE)
        return await open_through(proxy, addresses, origin, limit_s=self._config.connect_s)

    async def _open_socket(self, first: Origin, allowed: frozenset[Reach]) -> socket.socket:
        addresses = await self._addresses(first, allowed)
        try:
            opened = await aiohappyeyeballs.start_connection(
                [_info(address, first.port) for address in addresses],
                happy_eyeballs_delay=_NEXT_ADDRESS_S,
                interleave=1,
            )
        except OSError:
            self._known.pop(first.host, None)  # it may have moved
            raise
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return opened

    async def _start_proxy_tls(self, wire: Wire, origin: Origin) -> None:
        try:
            await self._start_tls(wire, self.contexts.for_proxy(), origin)
        except ssl.SSLCertVerificationError as error:
            raise ProxyUntrusted(f"the proxy {origin} cannot be trusted: {error.verify_message}") from error
        except ssl.SSLError as error:
            why = str(error.reason or error).replace("_", " ").lower()
            raise ProxyUntrusted(f"the TLS handshake with the proxy {origin} failed: {why}") from error

    async def _start_tls(self, wire: Wire, context: ssl.SSLContext, origin: Origin) -> None:
        await wire.start_tls(context, origin.host.strip("[]"))

    async def _tunnel(self, wire: Wire, proxy: Proxy, origin: Origin) -> None:
        target = f"{origin.host}:{origin.port}"
        headers = [("Host", target), ("User-Agent", USER_AGENT)]
        if proxy.authorization:
            headers.append(("Proxy-Authorization", proxy.authorization))
        exchange = Exchange(wire)
        await exchange.request("CONNECT", target, headers)
        if not 200 <= exchange.status < 300:
            if exchange.status in (403, 407):
                raise ProxyDenied(proxy, exchange.status)
            raise ProxyRefused(f"the proxy {proxy.origin} responds {exchange.status}")

    async def _addresses(self, origin: Origin, allowed: frozenset[Reach]) -> list[str]:
        expiry, addresses = self._known.get(origin.host, (0.0, []))
        if expiry < asyncio.get_running_loop().time():
            addresses = await self._look_up_once(origin)
        good = [address for address in addresses if self._classify(address) in allowed]
        if not good:
            kinds = ", ".join(sorted({self._classify(address).value for address in addresses})) or "no"
            raise UnsafeTarget(
                "cannot connect to", about=origin.host, why=f"its name resolves to {kinds} addresses only"
            )
        return good

    async def _look_up_once(self, origin: Origin) -> list[str]:
        """Look a name up for all that need it now: its addresses, and a failure, are those of all of them."""
        task = self._lookups.get(origin.host)
        if task is None:
            task = self._lookups[origin.host] = asyncio.get_running_loop().create_task(self._look_up(origin))
            task.add_done_callback(partial(self._looked_up, origin.host))
        return await asyncio.shield(task)

    def _looked_up(self, host: str, task: asyncio.Task[list[str]]) -> None:
        del self._lookups[host]
        if not task.cancelled() and task.exception() is None:
            self._known[host] = (asyncio.get_running_loop().time() + _ADDRESS_LIFE_S, task.result())

    async def _look_up(self, origin: Origin) -> list[str]:
        host = origin.host.strip("[]")
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            try:
                return await self._lookup(host, origin.port)
            except UnicodeError as error:  # of Python's own encoding of host names
                raise UnsafeTarget("cannot connect to", about=host, why=f"invalid host name: {error}") from error


_Info = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]


def _info(address: str, port: int) -> _Info:
    """Return an address in the form of getaddrinfo."""
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)
