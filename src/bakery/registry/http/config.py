"""How HTTP servers are reached: proxies, trusted authorities, time limits. Values only."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from msgspec import Struct

from bakery.defaults import CONNECT_TIMEOUT_S, RESPONSE_TIMEOUT_S, STALL_TIMEOUT_S
from bakery.errors import UsageError
from bakery.registry.http.address import is_loopback_name
from bakery.registry.http.failure import UnsafeTarget
from bakery.registry.http.url import Origin
from bakery.text import hide
from bakery.values import repr_without


class Proxy(Struct, frozen=True):
    """An HTTP proxy: its origin, and the Proxy-Authorization header for it or ""."""

    origin: Origin
    authorization: str = ""

    __repr__ = repr_without("authorization")


class Proxies(Struct, frozen=True):
    """The proxies of HTTP_PROXY, HTTPS_PROXY and NO_PROXY. Loopback is never proxied."""

    http: Proxy | None = None
    https: Proxy | None = None
    bypass: tuple[str, ...] = ()  # lower case: host, .suffix, host:port, address, network, or *

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Proxies:
        """Read the variables; the lower-case spelling wins, as in curl and Go. Raises UsageError for an invalid URL."""

        def read(name: str) -> str:
            return (environment.get(name.lower()) or environment.get(name) or "").strip()

        # In a CGI process, HTTP_PROXY is a header from the network (CVE-2016-5385).
        http = "" if environment.get("REQUEST_METHOD") else read("HTTP_PROXY")
        entries = [entry.strip().lower() for entry in re.split(r"[,\s]+", read("NO_PROXY"))]
        bypass = tuple(entry for entry in entries if entry)
        return cls(_proxy("HTTP_PROXY", http), _proxy("HTTPS_PROXY", read("HTTPS_PROXY")), bypass)

    def for_origin(self, origin: Origin) -> Proxy | None:
        """Return the proxy for requests to this origin, or None."""
        proxy = self.https if origin.scheme == "https" else self.http
        if proxy is None or is_loopback_name(origin.host) or any(_covers(e, origin) for e in self.bypass):
            return None
        return proxy


class HttpConfig(Struct, frozen=True):
    """How HTTP servers are reached. By default: no proxy, and the authorities that the system trusts.

    connect_s, response_s and stall_s limit the wait for a connection, for the head of a response, and for the next
    bytes of a body, in seconds.
    """

    ca_file: Path | None = None  # PEM; trusted besides the system's authorities
    proxies: Proxies = Proxies()
    connect_s: float = CONNECT_TIMEOUT_S
    response_s: float = RESPONSE_TIMEOUT_S
    stall_s: float = STALL_TIMEOUT_S

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> HttpConfig:
        """Read BAKERY_CA_FILE and the proxy variables. Raises UsageError, which names the variable."""
        ca_file = environment.get("BAKERY_CA_FILE", "").strip()
        if ca_file and not Path(ca_file).is_file():
            raise UsageError("invalid BAKERY_CA_FILE", about=ca_file, why="no such file", hint="name a PEM file")
        return cls(ca_file=Path(ca_file) if ca_file else None, proxies=Proxies.from_environment(environment))


def _covers(entry: str, origin: Origin) -> bool:
    if entry == "*":
        return True
    host = origin.host.strip("[]")
    if entry == f"{origin.host}:{origin.port}":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass
    suffix = entry.removeprefix("*").removeprefix(".")
    return bool(suffix) and ((host == suffix and not entry.startswith((".", "*"))) or host.endswith(f".{suffix}"))


def _proxy(name: str, text: str) -> Proxy | None:
    if not text:
        return None
    address = text if "://" in text else f"http://{text}"
    scheme, _, rest = address.partition("://")
    authority, _, _ = rest.partition("/")
    userinfo, at, host = authority.rpartition("@")
    try:
        origin = Origin.parse(f"{scheme}://{host}")
    except UnsafeTarget as error:
        why = f"{error.why}; expected http://[user:password@]host:port"
        raise UsageError("invalid proxy in", about=name, why=why) from None  # the cause would quote the password
    if not at:
        return Proxy(origin)
    username, _, password = userinfo.partition(":")
    pair = f"{unquote(username)}:{unquote(password)}"
    for secret in (password, unquote(password)):
        hide(secret)
    return Proxy(origin, "Basic " + base64.b64encode(pair.encode(errors="surrogateescape")).decode())
