"""Connections: where a name may lead, how one comes about (proxies, TLS), and which are kept for the next request.

The policy on addresses is enforced here, on what is connected to and not on what was looked up before, so that a name
which leads elsewhere the second time gains nothing (registry.md 1.5 d).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Final

import aiohappyeyeballs
from msgspec import Struct

from bakery.registry.faults import UnsafeTarget, Untrusted
from bakery.registry.http.exchange import Exchange
from bakery.registry.http.wire import Wire
from bakery.registry.origin import EVERYWHERE, Origin, Reach, literal_reach
from bakery.registry.settings import Proxy, Settings

_ADDRESS_LIFE_S: Final = 300.0  # one address for one push: geo-replicated registries change it in between
_KEPT_ALIVE_S: Final = (
    15.0  # less than servers and what stands before them keep: one that dies under a PUT costs a look
)
_NEXT_ADDRESS_S: Final = 0.25  # another address is tried beside one that says nothing for so long (RFC 8305)

Lookup = Callable[[str, int], Awaitable[list[str]]]


class Refused(Exception):  # internal, as wire.Broken is
    """A proxy opens no way to where we want to go."""


async def system_lookup(host: str, port: int) -> list[str]:
    """The addresses of a host name, as the machine resolves it."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Route(Struct, frozen=True):
    """Where a connection leads. allowed: the classes of addresses that the name of `origin` may have.

    A connection through a proxy that stands in for plain-http origins has the proxy alone.
    """

    origin: Origin | None
    allowed: frozenset[Reach]
    proxy: Proxy | None = None

    @classmethod
    def to(cls, origin: Origin, allowed: frozenset[Reach], proxy: Proxy | None) -> Route:
        """The route of a request to this origin."""
        if proxy is None:
            return cls(origin, allowed)
        # Through a proxy the name is resolved by the proxy; its own address is the user's choice.
        return cls(origin if origin.scheme == "https" else None, EVERYWHERE, proxy)


class Pool:
    """All connections of a run."""

    def __init__(self, settings: Settings, lookup: Lookup, classify: Callable[[str], Reach], agent: str) -> None:
        self._settings, self._lookup, self._classify, self._agent = settings, lookup, classify, agent
        self._known: dict[str, tuple[float, list[str]]] = {}  # addresses by host, and until when they count
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._idle: defaultdict[Route, list[Wire]] = defaultdict(list)  # the last used last
        self._open: set[Wire] = set()
        self._tls: ssl.SSLContext | None = None

    def reach_of(self, origin: Origin) -> Reach:
        """The class of an origin's own address, as it was connected to; PUBLIC where that is not known."""
        literal = literal_reach(origin.host)
        if literal is not None:
            return literal
        _, addresses = self._known.get(origin.host, (0.0, []))
        found = {self._classify(address) for address in addresses}
        return next((reach for reach in (Reach.PUBLIC, Reach.PRIVATE, Reach.LOOPBACK) if reach in found), Reach.PUBLIC)

    async def take(self, route: Route) -> Wire:
        """A wire for one exchange: one that is kept, or a new one. Give it back, or close it.

        Raises UnsafeTarget, Untrusted, Refused, Broken, and OSError or TimeoutError where no connection comes about.
        """
        idle, now = self._idle[route], asyncio.get_running_loop().time()
        while idle:
            wire = idle.pop()
            if not wire.has_news and now - wire.idle_since < _KEPT_ALIVE_S:
                return wire
            wire.close()
        async with asyncio.timeout(self._settings.connect_s):
            return await self._connect(route)

    def give_back(self, route: Route, wire: Wire) -> None:
        """Keep a wire on which all was said."""
        wire.idle_since = asyncio.get_running_loop().time()
        self._idle[route].append(wire)

    async def close(self) -> None:
        """End all connections."""
        wires = list(self._open)
        for wire in wires:
            wire.close()
        self._idle.clear()
        if wires:
            await asyncio.wait([wire.gone for wire in wires])

    async def _connect(self, route: Route) -> Wire:
        first = route.proxy.origin if route.proxy is not None else route.origin
        assert first is not None, "a route without a proxy has an origin"
        context = self._context() if first.scheme == "https" else None
        addresses = await self._addresses(first, EVERYWHERE if route.proxy is not None else route.allowed)
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
        _, wire = await asyncio.get_running_loop().create_connection(
            Wire,
            sock=opened,
            ssl=context,
            server_hostname=None if context is None else first.host.strip("[]"),
        )
        self._open.add(wire)
        wire.gone.add_done_callback(lambda _: self._open.discard(wire))
        if route.proxy is not None and route.origin is not None:
            try:
                await self._tunnel(wire, route.proxy, route.origin)
            except BaseException:
                wire.close()
                raise
        return wire

    async def _tunnel(self, wire: Wire, proxy: Proxy, origin: Origin) -> None:
        where = f"{origin.host}:{origin.port}"
        headers = [("Host", where), ("User-Agent", self._agent)]
        if proxy.authorization:
            headers.append(("Proxy-Authorization", proxy.authorization))
        exchange = Exchange(wire)
        await exchange.ask("CONNECT", where, headers, b"")
        status, _ = await exchange.answer()
        if not 200 <= status < 300:
            raise Refused(f"the proxy {proxy.origin} answers {status}")
        await wire.start_tls(self._context(), origin.host.strip("[]"))

    async def _addresses(self, origin: Origin, allowed: frozenset[Reach]) -> list[str]:
        async with self._asking[origin.host]:
            now = asyncio.get_running_loop().time()
            until, addresses = self._known.get(origin.host, (0.0, []))
            if until < now:
                addresses = await self._look_up(origin)
                self._known[origin.host] = (now + _ADDRESS_LIFE_S, addresses)
        good = [address for address in addresses if self._classify(address) in allowed]
        if not good:
            kinds = ", ".join(sorted({self._classify(address).value for address in addresses})) or "no"
            raise UnsafeTarget("connecting to", about=origin.host, why=f"its name leads to {kinds} addresses only")
        return good

    async def _look_up(self, origin: Origin) -> list[str]:
        host = origin.host.strip("[]")
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            return await self._lookup(host, origin.port)

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            if self._settings.ca_file is not None:
                try:
                    self._tls.load_verify_locations(cafile=self._settings.ca_file)
                except (ssl.SSLError, OSError) as error:
                    self._tls = None
                    raise Untrusted(
                        "reading the CA file",
                        about=self._settings.ca_file,
                        why=str(error),
                        hint="BAKERY_CA_FILE is PEM",
                    ) from error
        return self._tls


_Info = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]


def _info(address: str, port: int) -> _Info:
    """An address as getaddrinfo gives it."""
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)
