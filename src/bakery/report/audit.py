"""What `bakery verify` found, as a table, as lines and as JSON. Pure."""

from __future__ import annotations

from typing import Any, Literal

from bakery.publish.audited import Audit, Checked, Drift
from bakery.report.documents import VerifiedRecord, VerifyDocument, problem
from bakery.report.grouping import others
from bakery.report.outcome import grouped_error_lines
from bakery.report.records import members
from bakery.report.result import Look
from bakery.report.table import aligned
from bakery.text import clean, plural


def audit_table(audit: Audit, look: Look) -> str:
    """Return one row per reference: its state, what it names, and what that has. On a terminal, digests are short."""
    rows = [("STATE", "REFERENCE", "DIGEST", "PLATFORMS", "ATTESTATIONS", "SIGNATURES")]
    for one in audit.checked:
        platforms = ",".join(one.platforms) or "-"
        counts = ("-", "-") if one.digest is None else (str(one.attestations), str(one.signatures))
        rows.append((_state(one), str(one.expected.reference), look.digest(one.digest) or "-", platforms, *counts))
    return aligned(rows, width=look.width)


def audit_lines(audit: Audit) -> str:
    """Return what is wrong, the same for several references once, and a closing line."""
    drifted: dict[str, list[str]] = {}
    for one in audit.checked:
        for text in one.problems:
            drifted.setdefault(text, []).append(str(one.expected.reference))
    lines = [
        f"error[{Drift.error_code}]: {references[0]}: {text}{others(references, 'other reference')}"
        for text, references in drifted.items()
    ]
    lines += grouped_error_lines((str(one.expected.reference), one.error) for one in audit.checked if one.error)
    wrong = sum(not one.is_right for one in audit.checked)
    count = plural(len(audit.checked), "reference")
    lines.append(f"❌ {wrong:,} of {count} not as expected" if wrong else f"✅ {count} as expected")
    return "".join(f"{clean(line)}\n" for line in lines)


def audit_json(audit: Audit) -> dict[str, Any]:
    """Return what was found as a JSON value."""
    references = tuple(_reference(one) for one in audit.checked)
    return members(VerifyDocument(exit_code=int(audit.exit_code), references=references))


def _state(one: Checked) -> Literal["ok", "drift", "unknown"]:
    if one.error is not None:
        return "unknown"
    return "drift" if one.problems else "ok"


def _reference(one: Checked) -> VerifiedRecord:
    return VerifiedRecord(
        reference=str(one.expected.reference),
        state=_state(one),
        digest=str(one.digest) if one.digest else None,
        expected=str(one.expected.digest) if one.expected.digest else None,
        platforms=one.platforms,
        attestations=one.attestations,
        signatures=one.signatures,
        manifests=one.manifests,
        blobs=one.blobs,
        problems=tuple(clean(text) for text in one.problems),
        error=None if one.error is None else problem(one.error),
    )
