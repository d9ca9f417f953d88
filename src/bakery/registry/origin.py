"""Origins and URLs: where a request goes, and whether we go there at all. Pure: resolves no name.

An `Origin` decides everything about credentials (registry.md 0.1). URLs that a server gave us are kept byte for byte:
signed ones break when they are quoted again. The address policy (registry.md 1.5 d, 7 rows 5, 7, 8) is one function,
used on literals here and on resolved addresses by the transport.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from enum import Enum
from typing import Final, Self

from msgspec import Struct

from bakery.registry.faults import UnsafeTarget

HUB_API_HOST: Final = "registry-1.docker.io"
_PORTS: Final = {"http": 80, "https": 443}
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)", re.DOTALL)
_HOST = re.compile(
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{0,5}))?"
)
_SAFE_TARGET = re.compile(r"[!-\[\]^-~]*")  # printable ASCII without space and backslash
_KEPT_KEYS: Final = frozenset({"digest", "mount", "from", "n", "last", "service", "scope", "artifactType"})


class Reach(Enum):
    """From where an address can be reached. The order of the checks is in `reach_of`."""

    PUBLIC = "public"
    PRIVATE = "private"  # RFC 1918, RFC 4193, shared address space
    LOOPBACK = "loopback"
    FORBIDDEN = "forbidden"  # link-local, where clouds keep their metadata service; unspecified; multicast; reserved


EVERYWHERE: Final = frozenset(Reach)
_METADATA: Final = frozenset({"fd00:ec2::254", "100.100.100.200", "192.0.0.192"})  # AWS, Alibaba, Oracle
_PRIVATE: Final = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fec0::/10")
)
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


def reach_of(address: str) -> Reach:
    """The class of a resolved IP address. IPv4 inside IPv6 (mapped, 6to4, NAT64, Teredo) counts as the IPv4."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is None and found in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is None and found.teredo:
            inner = found.teredo[1]
        if inner is not None:
            return reach_of(str(inner))
    if str(found) in _METADATA or found.is_unspecified or found.is_link_local or found.is_multicast:
        return Reach.FORBIDDEN
    if found.is_loopback:
        return Reach.LOOPBACK
    if any(found in network for network in _PRIVATE if network.version == found.version):
        return Reach.PRIVATE
    # What is neither public nor somebody's own network is reserved: 0.0.0.0/8, 240.0.0.0/4, documentation and the like.
    return Reach.PUBLIC if found.is_global else Reach.FORBIDDEN


def is_loopback_name(host: str) -> bool:
    """Whether this host is this machine by its very name: localhost and the loopback literals."""
    bare = host.strip("[]")
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


class Origin(Struct, frozen=True):
    """Scheme, lower-case host and effective port. Two URLs share credentials only when these are equal."""

    scheme: str
    host: str  # IPv6 in brackets
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """`https://host[:port]`, with nothing after it but a slash. Raises UnsafeTarget."""
        url = Url.parse(text)
        if url.target not in ("", "/"):
            raise _unsafe(text, "an origin has no path")
        return cls(url.origin.scheme, url.origin.host, url.origin.port)

    @property
    def authority(self) -> str:
        """`host` or `host:port`, the port left out where it is the scheme's own."""
        return self.host if self.port == _PORTS[self.scheme] else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


class Url(Struct, frozen=True):
    """An absolute URL: origin, and path and query exactly as they were written."""

    origin: Origin
    target: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises UnsafeTarget for anything but plain http(s) without user name, odd characters or odd ports."""
        match = _ABSOLUTE.match(text)
        if match is None:
            raise _unsafe(text, "it is no absolute URL")
        scheme, authority, target = match[1].lower(), match[2], match[3]
        if scheme not in _PORTS:
            raise _unsafe(text, "its scheme is neither http nor https")
        if "@" in authority:
            raise _unsafe(text, "it carries a user name")
        found = _HOST.fullmatch(authority)
        if found is None or ".." in authority:
            raise _unsafe(text, "its host is malformed")
        port = int(found["port"]) if found["port"] else _PORTS[scheme]
        if not 0 < port < 65536:
            raise _unsafe(text, "there is no such port")
        host = found["host"].lower()
        if host.startswith("["):
            try:
                host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
            except ValueError:
                raise _unsafe(text, "its host is malformed") from None
        if _SAFE_TARGET.fullmatch(target) is None:
            raise _unsafe(text, "it has characters that a URL must not have")
        return cls(Origin(scheme, host, port), target if target.startswith("/") else f"/{target}")

    def resolve(self, reference: str) -> Url:
        """What a `Location` or `Link` means that answered this URL (RFC 3986 section 5). Raises UnsafeTarget."""
        reference = reference.strip(" \t").partition("#")[0]
        if _ABSOLUTE.match(reference):
            return Url.parse(reference)
        if reference.startswith("//"):
            return Url.parse(f"{self.origin.scheme}:{reference}")
        if not reference or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", reference):
            raise _unsafe(reference, "it is no URL")
        path = self.target.partition("?")[0]
        if reference.startswith("?"):
            target = path + reference
        elif reference.startswith("/"):
            target = reference
        else:
            relative, mark, query = reference.partition("?")
            merged = posixpath.normpath(f"{path.rpartition('/')[0]}/{relative}").lstrip("/")
            slash = "/" if relative.endswith("/") else ""
            target = f"/{merged}{slash}{mark}{query}"
        if _SAFE_TARGET.fullmatch(target) is None:
            raise _unsafe(reference, "it has characters that a URL must not have")
        return Url(self.origin, target)

    def with_query(self, pair: str) -> Url:
        """The same URL with `name=value` after what the query already says, which is not touched."""
        return Url(self.origin, f"{self.target}{'&' if '?' in self.target else '?'}{pair}")

    @property
    def redacted(self) -> str:
        """The URL for logs and errors: of the query only what is known to hold no secret."""
        path, mark, query = self.target.partition("?")
        if not mark:
            return f"{self.origin}{path}"
        kept = [part for part in query.split("&") if part.partition("=")[0] in _KEPT_KEYS]
        shown = "&".join(kept) + ("&…" if kept else "…") * (len(kept) < query.count("&") + 1)
        return f"{self.origin}{path}?{shown}"

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"

    def __repr__(self) -> str:  # the usual one would print signed queries into tracebacks
        return f"<Url {self.redacted}>"


def _unsafe(text: str, rule: str) -> UnsafeTarget:
    shown = text.partition("?")[0]
    shown = re.sub(r"//[^/]*@", "//…@", shown)
    return UnsafeTarget("following a server's URL", about=repr(shown[:200]), why=rule)


def api_origin(registry: str, plain_http: frozenset[str] = frozenset()) -> Origin:
    """Where the API of a registry is, by the name that users write.

    plain_http: hosts, or host:port, that are spoken to in plain HTTP. Loopback names are, always; nothing else is,
    and nothing ever falls back to it.
    """
    host, port_text = registry, ""
    if not registry.endswith("]"):
        head, colon, tail = registry.rpartition(":")
        if colon:
            host, port_text = head, tail
    if registry == "docker.io":
        host = HUB_API_HOST
    plain = is_loopback_name(host) or host in plain_http or registry in plain_http
    scheme = "http" if plain else "https"
    return Url.parse(f"{scheme}://{host}{':' if port_text else ''}{port_text}/").origin


def literal_reach(host: str) -> Reach | None:
    """The class of a host that is an IP address, or None for a name.

    Numbers that some resolvers read as addresses (`2130706433`, `0x7f.1`, `0177.0.0.1`) are FORBIDDEN: nobody honest
    writes them.
    """
    bare = host.strip("[]").rstrip(".")
    try:
        return reach_of(bare)
    except ValueError:
        pass
    if bare == "localhost" or bare.endswith(".localhost"):
        return Reach.LOOPBACK
    last = bare.rpartition(".")[2]
    return Reach.FORBIDDEN if last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last) else None


def allowed_reach(own: Reach, *, https: bool) -> frozenset[Reach]:
    """Where a server whose own address is `own` may send us.

    Inner addresses only from an inner server. A private one also over https: its name had to prove itself with a
    certificate, and storage behind private endpoints is common.
    """
    allowed = {Reach.PUBLIC}
    if https or own in (Reach.PRIVATE, Reach.LOOPBACK):
        allowed.add(Reach.PRIVATE)
    if own is Reach.LOOPBACK:
        allowed.add(Reach.LOOPBACK)
    return frozenset(allowed)


def check_hop(came_from: Origin, to: Url, own: Reach) -> frozenset[Reach]:
    """The addresses that `to` may resolve to, where a server at `came_from` sent us. Raises UnsafeTarget.

    own: the class of the registry's own address.
    """
    if came_from.scheme == "https" and to.origin.scheme != "https":
        raise UnsafeTarget(
            "following a server's URL", about=to.redacted, why=f"{came_from} is https, and https is never left"
        )
    literal = literal_reach(to.origin.host)
    allowed = allowed_reach(own, https=to.origin.scheme == "https" and literal is None)
    if literal is not None and literal not in allowed:
        raise UnsafeTarget(
            "following a server's URL",
            about=to.redacted,
            why=f"{came_from} sends us to a {literal.value} address",
            hint="if this is right, name the registry by its inner address",
        )
    return allowed
