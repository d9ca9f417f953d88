"""A whole run: every target from its builds to its verified tags. Read `_publish` first: it is one target's story.

Targets run side by side as jobs of `parallel.jobs`; only the moving of tags has an order, one repository at a time
(Turnstile). A failure is a value at the border of a target and of a destination: it never stops another one.
Second wall: no tag moves before everything it names is readable at that destination.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct, field

from bakery.errors import BakeryError, BudgetSpent, ConfigurationError, one_line
from bakery.events import Emit, Noted, StepFinished, StepStarted, TagMoved, TargetFinished, ignore
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.parallel.jobs import Job, Slot, run_jobs
from bakery.publish.assemble import assemble, choose, index_annotations, missing_platforms
from bakery.publish.engine import Engine
from bakery.publish.image import Image
from bakery.publish.outcome import (
    DestinationOutcome,
    Failure,
    Outcome,
    PlatformOutcome,
    State,
    Step,
    TagOutcome,
    TargetOutcome,
)
from bakery.publish.plan import LATEST, Destination, Plan, PlannedTarget
from bakery.publish.sources import read_sources, wait_for_sources
from bakery.publish.turnstile import Turnstile
from bakery.retry import Clock, SystemClock
from bakery.tasks import each_to_its_end, together

_log = logging.getLogger(__name__)

WAIT_LIMIT_S: Final = 600.0  # for sources: pipeline.md 5.3
TIME_BUDGET_S: Final = 1800.0
GRACE_S: Final = 1.0  # the engine heeds the budget itself and tells more; this is for what hangs in the middle of it


class RunOptions(Struct, frozen=True):
    """How a run behaves. Times in seconds; source_date_epoch in Unix seconds, None where it is not set."""

    jobs: int = 16
    wait_limit_s: float = WAIT_LIMIT_S
    time_budget_s: float = TIME_BUDGET_S
    allow_missing_platforms: bool = False
    source_date_epoch: int | None = None


class _Place(Struct):
    """What is known of one target at one destination while the run goes on."""

    destination: Destination
    previous: dict[str, Digest | None] = field(default_factory=dict)  # what each tag named before, once read
    asked: set[str] = field(default_factory=set)  # tags whose moving has no answer yet
    written: set[str] = field(default_factory=set)  # tags that this run moved
    verified: set[str] = field(default_factory=set)
    staged: asyncio.Event = field(default_factory=asyncio.Event)  # or failed: it moves no content any more
    step: Step = Step.STAGE  # that it is in, or was in last
    failure: Failure | None = None

    @property
    def is_done(self) -> bool:
        """Whether all that is promised of it is seen there."""
        return self.verified.issuperset(self.destination.tags) and self.step is Step.VERIFY


class _Progress(Struct):
    """What is known of one target while the run goes on. The outcome can be told from it at any moment."""

    target: PlannedTarget
    places: tuple[_Place, ...]
    image: Image | None = None
    notes: list[str] = field(default_factory=list)
    step: Step = Step.PLAN  # that it is in, or was in last
    failure: Failure | None = None
    ended: bool = False
    elapsed_s: float = 0.0


class Run:
    """One publish. `execute` does it; `outcome` tells how it stands, also after `execute` was cancelled."""

    def __init__(
        self,
        plan: Plan,
        engine: Engine,
        *,
        options: RunOptions,
        clock: Clock | None = None,
        emit: Emit = ignore,
    ) -> None:
        self._plan, self._engine, self._options, self._emit = plan, engine, options, emit
        self._clock = clock or SystemClock()
        self._started = self._clock.now()
        self._progress = {
            target.uid: _Progress(target, tuple(_Place(destination) for destination in target.destinations))
            for target in plan.targets
        }
        self._turnstiles = {
            repository: Turnstile([target.uid for target in plan.targets if repository in _repositories(target)])
            for repository in {repository for target in plan.targets for repository in _repositories(target)}
        }

    async def execute(self) -> Outcome:
        """Publish everything that the plan names. Failures are in the outcome; only cancellation is raised."""
        jobs = [Job(uid, self._job(progress), label=uid) for uid, progress in self._progress.items()]
        async with self._engine:
            try:
                async with asyncio.timeout(self._options.time_budget_s + GRACE_S) as budget:
                    results = await run_jobs(jobs, limit=self._options.jobs)
            except TimeoutError:
                if not budget.expired():
                    raise
                self._tell_budget_is_spent()
                return self.outcome()
            for result in results:
                if result.exception is not None:
                    progress = self._progress[result.key]
                    progress.failure = progress.failure or Failure(Step.PLAN, _as_exception(result.exception))
        return self.outcome()

    def _tell_budget_is_spent(self) -> None:
        """Give every target and destination that was not done the failure that says where it stood."""
        for progress in self._progress.values():
            if progress.ended or progress.failure is not None:
                continue
            if progress.image is None:
                sources = ", ".join(str(build.reference) for build in progress.target.builds)
                progress.failure = Failure(progress.step, self._spent(sources))
            for place in progress.places:
                if progress.image is not None and place.failure is None and not place.is_done:
                    place.failure = Failure(place.step, self._spent(str(place.destination.repository)))

    def _spent(self, about: str) -> BudgetSpent:
        return BudgetSpent(
            "waiting for",
            about=about,
            why=f"the {self._options.time_budget_s:.0f} s that the run may take are spent",
            hint="see whether this registry answers, or give more with --time-budget; "
            "run it again, what is there is not sent again",
        )

    def outcome(self, *, interrupted: bool = False, signum: int = 2) -> Outcome:
        """How the run stands."""
        refused = [
            _outcome(_Progress(item.target, (), failure=Failure(Step.PLAN, item.error), ended=True))
            for item in self._plan.refused
        ]
        return Outcome(
            (*refused, *(_outcome(progress) for progress in self._progress.values())),
            self._plan.skipped,
            self._plan.warnings,
            interrupted,
            self._clock.now() - self._started,
            signum,
        )

    def _job(self, progress: _Progress) -> Callable[[Slot], Awaitable[None]]:
        async def run(slot: Slot) -> None:
            started = self._clock.now()
            try:
                await self._publish(progress, slot)
                progress.ended = True
            finally:
                for place in progress.places:
                    self._turnstiles[place.destination.repository].leave(progress.target.uid)
                progress.elapsed_s = self._clock.now() - started
                self._emit(TargetFinished(progress.target.uid, str(_state(progress)), progress.elapsed_s))

        return run

    def _wait_limit_s(self) -> float:
        left_s = self._options.time_budget_s - (self._clock.now() - self._started)
        return min(self._options.wait_limit_s, max(left_s, 0.0))

    async def _publish(self, progress: _Progress, slot: Slot) -> None:
        target = progress.target
        async with self._step(progress, Step.WAIT), slot.released():
            found = await wait_for_sources(
                target, self._engine, limit_s=self._wait_limit_s(), clock=self._clock, emit=self._emit
            )
        async with self._step(progress, Step.ASSEMBLE):
            holdings = await read_sources(target, self._engine, found)
            children, notes = choose(holdings.builds)
            self._check_platforms(progress, missing_platforms(children, target.platforms))
            facts = [fact for child in children if (fact := holdings.facts.get(child.descriptor.digest)) is not None]
            annotations = index_annotations(target.annotations, facts, self._options.source_date_epoch)
            image = assemble(children, annotations, notes)
            self._note(progress, notes)
        if target.soci is not None:
            async with self._step(progress, Step.SOCI):
                image = await self._engine.convert(image, target.soci, towards=_repositories(target))
                self._note(progress, image.notes)
        progress.image = image
        async with asyncio.TaskGroup() as group:
            deliveries = [group.create_task(self._deliver(progress, place, image)) for place in progress.places]
            for place in progress.places:
                await place.staged.wait()
            async with slot.released():  # what is left waits for other targets, and is small
                await asyncio.wait(deliveries)
            for delivery in deliveries:
                delivery.result()  # one that something else cancelled has told no failure, and is no success

    async def _deliver(self, progress: _Progress, place: _Place, image: Image) -> None:
        """One destination: stage, wait for its turn, move the tags, verify. No other destination is waited for."""
        turnstile, uid = self._turnstiles[place.destination.repository], progress.target.uid
        try:
            await self._stage(progress, place, image)
            place.staged.set()
            if place.failure is not None:
                return
            turnstile.arrive(uid)
            await turnstile.turn(uid)
            async with self._step(progress, Step.COMMIT, place):
                await self._move_tags(progress, place, image)
        finally:
            place.staged.set()  # whatever ended it: somebody waits for this
            turnstile.leave(uid)
        if place.failure is None:
            async with self._step(progress, Step.VERIFY, place):
                await each_to_its_end(self._verify(place, image, tag) for tag in place.destination.tags)

    async def _stage(self, progress: _Progress, place: _Place, image: Image) -> None:
        async with self._step(progress, Step.STAGE, place):
            await together([self._engine.stage(image, place.destination.repository), self._remember_tags(place)])

    async def _remember_tags(self, place: _Place) -> None:
        place.previous = dict(await self._engine.read_tags(place.destination.repository, place.destination.tags))

    async def _move_tags(self, progress: _Progress, place: _Place, image: Image) -> None:
        moving = [tag for tag in place.destination.tags if place.previous[tag] != image.digest]
        # `latest` last: some registries list tags by push time. The others of one target go side by side.
        for batch in ([tag for tag in moving if tag != LATEST], [tag for tag in moving if tag == LATEST]):
            await each_to_its_end(self._move_tag(progress, place, image, tag) for tag in batch)

    async def _move_tag(self, progress: _Progress, place: _Place, image: Image, tag: str) -> None:
        reference, previous = place.destination.repository.with_tag(tag), place.previous[tag]
        place.asked.add(tag)
        try:
            await self._engine.tag(image, reference, previous=previous)
        except Exception:
            place.asked.discard(tag)  # refused; one that is cancelled stays: nobody knows
            raise
        place.asked.discard(tag)
        place.written.add(tag)
        self._emit(TagMoved(progress.target.uid, str(reference), str(image.digest), str(previous or "")))

    async def _verify(self, place: _Place, image: Image, tag: str) -> None:
        reference = place.destination.repository.with_tag(tag)
        await self._engine.verify_tag(image, reference, previous=place.previous[tag])
        place.verified.add(tag)

    def _check_platforms(self, progress: _Progress, missing: Sequence[str]) -> None:
        if not missing:
            return
        names = ", ".join(missing)
        if not self._options.allow_missing_platforms:
            raise BakeryError(
                "assembling the platforms",
                why=f"bakery.yaml declares {names}, and no build has it",
                hint="build the missing platform, or give --allow-missing-platforms",
            )
        self._note(progress, (f"published without {names}, which bakery.yaml declares",))

    def _note(self, progress: _Progress, notes: Sequence[str]) -> None:
        for note in notes:
            if note not in progress.notes:
                progress.notes.append(note)
                self._emit(Noted(progress.target.uid, note))

    @asynccontextmanager
    async def _step(self, progress: _Progress, step: Step, place: _Place | None = None) -> AsyncIterator[None]:
        """Tell of a step, and keep its failure: in the place where there is one, else as the end of the target."""
        started, uid = self._clock.now(), progress.target.uid
        name = f"{step} {place.destination.repository}" if place else str(step)
        (place or progress).step = step
        self._emit(StepStarted(uid, name))
        try:
            yield
        except Exception as error:
            _log.debug("%s failed in %s", uid, name, exc_info=error)
            self._emit(StepFinished(uid, name, self._clock.now() - started, one_line(error)))
            if place is None:
                progress.failure = Failure(step, error)
                raise
            place.failure = Failure(step, error)
        else:
            self._emit(StepFinished(uid, name, self._clock.now() - started))


def _repositories(target: PlannedTarget) -> tuple[Repository, ...]:
    return tuple(destination.repository for destination in target.destinations)


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else ConfigurationError("running a job", why=repr(error))


def _outcome(progress: _Progress) -> TargetOutcome:
    target, image = progress.target, progress.image
    return TargetOutcome(
        target.uid,
        target.image,
        target.version,
        target.variant,
        target.os,
        _state(progress),
        image.digest if image else None,
        _platforms(image) if image else (),
        tuple(_place_outcome(place, progress) for place in progress.places),
        progress.failure,
        tuple(progress.notes),
        progress.elapsed_s,
    )


def _state(progress: _Progress) -> State:
    if progress.failure is not None or any(place.failure for place in progress.places):
        return State.FAILED
    if not progress.ended:
        return State.STOPPED
    return State.PUBLISHED if any(place.written for place in progress.places) else State.UNCHANGED


def _place_outcome(place: _Place, progress: _Progress) -> DestinationOutcome:
    tags = tuple(_tag_outcome(place, tag) for tag in place.destination.tags)
    if place.failure is not None or progress.failure is not None:
        state = State.FAILED
    elif any(tag.state in (State.STOPPED, State.UNSURE, State.MOVED) for tag in tags):
        state = State.STOPPED
    else:
        state = State.PUBLISHED if place.written else State.UNCHANGED
    return DestinationOutcome(place.destination.repository, state, tags, place.failure)


def _tag_outcome(place: _Place, tag: str) -> TagOutcome:
    if tag in place.verified:
        state = State.PUBLISHED if tag in place.written else State.UNCHANGED
    elif tag in place.written:
        state = State.MOVED
    elif tag in place.asked:
        state = State.UNSURE
    else:
        state = State.FAILED if place.failure else State.STOPPED
    return TagOutcome(tag, state, place.previous.get(tag))


def _platforms(image: Image) -> tuple[PlatformOutcome, ...]:
    return tuple(
        PlatformOutcome(
            str(child.descriptor.platform or ""),
            child.descriptor.digest,
            sum(blob.size for blob in child.manifest.blobs),
            len(child.manifest.layers),
        )
        for child in image.children
        if child.is_image
    )
