"""What a run would do as JSON: the plan, and what the survey of the registries adds to it. Pure."""

from __future__ import annotations

from typing import Any

from bakery.errors import code_of, hint_of, reason
from bakery.oci.annotation import format_time
from bakery.publish.forecast import DestinationForecast, Forecast, TagForecast, TargetForecast
from bakery.publish.plan import Destination, Plan, PlannedTarget, RefusedTarget, Source
from bakery.report.documents import (
    PlanDocument,
    PlannedDestination,
    PlannedSource,
    PlannedTag,
    PlannedTargetRecord,
    Problem,
    RefusedRecord,
    SurveyRecord,
    problem,
)
from bakery.report.records import members
from bakery.report.summary_format import SkippedRecord
from bakery.text import clean


def planned_json(plan: Plan, found: Forecast | None) -> dict[str, Any]:
    """Return the plan as a JSON value, with what the survey found; without one, the members that it fills are null."""
    surveyed = found.targets if found is not None else (None,) * len(plan.targets)
    document = PlanDocument(
        targets=tuple(_target(target, seen) for target, seen in zip(plan.targets, surveyed, strict=True)),
        refused=tuple(map(_refused, plan.refused)),
        skipped=tuple(SkippedRecord(uid=item.uid, reason=clean(item.reason)) for item in plan.skipped),
        warnings=tuple(map(clean, plan.warnings)),
        survey=None if found is None else _survey(found),
    )
    return members(document)


def _survey(found: Forecast) -> SurveyRecord:
    cost = found.cost
    return SurveyRecord(
        would_fail=found.would_fail,
        send_bytes=cost.send_bytes,
        send_blobs=cost.send_blobs,
        mount_blobs=cost.mount_blobs,
        requests=cost.requests,
        estimated_s=round(cost.seconds, 1),
    )


def _target(target: PlannedTarget, seen: TargetForecast | None) -> PlannedTargetRecord:
    forecasts = seen.destinations if seen is not None else (None,) * len(target.destinations)
    return PlannedTargetRecord(
        uid=target.uid,
        image_name=target.image,
        version=target.version,
        os=target.os or None,
        variant=target.variant or None,
        platforms=target.platforms,
        sources=tuple(map(_source, target.sources)),
        destinations=tuple(_destination(*both) for both in zip(target.destinations, forecasts, strict=True)),
        annotations=dict(target.annotations),
        soci=target.soci is not None,
        digest=str(seen.digest) if seen is not None and seen.digest is not None else None,
        platforms_found=None if seen is None else seen.platforms,
        platforms_missing=None if seen is None else seen.missing_platforms,
        error=None if seen is None else _problem(seen.failure),
        notes=None if seen is None else tuple(map(clean, seen.notes)),
    )


def _source(source: Source) -> PlannedSource:
    return PlannedSource(
        reference=str(source.reference),
        platform=str(source.platform) if source.platform else None,
        created=format_time(source.created) if source.created else None,
    )


def _destination(place: Destination, seen: DestinationForecast | None) -> PlannedDestination:
    return PlannedDestination(
        repository=str(place.repository),
        tags=place.tags,
        changes=None if seen is None else tuple(map(_tag, seen.tags)),
        blobs_lacking=None if seen is None else len(seen.lacking),
        manifests_lacking=None if seen is None else seen.manifests,
        error=None if seen is None else _problem(seen.failure),
    )


def _tag(tag: TagForecast) -> PlannedTag:
    return PlannedTag(
        tag=tag.tag,
        change=tag.change,
        now=str(tag.now) if tag.now else None,
        then=str(tag.then) if tag.then else None,
        reason=clean(tag.reason) or None,
    )


def _refused(item: RefusedTarget) -> RefusedRecord:
    error = item.error
    return RefusedRecord(uid=item.target.uid, code=code_of(error), reason=reason(error), hint=hint_of(error) or None)


def _problem(error: Exception | None) -> Problem | None:
    return None if error is None else problem(error)
