"""The origins of a registry's API. Pure: resolves no names."""

from __future__ import annotations

from typing import Final

from bakery.registry.http.address import is_loopback_name
from bakery.registry.http.url import Origin, Url

HUB_API_HOST: Final = "registry-1.docker.io"


def api_origin(registry: str, plain_http: frozenset[str] = frozenset()) -> Origin:
    """Return the origin of a registry's API. registry: its name as users write it.

    plain_http: hosts, or host:port, that are reached over plain HTTP. Loopback names always are; no other host is, and
    plain HTTP is never a fallback.
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
