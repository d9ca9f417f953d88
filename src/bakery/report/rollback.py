"""A rollback as a table, as lines and as JSON. Pure."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

from bakery.publish.rolled_back import Found, Rollback, RolledBack
from bakery.report.documents import RollbackDocument, RolledBackRecord, problem
from bakery.report.outcome import grouped_error_lines
from bakery.report.records import members
from bakery.report.result import Look
from bakery.report.table import aligned
from bakery.text import clean, plural

_WORDS: Final = {Found.RESTORE: "to restore"}


def rollback_table(rollback: Rollback, look: Look) -> str:
    """Return one row per tag: what becomes of it, what it names, and what it named before the run.

    On a terminal, digests are short.
    """
    if not rollback.tags:
        return ""
    rows = [("STATE", "TAG", "NAMES", "BEFORE")]
    for one in rollback.tags:
        named = "-" if one.found is Found.FAILED else (look.digest(one.named) or "nothing")
        rows.append(
            (str(one.found), str(one.change.tag), named, look.digest(one.change.before) or "nothing: it was new")
        )
    return aligned(rows, width=look.width)


def rollback_lines(rollback: Rollback, journal: Path | None) -> str:
    """Return the end of the report. journal: with which the rollback can be undone; None for a plan."""
    lines = [
        f"left: {one.change.tag}: something else moved it since: it names {one.named or 'nothing'}"
        for one in rollback.tags
        if one.found is Found.LEFT
    ]
    lines += grouped_error_lines((str(one.change.tag), one.error) for one in rollback.tags if one.error)
    counts = Counter(one.found for one in rollback.tags)
    shown = ", ".join(f"{counts[found]:,} {_WORDS.get(found, found)}" for found in Found if counts[found])
    if journal is None:
        mark = "❌ Rollback would be incomplete" if rollback.exit_code else "✅ Rollback planned"
    else:
        mark = "❌ Rollback incomplete" if rollback.exit_code else "✅ Rollback completed"
    lines.append(f"{mark}: {plural(len(rollback.tags), 'tag')} ({shown})" if shown else f"{mark}: no tag was moved")
    if journal is not None and counts[Found.RESTORED]:
        lines.append(f"to undo it: bakery rollback {journal}")
    return "".join(f"{clean(line)}\n" for line in lines)


def rollback_json(rollback: Rollback) -> dict[str, Any]:
    """Return a rollback as a JSON value."""
    tags = tuple(_tag(one) for one in rollback.tags)
    return members(RollbackDocument(exit_code=int(rollback.exit_code), tags=tags))


def _tag(one: RolledBack) -> RolledBackRecord:
    return RolledBackRecord(
        tag=str(one.change.tag),
        state=one.found,
        named=str(one.named) if one.named else None,
        before=str(one.change.before) if one.change.before else None,
        error=None if one.error is None else problem(one.error),
    )
