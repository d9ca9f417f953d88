"""The imagetools plugin: publishes targets. It puts an engine under a plan, runs it, and gives one result a target.

`ci publish`, `ci merge`, `imagetools publish|merge|soci-convert`, `oras merge` and `soci convert` all end here.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

from bakery.errors import ExecutorInterrupted, ExitCode, UsageError
from bakery.events import Emit, ignore
from bakery.plugin_api import ToolCallResult
from bakery.publish.engine import Engine
from bakery.publish.outcome import Outcome, TargetOutcome
from bakery.publish.pipeline import Run, RunOptions
from bakery.publish.plan import Plan, make_plan

if TYPE_CHECKING:
    import typer

    from bakery.targets.metadata import Metadata
    from bakery.targets.target import Target

ENGINES: Final = ("native", "cli")
JOBS: Final = {"native": 16, "cli": 4}  # a native job is a few small requests at a time, not a process


class Interrupted(ExecutorInterrupted):
    """A signal ended the publish; `outcome` tells what stands."""

    def __init__(self, signum: int, outcome: Outcome) -> None:
        super().__init__(signum, outcome)
        self.outcome = outcome


class Settings(Struct, frozen=True):
    """How a publish is done. context: the project's folder. jobs: targets at once, None: the engine's default.

    wait_limit_s: for the builds of a target. time_budget_s: for the whole run. environment: where credentials,
    proxies, programs and retry variables are read from (pipeline.md 10). Raises UsageError for an unknown engine.
    """

    context: Path = Path()
    engine: str = "native"
    jobs: int | None = None
    wait_limit_s: float = 600.0
    time_budget_s: float = 1800.0
    allow_missing_platforms: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise UsageError("choosing the engine", about=repr(self.engine), hint=f"one of {', '.join(ENGINES)}")

    def run_options(self, targets: int) -> RunOptions:
        """What the pipeline is told."""
        from bakery.parallel.jobs import resolve_max_workers

        return RunOptions(
            jobs=resolve_max_workers(self.jobs, targets, default=JOBS[self.engine], environment=self.environment),
            wait_limit_s=self.wait_limit_s,
            time_budget_s=self.time_budget_s,
            allow_missing_platforms=self.allow_missing_platforms,
            source_date_epoch=_source_date_epoch(self.environment),
        )


def publish(plan: Plan, settings: Settings, *, emit: Emit = ignore) -> Outcome:
    """Carry out a plan. Failures are in the outcome. Raises Interrupted where a signal ended it."""
    from bakery.parallel.root import run_interruptible

    engine = make_engine(plan, settings, emit)
    run = Run(plan, engine, options=settings.run_options(len(plan.targets)), emit=emit)
    try:
        return run_interruptible(run.execute())
    except ExecutorInterrupted as error:
        raise Interrupted(error.signum, run.outcome(interrupted=True, signum=error.signum)) from error


def make_engine(plan: Plan, settings: Settings, emit: Emit) -> Engine:
    """The engine that was asked for, ready to be entered."""
    from bakery.registry.settings import Settings as RegistrySettings
    from bakery.retry import RetryPolicy, SystemClock

    clock, environment = SystemClock(), settings.environment
    deadline = clock.now() + settings.time_budget_s
    if settings.engine == "cli":
        from bakery.engines.cli import CliEngine

        return CliEngine(
            settings.context,
            settings=RegistrySettings.from_environment(environment),
            environment=environment,
            needs_soci=any(target.soci is not None for target in plan.targets),
            clock=clock,
            emit=emit,
            deadline=deadline,
        )
    from bakery.engines.native import NativeEngine
    from bakery.engines.soci_defaults import SociDefaults
    from bakery.registry.client import Client

    client = Client(
        settings=RegistrySettings.from_environment(environment),
        policy=RetryPolicy.from_environment(environment, base_delay=0.5),
        clock=clock,
        emit=emit,
        deadline=deadline,
    )
    client.announce_writes(plan.repositories)
    return NativeEngine(client, soci=SociDefaults.from_environment(environment), towards=plan.repositories)


def dry_run_commands(plan: Plan, environment: Mapping[str, str]) -> list[str]:
    """The command lines of the cli engine. No program need exist: only the names that a variable gives are taken."""
    from bakery.engines.argv import Oras, dry_run_lines
    from bakery.registry.settings import Settings as RegistrySettings

    oras = Oras(environment.get("ORAS_PATH") or "oras", RegistrySettings.from_environment(environment))
    return dry_run_lines(plan, oras, environment.get("SOCI_PATH") or "soci")


class ImagetoolsPlugin:
    """Publishes the targets of a project from build metadata, for whoever calls plugins by name."""

    name = "imagetools"
    description = "Assemble, convert, copy, tag and verify multi-platform images."

    def register_cli(self, app: typer.Typer) -> None:
        """Adds nothing: the commands of built-in plugins are in bakery's own table, which imports them when asked."""

    def execute(
        self,
        base_path: Path,
        targets: Sequence[Target],
        *,
        metadata: Metadata | None = None,
        with_soci: bool = True,
        emit: Emit = ignore,
        **settings: Any,
    ) -> list[ToolCallResult]:
        """Publish those of the targets that the metadata names; one result each, in push order.

        settings: the fields of Settings but for `context`. A result's artifacts are the target's part of the summary.
        """
        from bakery.report.summary import target_json

        if metadata is None:
            raise UsageError("publishing", why="no build metadata was given", hint="pass metadata=read_metadata(…)")
        outcome = publish(make_plan(targets, metadata, with_soci=with_soci), Settings(base_path, **settings), emit=emit)
        by_uid = {target.uid: target for target in targets}
        return [
            ToolCallResult(
                int(_exit_code(one)),
                self.name,
                by_uid[one.uid],
                stdout="",
                stderr="\n".join(str(failure.error) for failure in one.failures),
                artifacts=target_json(one),
            )
            for one in outcome.targets
        ]

    def results(self, results: Sequence[ToolCallResult]) -> None:
        """Print the targets' parts of the summary as JSON, and exit with 1 if any failed."""
        from bakery.report.lines import say

        for result in results:
            if result.exit_code:
                say(f"error: {result.target.uid}: {result.stderr}\n")
        say(json.dumps([result.artifacts for result in results], indent=2) + "\n", sys.stdout)
        if any(result.exit_code for result in results):
            raise SystemExit(ExitCode.FAILED)


def _exit_code(target: TargetOutcome) -> ExitCode:
    return Outcome((target,)).exit_code


def _source_date_epoch(environment: Mapping[str, str]) -> int | None:
    text = environment.get("SOURCE_DATE_EPOCH", "").strip()
    if not text:
        return None
    if not text.isdecimal() or len(text) > 11:
        raise UsageError("reading SOURCE_DATE_EPOCH", about=repr(text), hint="whole seconds since 1970, or unset it")
    return int(text)
