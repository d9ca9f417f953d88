"""Carrying out a plan: the one function behind every publishing command, wherever its plan comes from.

The engines are wired in `app.engine`; where plans come from is in `app.planning`. Nothing is printed: events go to
`emit`, and failures are in the outcome.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct, field

from bakery.defaults import CLI_JOBS, NATIVE_JOBS, TIME_BUDGET_S, WAIT_TIMEOUT_S
from bakery.errors import ExecutorInterrupted, UsageError
from bakery.events import Emit, ignore

if TYPE_CHECKING:
    from bakery.publish.assemble import AssemblyOptions
    from bakery.publish.outcome import Outcome
    from bakery.publish.pipeline import PipelineOptions
    from bakery.publish.plan import Plan
    from bakery.publish.policy import TagPolicy
    from bakery.publish.sets import Hooks, Whole

EngineName = Literal["native", "cli"]
AllOrNothing = Literal["target", "image", "run"]
OnFailure = Literal["restore", "keep"]
_JOBS: Final = {"native": NATIVE_JOBS, "cli": CLI_JOBS}


class Interrupted(ExecutorInterrupted):
    """A signal ended a publish. `outcome` says what is done and what is not."""

    def __init__(self, signum: int, outcome: Outcome) -> None:
        super().__init__(signum, outcome)
        self.outcome = outcome


class PublishOptions(Struct, frozen=True):
    """How a publish runs.

    context: the project's folder; programs of the cli engine are looked up from it. jobs: targets at once; None means
    the engine's default. wait_timeout: seconds to wait for the builds of a target. time_budget: seconds for the whole
    run. all_or_nothing: what is published whole or not at all. on_failure: whether tags that moved are put back when
    another of their set fails; None is restore for a set, else keep. no_downgrade, if_newer, immutable: added to the
    tag policy of every target (publish.policy). keep_previous: prefix of the tags that keep what tags named before.
    referrers: copy what refers to the sources. attach: FILE:MEDIA-TYPE each. sign: the program that signs; sign_key and
    sign_option are for it. before_commit: a command that may veto every tag. delete_sources: of targets that
    are published everywhere. environment: credentials, proxies, programs and retry variables (pipeline.md 10).
    doing: what it is called where it is shown. Raises UsageError for an unknown engine.
    """

    context: Path = Path()
    engine: EngineName = "native"
    jobs: int | None = None
    wait_timeout: float = WAIT_TIMEOUT_S
    time_budget: float = TIME_BUDGET_S
    allow_missing_platforms: bool = False
    allow_extra_platforms: bool = False
    all_or_nothing: AllOrNothing | None = None
    on_failure: OnFailure | None = None
    no_downgrade: bool = False
    if_newer: bool = False
    immutable: tuple[str, ...] = ()
    keep_previous: str = ""
    referrers: bool = False
    attach: tuple[str, ...] = ()
    sign: Literal["cosign"] | None = None
    sign_key: str = ""
    sign_option: tuple[str, ...] = ()
    before_commit: str | None = None
    delete_sources: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    doing: Literal["publish", "convert"] = "publish"

    def __post_init__(self) -> None:
        if self.engine not in _JOBS:
            raise UsageError(f"invalid engine {self.engine!r}", why=f"expected one of: {', '.join(_JOBS)}")

    def governed(self, plan: Plan) -> Plan:
        """Return the plan with what these options add to the tag policy of its targets."""
        from msgspec.structs import replace

        if not (self.no_downgrade or self.if_newer or self.immutable):
            return plan

        def stricter(policy: TagPolicy) -> TagPolicy:
            return policy.stricter(
                no_downgrade=self.no_downgrade, if_newer=self.if_newer, immutable=tuple(self.immutable)
            )

        targets = tuple(replace(target, policy=stricter(target.policy)) for target in plan.targets)
        return replace(plan, targets=targets)

    def assembly_options(self) -> AssemblyOptions:
        """Return what an index may lack or have."""
        from bakery.publish.assemble import AssemblyOptions

        return AssemblyOptions(
            allow_missing_platforms=self.allow_missing_platforms,
            allow_extra_platforms=self.allow_extra_platforms,
            source_date_epoch=_source_date_epoch(self.environment),
        )

    def whole(self) -> Whole | None:
        """Return what is published whole or not at all."""
        from bakery.publish.sets import Whole

        return Whole(self.all_or_nothing) if self.all_or_nothing else None

    def run_options(self, targets: int) -> PipelineOptions:
        """Return the options of the pipeline for so many targets."""
        from bakery.limits import shares
        from bakery.parallel.jobs import resolve_max_workers
        from bakery.publish.keep import check_prefix
        from bakery.publish.pipeline import PipelineOptions
        from bakery.publish.sets import OnFailure

        jobs = resolve_max_workers(self.jobs, targets, default=_JOBS[self.engine], environment=self.environment)
        return PipelineOptions(
            doing=self.doing,
            jobs=min(jobs, shares(1).commands) if self.engine == "cli" else jobs,
            wait_limit_s=self.wait_timeout,
            time_budget_s=self.time_budget,
            assembly=self.assembly_options(),
            whole=self.whole(),
            on_failure=OnFailure(self.on_failure) if self.on_failure else None,
            keep_previous=check_prefix(self.keep_previous),
        )


def publish(plan: Plan, options: PublishOptions, *, emit: Emit = ignore, hooks: Hooks | None = None) -> Outcome:
    """Carry out a plan, and return the outcome of every target at every destination.

    hooks: what happens between staging and the first tag, in place of what the options say about that.
    Call it from the main thread if a signal is to end it: then Interrupted is raised, with the outcome so far.
    """
    from bakery.app.engine import make_engine
    from bakery.app.hooks import Preparations
    from bakery.parallel.root import postpone_end, run_interruptible
    from bakery.publish.pipeline import Pipeline
    from bakery.retry import SystemClock

    plan, clock = options.governed(plan), SystemClock()
    preparations = Preparations(plan, options, emit)
    how, deadline = options.run_options(len(plan.targets)), clock.now() + options.time_budget
    engine = make_engine(plan, options, emit)
    hooks = hooks or preparations.hooks()
    pipeline = Pipeline(plan, engine, options=how, clock=clock, emit=emit, hooks=hooks, postpone_end=postpone_end)

    async def executing() -> Outcome:
        async with preparations.ready(engine, clock, deadline):
            return await pipeline.execute()

    try:
        outcome = run_interruptible(executing())
    except ExecutorInterrupted as error:
        raise Interrupted(error.signum, pipeline.outcome(interrupted=True, signum=error.signum)) from error
    if options.delete_sources:
        from bakery.app.delivered import delete_sources

        try:
            delete_sources(plan, outcome, options, emit=emit)
        except ExecutorInterrupted as error:
            raise Interrupted(error.signum, outcome) from error
    return outcome


def _source_date_epoch(environment: Mapping[str, str]) -> int | None:
    text = environment.get("SOURCE_DATE_EPOCH", "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 11:
        raise UsageError(f"invalid SOURCE_DATE_EPOCH {text!r}", why="expected whole seconds since 1970")
    return int(text)
