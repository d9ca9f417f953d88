"""`--dry-run`: what a publish would do, found by reading the registries. Nothing is written or waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from bakery.app.publishing import PublishOptions
from bakery.errors import BudgetSpent
from bakery.events import Emit, ignore

if TYPE_CHECKING:
    from bakery.publish.forecast import Forecast
    from bakery.publish.plan import Plan

ATTEMPTS: Final = 3  # of each request: a registry that is down is a finding, not something to wait for


def survey(plan: Plan, options: PublishOptions, *, convert: bool = False, emit: Emit = ignore) -> Forecast:
    """Return what a publish of the plan would do. The native engine reads, whichever engine would write.

    convert: read every layer of what is converted to SOCI, so that its digest is known.
    """
    import asyncio

    from bakery.app.engine import make_native
    from bakery.app.hooks import foreseeing
    from bakery.parallel.root import run_interruptible
    from bakery.publish.survey import survey
    from bakery.retry import SystemClock

    options, plan = replace(options, wait_timeout=0.0), options.governed(plan)

    async def surveying() -> Forecast:
        clock = SystemClock()
        engine = make_native(plan, options, emit, clock=clock, attempts=ATTEMPTS)
        async with asyncio.timeout(options.time_budget), foreseeing(plan, options, engine, clock, emit=emit) as foresee:
            return await survey(
                plan,
                engine,
                assembly=options.assembly_options(),
                whole=options.whole(),
                convert=convert,
                foresee=foresee,
                clock=clock,
                emit=emit,
            )

    try:
        return run_interruptible(surveying())
    except TimeoutError:
        why = f"time budget of {options.time_budget:.0f} s exceeded"
        raise BudgetSpent("gave up on the dry run", why=why, hint="raise --time-budget") from None
