"""Origins and URLs. Pure.

An `Origin` decides which credentials a request may carry (registry.md 0.1). A URL from a server is kept byte for byte:
a signed URL breaks when it is quoted again. Only bytes that no request line may contain are percent-encoded.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from typing import Final, Self

from msgspec import Struct

from bakery.registry.http.failure import UnsafeTarget

_PORTS: Final = {"http": 80, "https": 443}
_ABSOLUTE: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)", re.DOTALL)
_SCHEME: Final = re.compile(r"[A-Za-z\x80-\xff][A-Za-z0-9+.\x80-\xff-]*:")
_HOST: Final = re.compile(
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{0,5}))?"
)
_MAX_HOST: Final = 253  # characters (RFC 1035); a longer name cannot be looked up
_MAX_LABEL: Final = 63
_SAFE_TARGET: Final = re.compile(r"[!-\[\]^-~]*")  # printable ASCII without space and backslash
_RAW: Final = re.compile(r"[\x80-\xff]")  # a byte of a header that is not ASCII, such as of UTF-8
_SHOWN_KEYS: Final = frozenset({"digest", "mount", "from", "n", "last", "service", "scope", "artifactType"})


class Origin(Struct, frozen=True):
    """Scheme, lower-case host and effective port. Two URLs share credentials only if these are equal."""

    scheme: str
    host: str  # IPv6 in brackets
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `https://host[:port]`, with nothing after it but a slash. Raises UnsafeTarget."""
        url = Url.parse(text)
        if url.target not in ("", "/"):
            raise _unsafe(text, "an origin has no path")
        return cls(url.origin.scheme, url.origin.host, url.origin.port)

    @property
    def authority(self) -> str:
        """`host` or `host:port`, without the port if it is the default of the scheme."""
        return self.host if self.port == _PORTS[self.scheme] else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


class Url(Struct, frozen=True):
    """An absolute URL: its origin, and path and query exactly as received."""

    origin: Origin
    target: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an absolute http or https URL. Raises UnsafeTarget for user names, odd characters and invalid ports."""
        match = _ABSOLUTE.match(text)
        if match is None:
            raise _unsafe(text, "expected an absolute URL")
        scheme, authority, target = match[1].lower(), match[2], match[3]
        if scheme not in _PORTS:
            raise _unsafe(text, "the scheme must be http or https")
        if "@" in authority:
            raise _unsafe(text, "it contains a user name")
        found = _HOST.fullmatch(authority)
        if found is None or ".." in authority:
            raise _unsafe(text, "the host is malformed")
        port = int(found["port"]) if found["port"] else _PORTS[scheme]
        if not 0 < port < 65536:
            raise _unsafe(text, "the port must be between 1 and 65535")
        host = found["host"].lower()
        if len(host) > _MAX_HOST or any(len(label) > _MAX_LABEL for label in host.split(".")):
            raise _unsafe(text, "the host name is too long")
        if host.startswith("["):
            try:
                host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
            except ValueError:
                raise _unsafe(text, "the host is malformed") from None
        if _SAFE_TARGET.fullmatch(target) is None:
            raise _unsafe(text, "it contains characters that are not allowed in a URL")
        return cls(Origin(scheme, host, port), target if target.startswith("/") else f"/{target}")

    def resolve(self, reference: str) -> Url:
        """Return the URL that a `Location` or `Link` in a response to this URL means (RFC 3986 section 5).

        Bytes that are not ASCII are percent-encoded, as other clients do (RFC 3987 section 3.1); in a host, they are
        refused. Raises UnsafeTarget.
        """
        reference = reference.strip(" \t").partition("#")[0]
        has_scheme = _SCHEME.match(reference) is not None
        reference = _RAW.sub(lambda byte: f"%{ord(byte[0]):02X}", reference)
        if _ABSOLUTE.match(reference):
            return Url.parse(reference)
        if reference.startswith("//"):
            return Url.parse(f"{self.origin.scheme}:{reference}")
        if not reference or has_scheme:
            raise _unsafe(reference, "expected a URL")
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
            raise _unsafe(reference, "it contains characters that are not allowed in a URL")
        return Url(self.origin, target)

    def with_query(self, pair: str) -> Url:
        """Return this URL with `name=value` appended to the query. The existing query is not changed."""
        return Url(self.origin, f"{self.target}{'&' if '?' in self.target else '?'}{pair}")

    @property
    def redacted(self) -> str:
        """The URL for logs and errors: of the query, only parameters that never hold a secret."""
        path, mark, query = self.target.partition("?")
        if not mark:
            return f"{self.origin}{path}"
        shown = [part for part in query.split("&") if part.partition("=")[0] in _SHOWN_KEYS]
        if len(shown) <= query.count("&"):
            shown.append("…")
        return f"{self.origin}{path}?{'&'.join(shown)}"

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"

    def __repr__(self) -> str:  # the usual one would print signed queries in tracebacks
        return f"<Url {self.redacted}>"


def _unsafe(text: str, why: str) -> UnsafeTarget:
    shown = text.partition("?")[0]
    shown = re.sub(r"//[^/]*@", "//…@", shown)
    return UnsafeTarget("unsafe URL", about=repr(shown[:200]), why=why)
