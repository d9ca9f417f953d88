"""A clean-up as a table and as JSON: what goes and why, what is kept and by what. Pure."""

from __future__ import annotations

from typing import Any, Final

from bakery.clean.outcome import CleanOutcome, Deletion, Fate, RepositoryOutcome
from bakery.errors import message
from bakery.oci.digest import Digest
from bakery.report.documents import CleanDocument, CleanedRecord, DeletedRecord, KeptRecord, problem
from bakery.report.records import members
from bakery.report.table import aligned
from bakery.report.units import size
from bakery.text import clean, plural

_SHORT: Final = 19  # characters of a digest in the table: sha256: and twelve more


def cleaning_json(outcome: CleanOutcome) -> dict[str, Any]:
    """Return a clean-up as a JSON value."""
    document = CleanDocument(
        dry_run=outcome.is_plan,
        exit_code=int(outcome.exit_code),
        bytes=_total(outcome),
        repositories=tuple(_repository(place) for place in outcome.repositories),
    )
    return members(document)


def _repository(place: RepositoryOutcome) -> CleanedRecord:
    plan = place.plan
    deletions = (
        DeletedRecord(
            reference=str(one.reference),
            digest=str(one.digest),
            tags=one.tags,
            why=clean(one.why),
            bytes=one.size_bytes,
            state=one.fate,
            detail=clean(one.detail) or None,
        )
        for one in plan.deletions
    )
    return CleanedRecord(
        repository=str(plan.repository),
        exists=place.exists,
        bytes=plan.freed_bytes,
        stays=plan.stays,
        versions=tuple(deletions),
        kept=tuple(KeptRecord(digest=str(one.digest), tags=one.tags, kept_by=clean(one.why)) for one in plan.kept),
        notes=tuple(clean(note) for note in plan.notes),
        errors=tuple(problem(error) for error in place.all_errors),
    )


def plan_table(outcome: CleanOutcome, *, width: int | None = None) -> str:
    """Return what would be deleted, with its reason and size, and what is kept although it is selected.

    width: of the terminal; None: no terminal.
    """
    going = [
        (*_names(place, one.digest, one.tags), size(one.size_bytes), one.why)
        for place in outcome.repositories
        for one in place.plan.deletions
    ]
    kept = [
        (*_names(place, one.digest, one.tags), one.why) for place in outcome.repositories for one in place.plan.kept
    ]
    tables = []
    if going:
        tables.append(aligned([("repository", "manifest", "tags", "size", "why"), *going], right={3}, width=width))
    if kept:
        tables.append(
            "Selected, but kept:\n" + aligned([("repository", "manifest", "tags", "kept by"), *kept], width=width)
        )
    return "\n".join(tables)


def summary_lines(outcome: CleanOutcome) -> str:
    """Return what became of every repository, one line each, then the errors."""
    lines = []
    for place in outcome.repositories:
        plan = place.plan
        name = str(plan.repository)
        if place.failure is not None:
            lines.append(f"{name}: nothing deleted")
        elif not place.exists:
            lines.append(f"{name}: nothing to clean, it does not exist")
        elif outcome.is_plan:
            what = plural(len(plan.deletions), "manifest or tag", "manifests and tags")
            lines.append(f"{name}: {what} to delete ({size(plan.freed_bytes)}), {plan.stays:,} stay")
        else:
            lines.append(f"{name}: {_counted(plan.deletions)}, {plan.stays:,} stay")
        lines += [f"warning: {note}" for note in plan.notes]
        lines += [message(error) for error in place.all_errors]
    return "".join(f"{line}\n" for line in lines)


def _counted(deletions: tuple[Deletion, ...]) -> str:
    counts = {fate: sum(one.fate is fate for one in deletions) for fate in Fate}
    words = [f"{count:,} {fate}" for fate, count in counts.items() if count and fate is not Fate.DELETED]
    return ", ".join([f"{counts[Fate.DELETED]:,} deleted", *words])


def _names(place: RepositoryOutcome, digest: Digest, tags: tuple[str, ...]) -> tuple[str, str, str]:
    return str(place.plan.repository), str(digest)[:_SHORT], ", ".join(tags) or "-"


def _total(outcome: CleanOutcome) -> int:
    return sum(place.plan.freed_bytes for place in outcome.repositories)
