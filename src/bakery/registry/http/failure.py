"""The errors of this room. A caller handles each of them differently."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bakery.errors import BakeryError, ConnectionFailed

if TYPE_CHECKING:
    from bakery.registry.http.config import Proxy  # it imports this module


class UnsafeTarget(BakeryError):
    """A URL must not be followed: another scheme, an internal address, or malformed. No request was sent to it."""

    error_code = "network/unsafe-url"


class Untrusted(BakeryError):
    """The server cannot prove its identity. Retrying does not help, and plain HTTP is never a fallback."""

    error_code = "network/untrusted"


class NotConnected(ConnectionFailed):
    """No connection was established, so nothing was sent."""

    error_code = "network/unreachable"


class Denied(NotConnected):
    """A proxy on the way refuses, and will refuse the next time."""

    transient = False


class UnknownHost(NotConnected):
    """The name of the host does not resolve."""

    error_code = "network/unknown-host"


class BodyCut(ConnectionFailed):
    """The connection ended before the whole body was sent, so the server cannot have accepted it."""

    error_code = "network/cut"


class ProxyRefused(Exception):  # internal, as wire.Broken is
    """A proxy does not open a tunnel to the origin."""


class ProxyDenied(ProxyRefused):
    """A proxy requires a login, or its rules forbid the origin. Another try does not help."""

    def __init__(self, proxy: Proxy, status: int) -> None:
        super().__init__(f"the proxy {proxy.address} responds {status}")
        self.proxy, self.status = proxy, status


class ProxyUntrusted(ProxyRefused):
    """The TLS handshake with a proxy failed."""
