"""What `bakery registry serve` starts, and what it reports at the end, as values. Opens no sockets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bakery.rehearsal import script
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.faults import Lag, Rule
from bakery.rehearsal.profiles import Profile, profile
from bakery.rehearsal.tokens import Scheme


class ServeOptions(Struct, frozen=True):
    """The registry to serve. faults: the name of a profile, a file of rules (script.py), or "".

    lag_s: for how many seconds after a write reads return 404.
    """

    port: int = 0
    storage: Path | None = None
    faults: str = ""
    seed: int = 0
    lag_s: float = 0.0
    users: Mapping[str, str] | None = None
    basic: bool = False

    @property
    def summary(self) -> str:
        """A short description for people."""
        parts = [f"stored in {self.storage}" if self.storage else "in memory"]
        parts += [f"faults of {self.faults}, seed {self.seed}" if self.faults else "no faults"]
        parts += [f"lag {self.lag_s:g} s"] if self.lag_s else []
        parts += [f"{'Basic' if self.basic else 'token'} authentication"] if self.users else []
        return ", ".join(parts)


def create_registry(options: ServeOptions) -> EmbeddedRegistry:
    """Return the registry, not yet listening. Raises UsageError if the faults are unknown or invalid."""
    return registry_for_profile(_profile(options.faults), options)


def registry_for_profile(chosen: Profile, options: ServeOptions) -> EmbeddedRegistry:
    """Return the registry for a profile, not yet listening; `options.faults` is ignored."""
    lag = (Rule(name="lag", effect=Lag(options.lag_s), method="GET HEAD"),) if options.lag_s else ()
    login = replace(chosen.login, scheme=Scheme.BASIC) if options.basic else chosen.login
    return EmbeddedRegistry(
        options.storage,
        options.port,
        traits=chosen.traits,
        access=replace(login, users=options.users) if options.users else None,
        rules=(*chosen.rules, *lag),
        seed=options.seed,
    )


def _profile(faults: str) -> Profile:
    if not faults:
        return Profile("", "")
    return script.read(Path(faults)) if faults.endswith(".json") else profile(faults)


def counts(registry: EmbeddedRegistry) -> dict[str, Any]:
    """Return what the registry received and which faults clients met, for machines."""
    return {
        "requests": registry.count(),
        "by_route": {f"{method} {route.value}": number for method, route, number in registry.log.totals()},
        "body_bytes": registry.log.body_bytes,
        "token_requests": len(registry.token_requests),
        "faults_met": dict(registry.faults_met),
    }


def count_lines(counted: Mapping[str, Any]) -> list[str]:
    """Return the counts as lines for people."""
    lines = [f"{_plural(counted['requests'], 'request')}, {_plural(counted['body_bytes'], 'byte')} of request bodies"]
    lines += [f"  {number:8} {kind}" for kind, number in counted["by_route"].items()]
    if counted["faults_met"]:
        lines.append("faults met:")
        lines += [f"  {number:8} {name}" for name, number in sorted(counted["faults_met"].items())]
    return lines


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
