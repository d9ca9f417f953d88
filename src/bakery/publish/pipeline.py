"""A whole run: every target from its builds to its verified tags. Read `_publish` first: it is the way of one target.

Targets run concurrently as jobs of `parallel.jobs`; only the moving of tags has an order, per repository (CommitOrder).
A failure is a value at the border of a target and of a destination: any exception ends only that one, a bug included.
No tag moves before everything that it names is readable at that destination.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Final

from msgspec import Struct

from bakery.defaults import NATIVE_JOBS, TIME_BUDGET_S, WAIT_TIMEOUT_S
from bakery.errors import BakeryError, BudgetSpent, one_line, reason
from bakery.events import (
    Emit,
    Noted,
    RunFinished,
    RunPlace,
    RunStarted,
    RunTarget,
    StepFinished,
    StepStarted,
    TargetFinished,
    ignore,
    working_for,
)
from bakery.oci.reference import Repository
from bakery.parallel.jobs import Job, Slot, run_jobs
from bakery.publish.assemble import AssemblyOptions, assemble_target
from bakery.publish.commit import CommitOrder, Moves, TagMover
from bakery.publish.engine import Engine
from bakery.publish.govern import Governor
from bakery.publish.image import AssembledImage
from bakery.publish.keep import keep_previous
from bakery.publish.outcome import Failure, Outcome, State, Step
from bakery.publish.plan import Plan, PlannedTarget
from bakery.publish.progress import DestinationProgress, TargetProgress
from bakery.publish.read import read_sources
from bakery.publish.restore import IN_FLIGHT_S, INTERRUPTED_S, restore_set
from bakery.publish.sets import Delivery, Hooks, OnFailure, Release, ReleaseSet, Whole
from bakery.publish.sources import wait_for_sources
from bakery.publish.stage import stage
from bakery.publish.verify import verify_tags
from bakery.retry import Clock, SystemClock

_log = logging.getLogger(__name__)

GRACE_S: Final = 1.0  # the engine obeys the budget itself and reports more; this is for an engine that hangs


class PipelineOptions(Struct, frozen=True):
    """How a run behaves. Times in seconds. doing: what it is called in events.

    whole: what is published whole or not at all; None is each delivery for itself. on_failure: what happens to tags
    that moved when another of their set fails; None is RESTORE for a set and KEEP without one. keep_previous: prefix of
    the tags that keep what other tags named before; "" keeps nothing.
    """

    doing: str = "publish"
    jobs: int = NATIVE_JOBS
    wait_limit_s: float = WAIT_TIMEOUT_S
    time_budget_s: float = TIME_BUDGET_S
    assembly: AssemblyOptions = AssemblyOptions()
    whole: Whole | None = None
    keep_previous: str = ""
    on_failure: OnFailure | None = None


class Pipeline:
    """Publishes one plan. `execute` does it; `outcome` works at any moment, also after `execute` was cancelled."""

    def __init__(
        self,
        plan: Plan,
        engine: Engine,
        *,
        options: PipelineOptions,
        clock: Clock | None = None,
        emit: Emit = ignore,
        hooks: Hooks | None = None,
        postpone_end: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Prepare a run. postpone_end: called when an interrupt must wait so many seconds for tags to be restored."""
        self._plan, self._engine, self._options, self._emit = plan, engine, options, emit
        self._clock = clock or SystemClock()
        self._started = self._clock.now()
        self._progress = {
            target.uid: TargetProgress(target, tuple(DestinationProgress(place) for place in target.destinations))
            for target in plan.targets
        }
        self._release = Release(
            plan, self._progress.values(), whole=options.whole, on_failure=options.on_failure, hooks=hooks or Hooks()
        )
        self._moves, self._postpone_end = Moves(), postpone_end
        self._orders = {
            repository: CommitOrder([target.uid for target in plan.targets if repository in _repositories(target)])
            for repository in plan.repositories
        }

    async def execute(self) -> Outcome:
        """Publish everything in the plan. Failures are in the outcome; cancellation is raised.

        A BakeryError of an engine that cannot start is raised too. Any later failure of the engine, such as one in its
        shutdown, belongs to the targets that have not ended; if all have, it is a warning.
        """
        with self._reported():
            started = False
            try:
                async with self._engine:
                    started = True
                    try:
                        await self._run_jobs()
                    finally:
                        await self._end_moves()
            except Exception as error:
                if not started and isinstance(error, BakeryError):
                    raise
                _log.debug("the engine failed", exc_info=error)
                failure = error
                if not self._fail_unfinished(lambda _: failure):
                    self._emit(Noted("", f"the engine did not shut down cleanly: {reason(error)}"))
            return self.outcome()

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Report the beginning and the end of the run, and the targets that never start."""
        planned = (*(item.target for item in self._plan.refused), *self._plan.targets)
        self._emit(RunStarted(self._options.doing, tuple(map(_described, planned))))
        for item in self._plan.refused:
            self._emit(StepStarted(item.target.uid, str(Step.PLAN)))
            self._emit(StepFinished(item.target.uid, str(Step.PLAN), 0.0, one_line(item.error)))
            self._emit(TargetFinished(item.target.uid, str(State.FAILED), 0.0))
        state = "interrupted"
        try:
            yield
            state = "failed" if self.outcome().failures else "done"
        except Exception:
            state = "failed"
            raise
        finally:
            self._emit(RunFinished(state, self._clock.now() - self._started))

    async def _run_jobs(self) -> None:
        jobs = [Job(uid, partial(self._run_target, progress), uid) for uid, progress in self._progress.items()]
        try:
            async with asyncio.timeout(self._options.time_budget_s + GRACE_S) as budget:
                results = await run_jobs(jobs, limit=self._options.jobs)
        except TimeoutError:
            if not budget.expired():
                raise
            self._fail_unfinished(self._budget_spent)
            return
        for result in results:
            progress = self._progress[result.key]
            if result.exception is not None and progress.failure is None:
                error = BakeryError("cannot finish the target", why=f"it was ended by {result.exception!r}")
                progress.failure = Failure(progress.step, error)

    async def _end_moves(self) -> None:
        """After an interrupt or the end of the budget: restore the sets whose tags were moving."""
        broken = [one for one in self._release.sets if one.restores and not one.settled.is_set() and _has_begun(one)]
        if not broken:
            await self._moves.end(within_s=0)
            return

        async def restore() -> None:  # in a task of its own: this one is being cancelled
            await self._moves.end(within_s=IN_FLIGHT_S)
            left_s = INTERRUPTED_S - IN_FLIGHT_S
            await asyncio.gather(*(restore_set(one, self._engine, emit=self._emit, within_s=left_s) for one in broken))

        self._postpone_end(INTERRUPTED_S + GRACE_S)
        await asyncio.wait({asyncio.ensure_future(restore())})

    def outcome(self, *, interrupted: bool = False, signum: int = 2) -> Outcome:
        """Return what has become of every target so far."""
        refused = [
            TargetProgress(item.target, failure=Failure(Step.PLAN, item.error), ended=True)
            for item in self._plan.refused
        ]
        return Outcome(
            tuple(progress.outcome() for progress in (*refused, *self._progress.values())),
            self._plan.skipped,
            self._plan.warnings,
            interrupted,
            self._clock.now() - self._started,
            signum,
        )

    async def _run_target(self, progress: TargetProgress, slot: Slot) -> None:
        started, uid = self._clock.now(), progress.target.uid
        working_for.set(uid)  # in the task of this job
        try:
            await self._publish(progress, slot)
            progress.ended = True
        except Exception as error:  # noqa: BLE001  # the border of a target
            progress.failure = Failure(progress.step, error)
        finally:
            for place in progress.places:
                self._orders[place.destination.repository].leave(uid)
                self._leave(Delivery(progress, place))
            progress.elapsed_s = self._clock.now() - started
            self._emit(TargetFinished(uid, str(progress.state), progress.elapsed_s))

    async def _publish(self, progress: TargetProgress, slot: Slot) -> None:
        target, engine, options = progress.target, self._engine, self._options
        async with self._step(progress, Step.WAIT), slot.released():
            limit_s = min(options.wait_limit_s, self._left_s())
            found = await wait_for_sources(target, engine, limit_s=limit_s, clock=self._clock, emit=self._emit)
        async with self._step(progress, Step.ASSEMBLE):
            image = assemble_target(target, await read_sources(target, engine, found), options.assembly)
            self._note(progress, image.notes)
        if target.soci is not None:
            async with self._step(progress, Step.SOCI):
                image = await engine.convert(image, target.soci, towards=_repositories(target))
                self._note(progress, image.notes)
        progress.image = image
        async with asyncio.TaskGroup() as group:
            deliveries = [group.create_task(self._deliver(progress, place, image)) for place in progress.places]
            for place in progress.places:
                await place.staged.wait()
            async with slot.released():  # what remains waits for other targets and is small
                await asyncio.wait(deliveries)
            for delivery in deliveries:
                delivery.result()  # raises if something else cancelled it: then it has no failure, and no success

    async def _deliver(self, progress: TargetProgress, place: DestinationProgress, image: AssembledImage) -> None:
        """Stage, commit and verify at one destination, without waiting for any other but those of its set."""
        order, uid = self._orders[place.destination.repository], progress.target.uid
        delivery = Delivery(progress, place)
        try:
            async with self._step(progress, Step.STAGE, place):
                governor = self._governor(progress, place, image)
                foresee = partial(governor.foresee, is_whole=self._release.set_of(delivery).is_whole)
                await stage(image, place, self._engine, judge=foresee)
                await self._release.prepare(delivery, note=lambda text: self._note(progress, [text]))
            mover = TagMover(
                image, place, self._engine, governor, moves=self._moves, clock=self._clock, uid=uid, emit=self._emit
            )
            place.staged.set()
            order.staged(uid)
            await self._release.may_move(delivery)
            await order.turn(uid)
            self._release.set_of(delivery).check()
            async with self._step(progress, Step.COMMIT, place):
                await self._keep(place, governor, image)
                await mover.move_all()
            order.leave(uid)
            async with self._step(progress, Step.VERIFY, place):
                await mover.move_again()
                await verify_tags(image, place, self._engine)
            place.step = Step.COMMIT if place.refused else place.step
            governor.check()
        except Exception as error:  # noqa: BLE001  # the border of a destination
            place.failure = Failure(place.step, error)
            self._release.failed(delivery, error)
        finally:
            place.staged.set()
            order.leave(uid)
        await self._settle(delivery)

    async def _keep(self, place: DestinationProgress, governor: Governor, image: AssembledImage) -> None:
        if prefix := self._options.keep_previous:
            versions = governor.versions
            await keep_previous(place, self._engine, prefix, ours=image.digest, versions=versions, emit=self._emit)

    def _governor(self, progress: TargetProgress, place: DestinationProgress, image: AssembledImage) -> Governor:
        def note(text: str) -> None:
            self._note(progress, [text])

        return Governor(progress.target, image, place, self._engine, clock=self._clock, note=note)

    async def _settle(self, delivery: Delivery) -> None:
        """Return when every delivery of the set has ended, and its tags were restored if one of them failed."""
        one = self._release.set_of(delivery)
        if not self._release.end(delivery):
            await one.settled.wait()
            return
        if one.broken and one.restores:
            await restore_set(one, self._engine, emit=self._emit)  # if it is cancelled, _end_moves continues
        one.settled.set()

    def _leave(self, delivery: Delivery) -> None:
        """Record a delivery whose target ended before it could be staged. It does nothing for any other."""
        failure = delivery.progress.failure
        if failure is not None:
            self._release.failed(delivery, failure.error)
        one = self._release.set_of(delivery)
        if self._release.end(delivery) and not _has_begun(one):
            one.settled.set()

    @asynccontextmanager
    async def _step(
        self, progress: TargetProgress, step: Step, place: DestinationProgress | None = None
    ) -> AsyncIterator[None]:
        """Report a step of a target, or of one of its destinations."""
        started, uid = self._clock.now(), progress.target.uid
        name = f"{step} {place.destination.repository}" if place else str(step)
        (place or progress).step = step
        self._emit(StepStarted(uid, name))
        try:
            yield
        except Exception as error:
            _log.debug("%s failed in %s", uid, name, exc_info=error)
            self._emit(StepFinished(uid, name, self._clock.now() - started, one_line(error)))
            raise
        else:
            self._emit(StepFinished(uid, name, self._clock.now() - started))

    def _note(self, progress: TargetProgress, notes: Sequence[str]) -> None:
        for note in notes:
            if note not in progress.notes:
                progress.notes.append(note)
                self._emit(Noted(progress.target.uid, note))

    def _left_s(self) -> float:
        return max(0.0, self._options.time_budget_s - (self._clock.now() - self._started))

    def _fail_unfinished(self, error: Callable[[str], Exception]) -> bool:
        """Record an error where each unfinished target and destination was. Return whether there was one.

        error: returns the error for the sources or the destination in its argument.
        """
        before = len(self.outcome().failures)
        for progress in self._progress.values():
            if progress.ended or progress.failure is not None:
                continue
            if progress.image is None:
                sources = ", ".join(str(source.reference) for source in progress.target.sources)
                progress.failure = Failure(progress.step, error(sources))
            for place in progress.places:
                if progress.image is not None and place.failure is None and not place.is_done:
                    place.failure = Failure(place.step, error(str(place.destination.repository)))
        return len(self.outcome().failures) > before

    def _budget_spent(self, about: str) -> BudgetSpent:
        return BudgetSpent(
            "gave up on",
            about=about,
            why=f"time budget of {self._options.time_budget_s:.0f} s exceeded",
            hint="run it again to continue (existing content is not uploaded again), or raise --time-budget",
        )


def _has_begun(one: ReleaseSet) -> bool:
    return any(delivery.place.begun for delivery in one.deliveries)


def _repositories(target: PlannedTarget) -> tuple[Repository, ...]:
    return tuple(destination.repository for destination in target.destinations)


def _described(target: PlannedTarget) -> RunTarget:
    return RunTarget(
        target.uid,
        target.image,
        target.version,
        target.os,
        target.variant,
        target.platforms,
        tuple(RunPlace(str(place.repository), tuple(place.tags)) for place in target.destinations),
    )
