"""What `bakery registry serve` starts and what it tells at the end, as values. Opens no socket itself."""

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


class Asked(Struct, frozen=True):
    """What somebody wants served. faults: a profile's name, a file of rules (script.py), or "".

    lag_s: how long reads after a write answer 404, in seconds.
    """

    port: int = 0
    storage: Path | None = None
    faults: str = ""
    seed: int = 0
    lag_s: float = 0.0
    users: Mapping[str, str] | None = None
    basic: bool = False

    @property
    def about(self) -> str:
        """In a few words."""
        place = f"kept in {self.storage}" if self.storage else "in memory"
        parts = [place, f"faults of {self.faults}, seed {self.seed}" if self.faults else "no faults"]
        parts += [f"lag {self.lag_s:g} s"] if self.lag_s else []
        parts += [f"{'Basic' if self.basic else 'token'} authentication"] if self.users else []
        return ", ".join(parts)


def registry(asked: Asked) -> EmbeddedRegistry:
    """The registry, not yet listening. Raises UsageError for faults that are not there or make no sense."""
    return registry_of(_chosen(asked.faults), asked)


def registry_of(chosen: Profile, asked: Asked) -> EmbeddedRegistry:
    """As `registry`, for a profile that is at hand."""
    lag = (Rule(name="lag", effect=Lag(asked.lag_s), method="GET HEAD"),) if asked.lag_s else ()
    login = replace(chosen.login, scheme=Scheme.BASIC) if asked.basic else chosen.login
    return EmbeddedRegistry(
        asked.storage,
        asked.port,
        traits=chosen.traits,
        access=replace(login, users=asked.users) if asked.users else None,
        rules=(*chosen.rules, *lag),
        seed=asked.seed,
    )


def _chosen(faults: str) -> Profile:
    if not faults:
        return Profile("", "")
    return script.read(Path(faults)) if faults.endswith(".json") else profile(faults)


def counts(served: EmbeddedRegistry) -> dict[str, Any]:
    """What came and what was met, for machines."""
    return {
        "requests": served.count(),
        "by_route": {f"{method} {route.value}": number for method, route, number in served.log.totals()},
        "body_bytes": served.log.body_bytes,
        "token_requests": len(served.token_requests),
        "faults_met": dict(served.faults_met),
    }


def told(counted: Mapping[str, Any]) -> list[str]:
    """The same in lines for people."""
    lines = [f"{counted['requests']} requests, {counted['body_bytes']} bytes of bodies"]
    lines += [f"  {number:8} {kind}" for kind, number in counted["by_route"].items()]
    if counted["faults_met"]:
        lines.append("faults met:")
        lines += [f"  {number:8} {name}" for name, number in sorted(counted["faults_met"].items())]
    return lines
