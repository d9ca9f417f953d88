"""The user's settings for registries: plain HTTP, trusted token services, credentials, limits. Values only.

The command line builds them before any request is sent. Variables: pipeline.md 10.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from msgspec import field

from bakery.defaults import BODIES_PER_HOST, SMALL_REQUESTS_PER_HOST
from bakery.errors import UsageError
from bakery.registry.credentials import CredentialSources
from bakery.registry.http.config import HttpConfig
from bakery.registry.http.failure import UnsafeTarget
from bakery.registry.http.url import Origin
from bakery.values import setting


class RegistryConfig(HttpConfig, frozen=True):
    """How registries are reached. The defaults are safe: https, system authorities, no login for unknown services."""

    plain_http: frozenset[str] = frozenset()  # host or host:port
    tries_tls_on_loopback: bool = False  # before plain HTTP, for loopback names that are not in plain_http
    trusted_realms: frozenset[Origin] = frozenset()  # token services that may see logins
    credentials: CredentialSources = field(default_factory=CredentialSources)
    small_at_once: int = SMALL_REQUESTS_PER_HOST
    bodies_at_once: int = BODIES_PER_HOST

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the variables. Raises UsageError, which names the variable, or the option that replaced it."""

        def listed(name: str) -> list[str]:
            return [part.strip() for part in environment.get(name, "").split(",") if part.strip()]

        trusted = set()
        for text in listed("BAKERY_TRUSTED_REALMS"):
            try:
                trusted.add(Origin.parse(text if "://" in text else f"https://{text}"))
            except UnsafeTarget as error:
                why = f"{error.about}: {error.why}; expected https://host"
                name = setting(environment, "BAKERY_TRUSTED_REALMS")
                raise UsageError(f"invalid {name}", why=why) from error
        http = HttpConfig.from_environment(environment)
        return cls(
            **{name: getattr(http, name) for name in HttpConfig.__struct_fields__},
            plain_http=frozenset(host.lower() for host in listed("BAKERY_PLAIN_HTTP")),
            tries_tls_on_loopback=True,
            trusted_realms=frozenset(trusted),
            credentials=CredentialSources.from_environment(environment),
        )
