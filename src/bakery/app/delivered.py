"""Deleting the builds of targets that are published and verified everywhere: --delete-sources.

As `bakery clean` does it: what another build or a tag of the repository needs stays. A refusal is only a note.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from bakery.app.clean import CleanOptions, delete, survey
from bakery.clean.known import Known
from bakery.clean.outcome import Fate
from bakery.errors import BakeryError, one_line
from bakery.events import Emit, Event, ManifestDeleted, ManifestDeleting, Noted
from bakery.oci.digest import Digest
from bakery.oci.reference import DigestReference, Repository
from bakery.publish.outcome import State
from bakery.text import plural

if TYPE_CHECKING:
    from bakery.app.publishing import PublishOptions
    from bakery.publish.outcome import Outcome
    from bakery.publish.plan import Plan, PlannedTarget


def delete_sources(plan: Plan, outcome: Outcome, options: PublishOptions, *, emit: Emit) -> None:
    """Delete the sources of every target that is complete. Never raises for what a registry refuses."""
    done = {
        target.uid
        for target in outcome.targets
        if target.state in (State.PUBLISHED, State.REPAIRED, State.UNCHANGED) and target.destinations
    }
    finished = [target for target in plan.targets if target.uid in done]
    unfinished = [target for target in plan.targets if target.uid not in done]
    unfinished += [item.target for item in plan.refused]
    needed = {reference.digest for reference in _sources(unfinished)}
    manifests: dict[Repository, dict[Digest, datetime | None]] = defaultdict(dict)
    for reference in _sources([*finished, *unfinished]):
        manifests[reference.repository][reference.digest] = None
    for repository in plan.repositories:
        if manifests.pop(repository, None) is not None:
            emit(Noted("", f"the builds in {repository} are not deleted: images are published there", warning=False))
    wanted = {reference.repository for reference in _sources(finished) if reference.digest not in needed}
    known = Known(manifests, frozenset(needed))
    for repository in sorted(wanted & manifests.keys()):
        try:
            cleaning = CleanOptions(named=True, time_budget=options.time_budget, environment=options.environment)
            planned = survey([repository], cleaning, known=known)
            result = delete(planned, cleaning, known=known, emit=_of_publish(emit)) if planned.deletions else planned
        except BakeryError as error:
            emit(Noted("", f"the builds in {repository} are not deleted: {one_line(error)}"))
            continue
        for place in result.repositories:
            if place.failure is not None:
                emit(Noted("", f"the builds in {repository} are not deleted: {one_line(place.failure)}"))
        if count := sum(one.fate is Fate.DELETED for one in result.deletions):
            emit(Noted("", f"deleted {plural(count, 'manifest')} of builds in {repository}", warning=False))


def _of_publish(emit: Emit) -> Emit:
    """Return an Emit for a clean-up that is a part of a publish: not a run of its own, with repositories as targets."""

    def emit_part(event: Event) -> None:
        if isinstance(event, ManifestDeleting | ManifestDeleted | Noted):
            emit(event)

    return emit_part


def _sources(targets: Iterable[PlannedTarget]) -> list[DigestReference]:
    references = (source.reference for target in targets for source in target.sources)
    return [reference for reference in references if isinstance(reference, DigestReference)]
