"""How HTTP servers are reached: proxies, trusted authorities, time limits. Values only."""

from __future__ import annotations

import base64
import ipaddress
import math
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from msgspec import Struct

from bakery.defaults import CONNECT_TIMEOUT_S, RESPONSE_TIMEOUT_S, STALL_TIMEOUT_S
from bakery.errors import UsageError
from bakery.files import is_folder, not_a_file
from bakery.registry.http.address import is_loopback_name
from bakery.registry.http.certificates import ClientCertificate
from bakery.registry.http.failure import UnsafeTarget
from bakery.registry.http.url import Origin
from bakery.text import hide
from bakery.values import advice, repr_without, setting

_SOCKS_PORT: Final = 1080  # RFC 1928
_MAX_SOCKS_TEXT: Final = 255  # RFC 1929


class SocksLogin(Struct, frozen=True):
    """The user name and password for a SOCKS proxy; both may be empty."""

    username: str = ""
    password: str = ""

    __repr__ = repr_without("password")


class Proxy(Struct, frozen=True):
    """An HTTP proxy: its origin, and the Proxy-Authorization header for it or "".

    socks: it is a SOCKS5 proxy instead, which is sent this login. The scheme of its origin means nothing.
    """

    origin: Origin
    authorization: str = ""
    socks: SocksLogin | None = None

    @property
    def address(self) -> str:
        """How users write it, without a login."""
        return f"socks5://{self.origin.authority}" if self.socks is not None else str(self.origin)

    __repr__ = repr_without("authorization", "socks")


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
    ca_setting: str = "BAKERY_CA_FILE"  # what the user calls it
    proxy_ca_file: Path | None = None  # PEM; trusted for proxies that are reached over TLS
    client_certificate: ClientCertificate | None = None  # presented to registries
    certificate_folders: tuple[Path, ...] = ()  # with a folder per host, as Docker's certs.d
    proxies: Proxies = Proxies()
    connect_s: float = CONNECT_TIMEOUT_S
    response_s: float = RESPONSE_TIMEOUT_S
    stall_s: float = STALL_TIMEOUT_S

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> HttpConfig:
        """Read the variables of certificates, proxies and limits.

        Raises UsageError, which names the variable, or the option that replaced it.
        """
        stall_s = _seconds(environment, "BAKERY_STALL_TIMEOUT", STALL_TIMEOUT_S)
        return cls(
            ca_file=_file(environment, "BAKERY_CA_FILE"),
            ca_setting=setting(environment, "BAKERY_CA_FILE"),
            proxy_ca_file=_file(environment, "BAKERY_PROXY_CA_FILE"),
            client_certificate=_client_certificate(environment),
            certificate_folders=tuple(_certificate_folders(environment)),
            proxies=Proxies.from_environment(environment),
            connect_s=min(CONNECT_TIMEOUT_S, stall_s),
            stall_s=stall_s,
        )


def _client_certificate(environment: Mapping[str, str]) -> ClientCertificate | None:
    certificate, key = _file(environment, "BAKERY_CLIENT_CERT"), _file(environment, "BAKERY_CLIENT_KEY")
    name, of_key = (setting(environment, variable) for variable in ("BAKERY_CLIENT_CERT", "BAKERY_CLIENT_KEY"))
    if certificate is None:
        if key is not None:
            missing = "--client-cert is missing" if of_key.startswith("-") else "BAKERY_CLIENT_CERT is not set"
            raise UsageError(f"invalid {of_key}", about=key, why=missing)
        return None
    both = advice(f"{name} and {of_key}", "PEM files that belong together")
    hint = advice(name, "a PEM file with a certificate and its key") if key is None else both
    own = ClientCertificate(certificate, key)
    own.check(hint=hint)
    return own


def _file(environment: Mapping[str, str], name: str) -> Path | None:
    text = environment.get(name, "").strip()
    if text and (why := not_a_file(Path(text))):
        raise UsageError(f"invalid {setting(environment, name)}", about=text, why=why, hint="name a PEM file")
    return Path(text) if text else None


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "").strip()
    try:
        seconds = float(text or default)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < math.inf:
        raise UsageError(f"invalid {name}", about=text, why="expected a number of seconds above 0")
    return seconds


def _certificate_folders(environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield where Docker and Podman look for the certificates of hosts: system, rootless, user."""
    parents = [Path("/etc/docker"), Path("/etc/containers")]
    if home := environment.get("HOME"):
        settings = Path(environment.get("XDG_CONFIG_HOME") or Path(home) / ".config")
        parents += [settings / "docker", settings / "containers", Path(home) / ".docker"]
    if docker := environment.get("DOCKER_CONFIG"):
        parents.append(Path(docker))
    for parent in dict.fromkeys(parents):
        if is_folder(folder := parent / "certs.d"):
            yield folder


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
    name, _, port = entry.rpartition(":")
    if port.isdigit() and int(port) == origin.port:
        entry = name  # as in Go: a suffix may have a port as well
    suffix = entry.removeprefix("*").removeprefix(".")
    return bool(suffix) and ((host == suffix and not entry.startswith((".", "*"))) or host.endswith(f".{suffix}"))


def _proxy(name: str, text: str) -> Proxy | None:
    if not text:
        return None
    address = text if "://" in text else f"http://{text}"
    scheme, _, rest = address.partition("://")
    socks = scheme.lower().startswith("socks")
    if socks:
        _check_socks(name, scheme)
    authority, _, _ = rest.partition("/")
    userinfo, at, host = authority.rpartition("@")
    try:
        origin = Origin.parse(f"http://{_with_port(host)}" if socks else f"{scheme}://{host}")
    except UnsafeTarget as error:
        why = f"{error.why}; expected http://[user:password@]host:port"
        raise UsageError("invalid proxy in", about=name, why=why) from None  # the cause would quote the password
    username, _, password = userinfo.partition(":")
    for secret in (password, unquote(password)):
        hide(secret)
    if socks:
        return Proxy(origin, socks=_socks_login(name, unquote(username), unquote(password)))
    if not at:
        return Proxy(origin)
    pair = f"{unquote(username)}:{unquote(password)}"
    return Proxy(origin, "Basic " + base64.b64encode(pair.encode(errors="surrogateescape")).decode())


def _check_socks(name: str, scheme: str) -> None:
    """Raise UsageError if proxies of this kind cannot be used, or not without the package for them."""
    if scheme.lower() not in ("socks5", "socks5h"):
        why = f"{scheme}:// proxies are not supported; expected socks5:// or http://"
        raise UsageError("invalid proxy in", about=name, why=why)
    if find_spec("python_socks") is None:
        why = f"{scheme}:// proxies need the package python-socks"
        raise UsageError("invalid proxy in", about=name, why=why, hint="install bakery-images[socks]")


def _with_port(host: str) -> str:
    """Return the authority with the default port of SOCKS if it names no port."""
    return host if re.search(r":[0-9]*$", host) else f"{host}:{_SOCKS_PORT}"


def _socks_login(name: str, username: str, password: str) -> SocksLogin:
    if max(len(text.encode(errors="surrogateescape")) for text in (username, password)) > _MAX_SOCKS_TEXT:
        why = f"user name and password of a SOCKS proxy have at most {_MAX_SOCKS_TEXT} bytes"
        raise UsageError("invalid proxy in", about=name, why=why)
    return SocksLogin(username, password)
