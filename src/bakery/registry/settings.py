"""What the user decides about registries: plain http, CA file, trusted token services, proxies, where logins are.

Values only: the command line builds them before anything is sent. Variables: pipeline.md 10.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from msgspec import Struct, field

from bakery.errors import UsageError
from bakery.registry.credentials import CredentialSources
from bakery.registry.faults import UnsafeTarget
from bakery.registry.origin import Origin, is_loopback_name
from bakery.values import repr_without


class Proxy(Struct, frozen=True):
    """An HTTP proxy: where it is, and the header that it wants, or ""."""

    origin: Origin
    authorization: str = ""

    __repr__ = repr_without("authorization")


class Proxies(Struct, frozen=True):
    """HTTP_PROXY, HTTPS_PROXY and NO_PROXY, read by us alone.

    Loopback is never proxied.
    """

    http: Proxy | None = None
    https: Proxy | None = None
    bypass: tuple[str, ...] = ()  # lower case: host, .suffix, host:port, address, network, or *

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Proxies:
        """The lower-case spelling wins, as in curl and Go. Raises UsageError for a proxy that is no http URL."""

        def read(name: str) -> str:
            return (environment.get(name.lower()) or environment.get(name) or "").strip()

        # HTTP_PROXY in a CGI process is a header that a stranger sent (CVE-2016-5385).
        http = "" if environment.get("REQUEST_METHOD") else read("HTTP_PROXY")
        entries = [entry.strip().lower() for entry in re.split(r"[,\s]+", read("NO_PROXY"))]
        bypass = tuple(entry for entry in entries if entry)
        return cls(_proxy("HTTP_PROXY", http), _proxy("HTTPS_PROXY", read("HTTPS_PROXY")), bypass)

    def for_origin(self, origin: Origin) -> Proxy | None:
        """The proxy that requests to this origin go through, or None."""
        proxy = self.https if origin.scheme == "https" else self.http
        if proxy is None or is_loopback_name(origin.host) or any(_covers(e, origin) for e in self.bypass):
            return None
        return proxy


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
        raise UsageError(
            "reading the proxy in", about=name, why=error.why, hint="expected http://[user:password@]host:port"
        ) from None  # the cause would quote the password
    if not at:
        return Proxy(origin)
    username, _, password = userinfo.partition(":")
    pair = f"{unquote(username)}:{unquote(password)}"
    return Proxy(origin, "Basic " + base64.b64encode(pair.encode()).decode())


class Settings(Struct, frozen=True):
    """How registries are reached. All that is not said here is safe: https, system CAs, no credentials to strangers.

    plain_http: host or host:port. connect_s, answer_s, stall_s: the longest waits for a connection, for an answer, and
    for the next bytes of a body, in seconds.
    """

    plain_http: frozenset[str] = frozenset()
    ca_file: Path | None = None
    trusted_realms: frozenset[Origin] = frozenset()
    proxies: Proxies = Proxies()
    credentials: CredentialSources = field(default_factory=CredentialSources)
    connect_s: float = 20.0
    answer_s: float = 120.0  # GHCR takes 11 s to commit 700 MB, others longer
    stall_s: float = 60.0
    small_at_once: int = 32
    bodies_at_once: int = 4

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Raises UsageError, naming the variable, for a value that makes no sense."""

        def listed(name: str) -> list[str]:
            return [part.strip() for part in environment.get(name, "").split(",") if part.strip()]

        trusted = set()
        for text in listed("BAKERY_TRUSTED_REALMS"):
            try:
                trusted.add(Origin.parse(text if "://" in text else f"https://{text}"))
            except UnsafeTarget as error:
                raise UsageError(
                    "reading BAKERY_TRUSTED_REALMS",
                    about=error.about,
                    why=error.why,
                    hint="expected https://host",
                ) from error
        ca_file = environment.get("BAKERY_CA_FILE", "").strip()
        if ca_file and not Path(ca_file).is_file():
            raise UsageError(
                "reading BAKERY_CA_FILE", about=ca_file, why="there is no such file", hint="name a PEM file"
            )
        return cls(
            plain_http=frozenset(host.lower() for host in listed("BAKERY_PLAIN_HTTP")),
            ca_file=Path(ca_file) if ca_file else None,
            trusted_realms=frozenset(trusted),
            proxies=Proxies.from_environment(environment),
            credentials=CredentialSources.from_environment(environment),
        )
