"""Where a server may send the client: the rules for redirects and for the URLs in responses. Pure."""

from __future__ import annotations

from typing import Final

from bakery.registry.http.address import Reach, literal_reach
from bakery.registry.http.failure import UnsafeTarget
from bakery.registry.http.message import Fields
from bakery.registry.http.url import Origin, Url

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_KEEP_METHOD: Final = frozenset({307, 308})  # the others turn a write into a GET
_MAX_HOPS: Final = 10


def is_followed(status: int, method: str) -> bool:
    """Return whether a response with this status redirects a request with this method."""
    return status in (REDIRECTS if method in ("GET", "HEAD") else _KEEP_METHOD)


def next_hop(url: Url, headers: Fields, hops: int) -> Url:
    """Return the URL that a redirect of this URL leads to; `hops` counts redirects, this one included.

    Raises UnsafeTarget if there is no Location, if it is malformed, or after too many hops.
    """
    location = headers.get("Location")
    if not location:
        raise UnsafeTarget("cannot follow the redirect of", about=url.redacted, why="it has no Location")
    if hops > _MAX_HOPS:
        raise UnsafeTarget("cannot follow the redirect of", about=url.redacted, why=f"more than {_MAX_HOPS} redirects")
    return url.resolve(location)


def allowed_reach(own: Reach, *, https: bool) -> frozenset[Reach]:
    """Return the classes of addresses to which a server may send the client. own: the class of the server's address.

    Only an internal server may name internal addresses. A private address is also allowed over https by name: the
    server has to prove that name with a certificate, and storage behind private endpoints is common.
    """
    allowed = {Reach.PUBLIC}
    if https or own in (Reach.PRIVATE, Reach.LOOPBACK):
        allowed.add(Reach.PRIVATE)
    if own is Reach.LOOPBACK:
        allowed.add(Reach.LOOPBACK)
    return frozenset(allowed)


def check_hop(came_from: Origin, to: Url, own: Reach) -> frozenset[Reach]:
    """Return the classes of addresses that the host of `to` may have if a server at `came_from` named it.

    own: the class of the address of the first server. Raises UnsafeTarget.
    """
    if came_from.scheme == "https" and to.origin.scheme != "https":
        hint = (
            "have the proxy in front of the registry send X-Forwarded-Proto: https, or set the registry's external URL"
        )
        why = f"{came_from} redirects from https to http"
        raise UnsafeTarget(
            "unsafe URL", about=to.redacted, why=why, hint=hint if came_from.host == to.origin.host else ""
        )
    literal = literal_reach(to.origin.host)
    allowed = allowed_reach(own, https=to.origin.scheme == "https" and literal is None)
    if literal is not None and literal not in allowed:
        raise UnsafeTarget(
            "unsafe URL",
            about=to.redacted,
            why=f"{came_from} redirects to a {literal.value} address",
            hint="if this is intended, name the server by its internal address",
        )
    return allowed
