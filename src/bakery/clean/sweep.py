"""Clean one repository: decide, then delete what is still to be deleted when it has been looked at again.

A repository is read again right before the first deletion: what was pushed or tagged after the plan was shown is
kept. What is deleted is never more than what was shown. An index goes before its children; if it cannot be deleted,
they stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import groupby

from msgspec.structs import replace

from bakery.clean.criteria import Criteria
from bakery.clean.decision import Findings, decide
from bakery.clean.outcome import Deletion, Fate, NotAllowed, RepositoryOutcome, RepositoryPlan
from bakery.clean.survey import Surveyor
from bakery.errors import BakeryError, NotFound, one_line
from bakery.events import Emit, ManifestDeleted, ManifestDeleting, Noted, StepFinished, StepStarted, TargetFinished
from bakery.oci.digest import Digest
from bakery.oci.reference import DigestReference, Reference
from bakery.tasks import together


class Sweep:
    """One repository of a clean-up. `outcome` works at any moment, also after `delete` was cancelled."""

    def __init__(self, surveyor: Surveyor, criteria: Criteria, *, now: Callable[[], datetime], emit: Emit) -> None:
        self._surveyor, self._criteria, self._now, self._emit = surveyor, criteria, now, emit
        self._outcome = RepositoryOutcome(RepositoryPlan(surveyor.place.repository))
        self._fates: dict[Reference, Deletion] = {}
        self._began = now()
        self._errors: list[BakeryError] = []

    def outcome(self) -> RepositoryOutcome:
        """Return what has become of the repository so far."""
        plan = self._outcome.plan
        deletions = tuple(self._fates.get(one.reference, one) for one in plan.deletions)
        return replace(self._outcome, plan=replace(plan, deletions=deletions), errors=tuple(self._errors))

    def approve(self, planned: RepositoryOutcome) -> None:
        """Take over what another sweep has planned, for `delete`."""
        self._outcome = planned

    async def plan(self) -> None:
        """Decide what is deleted. A failure is in the outcome: then nothing is."""
        with self._step("survey"):
            await self._plan()

    async def _plan(self) -> None:
        try:
            found = await self._surveyor.survey()
            if found is None:
                self._outcome = replace(self._outcome, exists=False)
            else:
                self._outcome = replace(self._outcome, plan=decide(found, self._criteria, self._now()))
        except BakeryError as error:
            self._outcome = replace(self._outcome, failure=error)

    async def delete(self) -> None:
        """Delete what was planned and is still not needed. Failures are in the outcome."""
        planned = self._outcome.plan.deletions
        if planned:
            with self._step("delete"):
                await self._delete_all(planned)

    def end(self, state: str = "done") -> None:
        """Report that nothing more is done with this repository. state: as of TargetFinished."""
        elapsed_s = (self._now() - self._began).total_seconds()
        self._emit(TargetFinished(self._name, "failed" if self._problem else state, elapsed_s))

    @property
    def _name(self) -> str:
        return str(self._outcome.plan.repository)

    @property
    def _problem(self) -> str:
        """Why not everything is done, as one line, or ""."""
        errors = (self._outcome.failure, *self._errors)
        return next((one_line(error) for error in errors if error is not None), "")

    @contextmanager
    def _step(self, step: str) -> Iterator[None]:
        began = self._now()
        self._emit(StepStarted(self._name, step))
        try:
            yield
        finally:
            elapsed_s = (self._now() - began).total_seconds()
            self._emit(StepFinished(self._name, step, elapsed_s, self._problem))

    async def _delete_all(self, planned: Sequence[Deletion]) -> None:
        try:
            found = await self._surveyor.survey()
            again = RepositoryPlan(self._outcome.plan.repository)
            if found is not None:
                again = decide(found, self._criteria, self._now())
        except BakeryError as error:
            self._outcome = replace(self._outcome, failure=error)
            return
        self._spare(planned, again, found)
        approved = {one.reference for one in planned}
        for one in again.deletions:
            if one.reference in approved and isinstance(one.reference, DigestReference):
                self._emit(ManifestDeleting(self._name, self._name, str(one.digest), one.why))
        # What belongs to something that is not deleted: because the plan did not show it, or the registry refused.
        blocked = self._below(again, (one.digest for one in again.deletions if one.reference not in approved))
        for _, batch in groupby((one for one in again.deletions if one.reference in approved), lambda one: one.order):
            done = await together(self._delete(one, one.digest in blocked) for one in batch)
            blocked |= self._below(again, (one.digest for one in done if one.fate not in (Fate.DELETED, Fate.GONE)))

    def _spare(self, planned: Iterable[Deletion], again: RepositoryPlan, found: Findings | None) -> None:
        """Record what is not deleted after all."""
        still = {one.reference for one in again.deletions}
        for one in planned:
            if one.reference in still:
                continue
            is_there = found is not None and one.digest in found.items
            fate, detail = (Fate.KEPT, "something needs it now") if is_there else (Fate.GONE, "")
            self._fates[one.reference] = replace(one, fate=fate, detail=detail)

    async def _delete(self, one: Deletion, is_blocked: bool) -> Deletion:
        if is_blocked:
            done = replace(one, fate=Fate.KEPT, detail="what it belongs to was not deleted")
        else:
            done = await self._attempt(one)
        self._fates[one.reference] = done
        if done.fate is Fate.DELETED:
            self._emit(ManifestDeleted(self._name, str(one.reference), one.why))
        elif done.fate not in (Fate.GONE, Fate.KEPT):
            self._emit(Noted("", f"not deleted: {done.detail}"))
        return done

    async def _attempt(self, one: Deletion) -> Deletion:
        try:
            refusal = await self._surveyor.place.delete(one)
        except BakeryError as error:
            refusal = error
        if refusal is None:
            return replace(one, fate=Fate.DELETED)
        if isinstance(refusal, NotFound):
            return replace(one, fate=Fate.GONE)
        if isinstance(refusal, NotAllowed):
            return replace(one, fate=Fate.REFUSED, detail=one_line(refusal))
        self._errors.append(refusal)
        return replace(one, fate=Fate.FAILED, detail=one_line(refusal))

    @staticmethod
    def _below(plan: RepositoryPlan, digests: Iterable[Digest]) -> set[Digest]:
        found = dict.fromkeys(digests)
        pending = list(found)
        for digest in pending:
            fresh = [name for name in plan.below.get(digest, ()) if name not in found]
            found |= dict.fromkeys(fresh)
            pending += fresh
        return set(found)
