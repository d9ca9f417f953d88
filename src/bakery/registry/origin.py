"""The origins of a registry's API. Pure: resolves no names."""

from __future__ import annotations

from typing import Final

from bakery.registry.http.address import is_loopback_name
from bakery.registry.http.url import Origin, Url

HUB_API_HOST: Final = "registry-1.docker.io"


def api_origin(registry: str, plain_http: frozenset[str] = frozenset()) -> Origin:
    """Return the origin of a registry's API. registry: its name as users write it.

    plain_http: hosts, or host:port, that are reached over plain HTTP. Loopback names are as well, unless they turn out
    to speak TLS; no other host is, and plain HTTP is never a fallback.
    """
    host, port = _split(registry)
    if registry == "docker.io":
        host = HUB_API_HOST
    plain = is_loopback_name(host) or host in plain_http or registry in plain_http
    return Url.parse(f"{'http' if plain else 'https'}://{host}{port}/").origin


def may_speak_tls(registry: str, plain_http: frozenset[str]) -> bool:
    """Return whether a registry has a loopback name that the user did not mark as plain HTTP."""
    host, _ = _split(registry)
    return is_loopback_name(host) and host not in plain_http and registry not in plain_http


def _split(registry: str) -> tuple[str, str]:
    """Return the host, and ":port" or ""."""
    head, colon, tail = registry.rpartition(":")
    return (registry, "") if registry.endswith("]") or not colon else (head, f":{tail}")
