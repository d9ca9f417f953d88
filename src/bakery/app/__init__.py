"""One function for each command: request in, outcome out.

What a library user calls is here: `plan`, `publish`, `verify`, and the values that they take and return (docs/api.md).
Nothing is imported before it is used, because every command imports this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bakery.events import Emit, ignore

if TYPE_CHECKING:
    from bakery.app.origins import OriginRequest
    from bakery.app.planning import PublishRequest
    from bakery.app.publishing import Interrupted, PublishOptions
    from bakery.app.verifying import VerifyRequest
    from bakery.publish.audited import Audit
    from bakery.publish.outcome import Outcome, State
    from bakery.publish.plan import Plan

__all__ = [
    "Audit", "Interrupted", "OriginRequest", "Outcome", "Plan", "PublishOptions", "PublishRequest", "State",
    "VerifyRequest", "plan", "publish", "verify",
]  # fmt: skip

_PLACES = {
    "Audit": "bakery.publish.audited",
    "Interrupted": "bakery.app.publishing",
    "OriginRequest": "bakery.app.origins",
    "Outcome": "bakery.publish.outcome",
    "Plan": "bakery.publish.plan",
    "PublishOptions": "bakery.app.publishing",
    "PublishRequest": "bakery.app.planning",
    "State": "bakery.publish.outcome",
    "VerifyRequest": "bakery.app.verifying",
}


def plan(request: PublishRequest, origin: OriginRequest | None = None, *, emit: Emit = ignore) -> Plan | None:
    """Return what a publish would do, as `bakery publish` plans it. Only files are read.

    Return None if there is nothing to publish and the request allows that. Raises BakeryError: UsageError for a request
    that contradicts itself, ConfigurationError for files that cannot be used, NothingSelected if nothing is left.
    """
    from bakery.app.origins import OriginRequest, plan_publish

    return plan_publish(request, origin or OriginRequest(), emit=emit)


def publish(plan: Plan, options: PublishOptions | None = None, *, emit: Emit = ignore) -> Outcome:
    """Carry out a plan, and return the outcome of every target at every destination. Failures are in the outcome.

    From the main thread, SIGINT and SIGTERM end the run: Interrupted is raised, with the outcome so far.
    """
    from bakery.app.publishing import PublishOptions
    from bakery.app.publishing import publish as carry_out

    return carry_out(plan, options or PublishOptions(), emit=emit)


def verify(request: VerifyRequest, *, emit: Emit = ignore) -> Audit:
    """Check that what was published is there, whole, and the same at every registry. Registries are only read.

    Raises BakeryError: UsageError for a request that contradicts itself, NothingSelected if there is nothing to check.
    """
    from bakery.app.verifying import verify as check

    return check(request, emit=emit)


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
