"""The report of a run as one text."""

from __future__ import annotations

from typing import Any

from bakery.publish.outcome import Outcome
from bakery.report.model import Run
from bakery.report.result import Look, as_text, result_lines


def outcome_lines(outcome: Outcome, *, run: Run | None = None, doing: str = "Publish", **look: Any) -> str:
    """Return everything that is printed after a run."""
    return as_text(result_lines(outcome, run or Run(), doing=doing, look=Look(**look)))
