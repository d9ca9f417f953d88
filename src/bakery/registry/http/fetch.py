"""One document by URL: follow redirects, read the body up to a limit. For callers that need no more of HTTP.

    async with Transport(HttpConfig.from_environment(os.environ), Stats()) as transport:
        response = await fetch(transport, "https://api.example/v1/versions.json", limit_bytes=1 << 20)

Proxies, authorities and time limits are those of the transport's HttpConfig. Never retries: BakeryError.transient says
whether a retry may help, and the status of the response is for the caller to judge.
"""

from __future__ import annotations

from collections.abc import Mapping

from bakery.registry.http.address import EVERYWHERE
from bakery.registry.http.message import HttpRequest, HttpResponse
from bakery.registry.http.redirect import REDIRECTS, check_hop, next_hop
from bakery.registry.http.transport import Transport
from bakery.registry.http.url import Url


async def fetch(
    transport: Transport,
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    limit_bytes: int,
    action: str = "download",
) -> HttpResponse:
    """Request a URL and return the final response, whatever its status. method: GET or HEAD.

    Redirects follow the rules of `redirect`: from https only to https, and to internal addresses only from internal
    servers. An Authorization header is not sent to another origin. action: a verb phrase for errors.
    Raises UnsafeTarget for such a redirect, InvalidContent for a body longer than limit_bytes, and ConnectionFailed,
    NotConnected or Untrusted if there is no usable response.
    """
    target, sent, allowed, hops = Url.parse(url), dict(headers or {}), EVERYWHERE, 0
    first = target.origin
    while True:
        request = HttpRequest(method, target, sent, allowed=allowed, action=action, about=target.redacted)
        response = await transport.start(request)
        try:
            if response.status not in REDIRECTS:
                return await response.read(limit_bytes)
            hops += 1
            came_from, target = target.origin, next_hop(target, response.headers, hops)
        finally:
            response.close()
        allowed = check_hop(came_from, target, transport.reach_of(first))
        if target.origin != first:
            sent = {name: value for name, value in sent.items() if name.lower() != "authorization"}
