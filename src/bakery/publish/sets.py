"""Sets of deliveries whose tags move together or not at all, and the gate in front of the first tag of a run.

A delivery is one target at one destination. Those of a set meet here once everything is staged: only then does its
first tag move. A failure before that moves none; a failure afterwards is for `restore`. Moves no tag itself.
Source: DESIGN.md, "Commit order"; docs/release.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import StrEnum

from msgspec import Struct

from bakery.errors import reason
from bakery.oci.reference import Repository
from bakery.publish.image import AssembledImage
from bakery.publish.outcome import ArtifactOutcome, SetFailed
from bakery.publish.plan import Plan, PlannedTarget
from bakery.publish.progress import DestinationProgress, TargetProgress


class Whole(StrEnum):
    """What is published whole or not at all: each target, the targets of each image, or everything."""

    TARGET = "target"
    IMAGE = "image"
    RUN = "run"


class OnFailure(StrEnum):
    """What happens to the tags of a set that have moved when another one fails."""

    RESTORE = "restore"
    KEEP = "keep"


class Staged(Struct, frozen=True):
    """A delivery in front of its first tag. error: why it is not staged, or why its set holds it back; None if it is.

    image: None if it was never assembled. note: adds a note to the target, once.
    """

    target: PlannedTarget
    repository: Repository
    image: AssembledImage | None
    error: Exception | None = None
    note: Callable[[str], None] = lambda _: None


class Hooks(Struct, frozen=True):
    """What else happens between staging and the first tag. Both may take their time, and both fail by raising.

    after_staging: once for each delivery that is staged, concurrently; returns what it put next to the image, or found
    there. A failure counts as not staged.
    before_commit: once per run, when every delivery is staged or has failed and at least one is staged; a failure is a
    veto: no tag of the run moves.
    """

    after_staging: Callable[[Staged], Awaitable[Sequence[ArtifactOutcome]]] | None = None
    before_commit: Callable[[Sequence[Staged]], Awaitable[None]] | None = None


class Delivery(Struct, frozen=True):
    """One target at one destination."""

    progress: TargetProgress
    place: DestinationProgress

    @property
    def key(self) -> tuple[str, Repository]:
        """What it is known by: the uid of the target, and the repository."""
        return self.progress.target.uid, self.place.destination.repository

    @property
    def name(self) -> str:
        """What users know it by."""
        return f"{self.key[0]} at {self.key[1]}"

    def staged(self, error: Exception | None, *, note: Callable[[str], None] = lambda _: None) -> Staged:
        """Return it for a hook."""
        return Staged(self.progress.target, self.key[1], self.progress.image, error, note)


class ReleaseSet:
    """The deliveries whose tags move together. name: "run", "image app" or "target app-1.0"."""

    def __init__(self, name: str, deliveries: Sequence[Delivery], *, is_whole: bool, restores: bool) -> None:
        self.name, self.deliveries, self.restores = name, tuple(deliveries), restores
        self.settled = asyncio.Event()  # every delivery has ended, and what had to be restored was
        self.is_whole = is_whole
        self._opened = asyncio.Event()
        self._staging = {delivery.key for delivery in deliveries}
        self._running = set(self._staging)
        self._broken = ""  # the first failure, once there was one
        self._failed_early = False  # before any tag of the set could move

    @property
    def broken(self) -> str:
        """The first failure of a delivery, before or while tags moved; "" if there was none."""
        return self._broken

    async def opened(self) -> None:
        """Return when the tags of the set may move. Raises SetFailed if they never will."""
        if self.is_whole:
            await self._opened.wait()
            self.check()

    def check(self) -> None:
        """Raise SetFailed if a failure means that no further tag of the set may move."""
        error = self.held_back()
        if error is not None:
            raise error

    def held_back(self) -> SetFailed | None:
        """Return why no further tag of the set may move, or None if they may."""
        if self._failed_early:
            return SetFailed(f"no tag of the {self.name} moved", why=self._broken)
        if self._broken and self.restores:
            return SetFailed(f"stopped moving the tags of the {self.name}", why=self._broken)
        return None

    def staged(self, delivery: Delivery) -> None:
        """Record that a delivery is staged."""
        self._staging.discard(delivery.key)
        self._open_if_complete()

    def break_off(self, name: str, error: Exception) -> None:
        """Record a failure. name: of what failed."""
        if not isinstance(error, SetFailed) and not self._broken:
            self._broken = f"{name} failed: {reason(error)}"
            self._failed_early = self.is_whole and not self._opened.is_set()

    def end(self, delivery: Delivery) -> bool:
        """Record that a delivery has ended. Return whether it was the last one."""
        self._running.discard(delivery.key)
        self.staged(delivery)
        return not self._running

    def _open_if_complete(self) -> None:
        if not self._staging:
            self._opened.set()


class Release:
    """Every set of a run, and the gate where the whole run waits for `before_commit`."""

    def __init__(
        self,
        plan: Plan,
        targets: Iterable[TargetProgress],
        *,
        whole: Whole | None,
        on_failure: OnFailure | None,
        hooks: Hooks,
    ) -> None:
        self._hooks = hooks
        self._deliveries = [Delivery(progress, place) for progress in targets for place in progress.places]
        default = OnFailure.KEEP if whole is None else OnFailure.RESTORE
        restores = (on_failure or default) is OnFailure.RESTORE
        members: dict[str, list[Delivery]] = {}
        for delivery in self._deliveries:
            members.setdefault(set_name(whole, delivery.progress.target, delivery.name), []).append(delivery)
        self.sets = [
            ReleaseSet(name, deliveries, is_whole=whole is not None, restores=restores)
            for name, deliveries in members.items()
        ]
        self._set_of = {delivery.key: one for one in self.sets for delivery in one.deliveries}
        self._refuse_incomplete(plan, whole)
        self._staging = set(self._set_of)
        self._gathered = asyncio.Event()
        self._asking = asyncio.Lock()
        self._verdict: Exception | None = None
        self._was_asked = False

    def _refuse_incomplete(self, plan: Plan, whole: Whole | None) -> None:
        """What the plan leaves out is not staged: the set that it belongs to is broken from the start."""
        if whole not in (Whole.IMAGE, Whole.RUN):
            return
        for image, uid, error in plan.not_staged:
            for one in self.sets:
                if whole is Whole.RUN or one.name == f"image {image}":
                    one.break_off(uid, error)

    def set_of(self, delivery: Delivery) -> ReleaseSet:
        """Return the set of a delivery."""
        return self._set_of[delivery.key]

    async def prepare(self, delivery: Delivery, *, note: Callable[[str], None]) -> None:
        """Run `after_staging` for a delivery. Raises what it raises. note: called with what the hook notes."""
        if self._hooks.after_staging is not None:
            staged = delivery.staged(None, note=note)
            delivery.place.artifacts = tuple(await self._hooks.after_staging(staged))

    async def may_move(self, delivery: Delivery) -> None:
        """Record that a delivery is staged, and return when its tags may move.

        Raises SetFailed if another delivery of its set failed, and the veto of `before_commit`.
        """
        one = self.set_of(delivery)
        one.staged(delivery)
        self._arrived(delivery)
        if self._hooks.before_commit is not None:
            await self._gathered.wait()
            await self._ask()
        await one.opened()

    def failed(self, delivery: Delivery, error: Exception) -> None:
        """Record that a delivery failed, before or while its tags moved."""
        self.set_of(delivery).break_off(delivery.name, error)
        self._arrived(delivery)

    def end(self, delivery: Delivery) -> bool:
        """Record that a delivery has ended. Return whether it was the last of its set."""
        self._arrived(delivery)
        return self.set_of(delivery).end(delivery)

    def _arrived(self, delivery: Delivery) -> None:
        self._staging.discard(delivery.key)
        if not self._staging:
            self._gathered.set()

    async def _ask(self) -> None:
        """Run `before_commit` once for the run. Raises its veto for every delivery."""
        assert self._hooks.before_commit is not None
        async with self._asking:
            if not self._was_asked:
                try:
                    await self._hooks.before_commit([self._state_of(delivery) for delivery in self._deliveries])
                except Exception as error:  # noqa: BLE001  # the same verdict for every delivery
                    self._verdict = error
                self._was_asked = True
        if self._verdict is not None:
            raise self._verdict

    def _state_of(self, delivery: Delivery) -> Staged:
        failure = delivery.place.failure or delivery.progress.failure
        error = failure.error if failure is not None else self.set_of(delivery).held_back()
        return delivery.staged(error)


def set_name(whole: Whole | None, target: PlannedTarget, delivery: str) -> str:
    """Return the name of the set of a delivery, which is a set by itself, of this name, if nothing is to be whole."""
    match whole:
        case Whole.RUN:
            return "run"
        case Whole.IMAGE:
            return f"image {target.image}"
        case Whole.TARGET:
            return f"target {target.uid}"
        case _:
            return delivery
