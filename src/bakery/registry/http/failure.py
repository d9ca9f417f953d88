"""The errors of this room. A caller handles each of them differently."""

from __future__ import annotations

from bakery.errors import BakeryError, ConnectionFailed


class UnsafeTarget(BakeryError):
    """A URL must not be followed: another scheme, an internal address, or malformed. No request was sent to it."""

    error_code = "network/unsafe-url"


class Untrusted(BakeryError):
    """The server cannot prove its identity. Retrying does not help, and plain HTTP is never a fallback."""

    error_code = "network/untrusted"


class NotConnected(ConnectionFailed):
    """No connection was established, so nothing was sent."""

    error_code = "network/unreachable"


class UnknownHost(NotConnected):
    """The name of the host does not resolve."""

    error_code = "network/unknown-host"


class BodyCut(ConnectionFailed):
    """The connection ended before the whole body was sent, so the server cannot have accepted it."""

    error_code = "network/cut"


class ProxyRefused(Exception):  # internal, as wire.Broken is
    """A proxy does not open a tunnel to the origin."""


class ProxyUntrusted(ProxyRefused):
    """The TLS handshake with a proxy failed."""
