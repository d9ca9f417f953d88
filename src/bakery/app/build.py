"""`bakery build`: the plan of a build, carrying it out, and checking its Containerfiles.

Nothing is printed: events go to `emit`, and failures are in the outcome.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from bakery.app.selecting import Filters
from bakery.build.options import BuildOptions
from bakery.errors import BakeryError, ExecutorInterrupted, NothingSelected, UsageError
from bakery.events import Emit, Noted, RunStarted, RunTarget, ignore
from bakery.files import WRITABLE_HINT, cannot_write

if TYPE_CHECKING:
    from bakery.build.check import CheckResult
    from bakery.build.outcome import BuildOutcome
    from bakery.build.plan import BuildPlan, PlannedBuild
    from bakery.retry import Clock

KEPT_PLAN: Final = ".bakery-bake.json"
"""The file in the context that `--no-clean` leaves."""


class BuildRequest(Struct, frozen=True):
    """What to build and how. strict: unknown keys and tags that two targets claim are errors."""

    context: Path
    filters: Filters = Filters()
    options: BuildOptions = BuildOptions()
    strict: bool = False


class Interrupted(ExecutorInterrupted):
    """A signal ended a build. `outcome` says what is built and what is not."""

    def __init__(self, signum: int, outcome: BuildOutcome) -> None:
        super().__init__(signum, outcome)
        self.outcome = outcome


def plan_build(request: BuildRequest, *, emit: Emit = ignore) -> BuildPlan:
    """Return what is to be built. Raises NothingSelected if no target passes the filters."""
    from bakery.app.reading import targets
    from bakery.build.plan import plan_builds
    from bakery.targets.labels import created

    filters = request.filters
    selected = targets(request.context, filters, strict=request.strict, emit=emit)
    plan = plan_builds(
        request.context.absolute(), selected, request.options, platforms=filters.image_platform, created=created()
    )
    for uid in plan.left_out:
        emit(Noted(uid, "not built: it has none of the platforms that --image-platform selects"))
    if not plan.builds and not filters.allow_empty:
        raise NothingSelected(
            "cannot find a target to build",
            why=f"no target passes {filters.described()}",
            hint="run `bakery get targets` to list the targets",
        )
    return plan


def bake_plan(plan: BuildPlan) -> dict[str, Any]:
    """Return the bake file for `docker buildx bake`."""
    from bakery.build.plan import bake_file

    return bake_file(plan)


def build(
    plan: BuildPlan,
    *,
    environment: Mapping[str, str] = os.environ,
    emit: Emit = ignore,
    clock: Clock | None = None,
) -> BuildOutcome:
    """Build, and return what became of every target. The metadata file is written whatever happens to them.

    Raises ConfigurationError if a Containerfile is missing, BakeryError if nothing can be built here, and Interrupted
    after a signal.
    """
    from bakery.build.metadata import write_file
    from bakery.build.preflight import check_files
    from bakery.build.run import BuildRun
    from bakery.parallel.root import run_interruptible, scratch_directory

    check_files(plan)
    if not plan.options.clean:
        _keep_plan(plan, emit)
    with scratch_directory("bakery-build-") as work:
        run = BuildRun(plan, work, environment=environment, emit=emit, clock=clock)
        try:
            if plan.builds:
                emit(RunStarted("build", tuple(map(_described, plan.builds))))
                run_interruptible(run.execute())
        except ExecutorInterrupted as error:
            raise Interrupted(error.signum, run.outcome(signum=error.signum)) from error
        finally:
            if plan.options.metadata_file is not None and (run.started or not plan.builds):
                write_file(plan.options.metadata_file.absolute(), run.entries())
        return run.outcome()


def _described(build: PlannedBuild) -> RunTarget:
    target = build.target
    return RunTarget(target.uid, target.image, target.version, target.os or "", target.variant or "", build.platforms)


def check(plan: BuildPlan, *, environment: Mapping[str, str] = os.environ) -> tuple[CheckResult, ...]:
    """Check every Containerfile of a plan without building anything, and return the results in target order.

    Raises ConfigurationError if a Containerfile is missing, and BakeryError if they cannot be checked here.
    """
    from bakery.build.preflight import check_files
    from bakery.build.run import check_containerfiles
    from bakery.parallel.root import run_interruptible

    check_files(plan)
    return run_interruptible(check_containerfiles(plan, environment=environment)) if plan.builds else ()


def _keep_plan(plan: BuildPlan, emit: Emit) -> None:
    file = plan.context / KEPT_PLAN
    try:
        file.write_text(f"{json.dumps(bake_plan(plan), indent=2)}\n", encoding="utf-8")
    except OSError as error:
        raise BakeryError("cannot write the plan to", about=file, why=error.strerror or str(error)) from error
    emit(Noted("", f"the plan is kept in {file}", warning=False))


def check_options(options: BuildOptions) -> None:
    """Raise UsageError for options that cannot be used together, or a file that cannot be written."""
    file = options.metadata_file
    # It is written by a rename, so a new file in its folder must be possible as well.
    if file is not None and (why := cannot_write(file) or cannot_write(file.with_name(f".{file.name}.new"))):
        raise UsageError("invalid value for --metadata-file", about=repr(str(file)), why=why, hint=WRITABLE_HINT)
