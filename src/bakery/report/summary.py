"""The outcome of a run as JSON. Pure. `report.merging` merges the summaries of several runs.

The JSON has the members of pipeline.md 6.2, and digests, states and failures. An unknown size is null, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bakery.errors import code_of, hint_of, reason
from bakery.publish.outcome import DestinationOutcome, Outcome, State, TargetOutcome
from bakery.report.merging import totals
from bakery.report.model import Run
from bakery.report.records import members
from bakery.report.summary_format import (
    ArtifactRecord,
    DestinationRecord,
    ErrorRecord,
    SkippedRecord,
    Summary,
    TagRecord,
    TargetRecord,
)
from bakery.report.work import work
from bakery.text import clean, json_text


def to_json(outcome: Outcome, run: Run | None = None) -> dict[str, Any]:
    """Return the outcome as a JSON value. run: what its events add up to, for the stages and the traffic."""
    return members(summarize(outcome, run))


def summarize(outcome: Outcome, run: Run | None = None) -> Summary:
    """Return the summary of a run."""
    targets = tuple(target_record(target) for target in outcome.targets)
    return Summary(
        **totals(targets),
        **(work(run) if run else {}),
        interrupted=outcome.interrupted,
        exit_code=int(outcome.exit_code),
        elapsed_s=round(outcome.elapsed_s, 3),
        targets=targets,
        skipped=tuple(SkippedRecord(uid=item.uid, reason=clean(item.reason)) for item in outcome.skipped),
        warnings=tuple(clean(text) for text in outcome.warnings),
    )


def dump(value: Mapping[str, Any]) -> str:
    """Return the JSON text for stdout and files: one document, indented by two spaces, with a final newline."""
    return json_text(value, indent=2) + "\n"


def target_json(target: TargetOutcome) -> dict[str, Any]:
    """Return a target as a JSON value."""
    return members(target_record(target))


def target_record(target: TargetOutcome) -> TargetRecord:
    """Return a target as the summary has it."""
    errors = [] if target.failure is None else [_error(target.failure.step, None, target.failure.error)]
    errors += [
        _error(place.failure.step, str(place.repository), place.failure.error)
        for place in target.destinations
        if place.failure is not None
    ]
    return TargetRecord(
        uid=target.uid,
        image_name=target.image,
        version=target.version,
        os=target.os or None,
        variant=target.variant or None,
        state=str(target.state),
        digest=str(target.digest) if target.digest else None,
        platforms=tuple(item.platform for item in target.platforms),
        platform_digests={item.platform: str(item.digest) for item in target.platforms},
        tags=tuple(
            f"{place.repository}:{tag.tag}"
            for place in target.destinations
            for tag in place.tags
            if tag.state in (State.PUBLISHED, State.UNCHANGED)
        ),
        layers=sum(item.layers for item in target.platforms) if target.platforms else None,
        registry_size=sum(item.size_bytes for item in target.platforms) if target.platforms else None,
        destinations=tuple(map(_destination, target.destinations)),
        errors=tuple(errors),
        notes=tuple(clean(note) for note in target.notes),
        elapsed_s=round(target.elapsed_s, 3),
    )


def _destination(place: DestinationOutcome) -> DestinationRecord:
    tags = tuple(
        TagRecord(
            tag=tag.tag,
            state=str(tag.state),
            previous=str(tag.previous) if tag.previous else None,
            problem=clean(tag.problem) or None,
        )
        for tag in place.tags
    )
    artifacts = tuple(
        ArtifactRecord(subject=str(one.subject), kind=one.kind, digest=str(one.digest) if one.digest else None)
        for one in place.artifacts
    )
    return DestinationRecord(repository=str(place.repository), state=str(place.state), tags=tags, artifacts=artifacts)


def _error(step: str, destination: str | None, error: Exception) -> ErrorRecord:
    return ErrorRecord(
        step=str(step),
        code=code_of(error),
        destination=destination,
        message=reason(error),
        hint=hint_of(error) or None,
    )
