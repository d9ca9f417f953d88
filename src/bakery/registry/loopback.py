"""Which registries on loopback names speak TLS: for programs that must be told by an option."""

from __future__ import annotations

from collections.abc import Iterable

from bakery.registry.config import RegistryConfig
from bakery.registry.http.address import EVERYWHERE, reach_of
from bakery.registry.http.pool import Pool, system_lookup
from bakery.registry.origin import api_origin, may_speak_tls
from bakery.tasks import together


async def over_tls(registries: Iterable[str], config: RegistryConfig) -> frozenset[str]:
    """Return those of these registries that have a loopback name and speak TLS. One that does not respond is left out.

    The user's choice of plain HTTP counts: then there is no handshake.
    """
    pool = Pool(config, system_lookup, reach_of)

    async def speaks_tls(registry: str) -> bool:
        try:
            return await pool.speaks_tls(api_origin(registry), EVERYWHERE)
        except (TimeoutError, OSError):
            return False  # the program reports what is wrong

    asked = [name for name in dict.fromkeys(registries) if may_speak_tls(name, config.plain_http)]
    answers = await together(speaks_tls(name) for name in asked)
    return frozenset(name for name, is_tls in zip(asked, answers, strict=True) if is_tls)
