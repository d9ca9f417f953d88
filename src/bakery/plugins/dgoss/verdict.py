"""What dgoss said of a target: goss's report as values, and the verdict. Pure.

Source: pipeline.md 8, "Report read" and "Verdict"; field names as goss 0.4.9 prints them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from bakery.parallel.command import ShellResult


class Verdict(StrEnum):
    """What became of a target's tests. ERROR: they could not be run, or nobody knows how they ended."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"


class Check(Struct, frozen=True):
    """One thing that goss looked at."""

    resource_type: str
    resource_id: str
    aspect: str  # what goss calls property: exists, mode, stdout
    title: str
    passed: bool
    skipped: bool
    compact: str  # one line
    full: str
    duration_s: float

    @property
    def failed(self) -> bool:
        return not self.passed and not self.skipped


class GossReport(Struct, frozen=True):
    """Goss's own report of one image."""

    checks: tuple[Check, ...]
    total: int
    failed: int
    skipped: int
    duration_s: float
    summary: str
    raw: Mapping[str, Any]

    @property
    def passed(self) -> int:
        return self.total - self.failed - self.skipped

    @property
    def failures(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.failed)


class Judged(Struct, frozen=True):
    """The verdict, the report where there is one, and why it is an ERROR where it is."""

    verdict: Verdict
    report: GossReport | None
    error: str = ""


def read_report(stdout: str) -> GossReport | None:
    """The report in what dgoss printed; None where there is none. Other lines may stand around it."""
    decoder = json.JSONDecoder()
    start = stdout.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(stdout, start)
        except ValueError:
            end = start + 1
        else:
            if isinstance(value.get("summary"), dict):
                return _report(value)
        start = stdout.find("{", end)
    return None


def _report(raw: Mapping[str, Any]) -> GossReport:
    summary = raw["summary"]
    checks = raw.get("results")
    return GossReport(
        tuple(_check(check) for check in checks if isinstance(check, dict)) if isinstance(checks, list) else (),
        _count(summary, "test-count"),
        _count(summary, "failed-count"),
        _count(summary, "skipped-count"),
        _count(summary, "total-duration") / 1e9,
        _text(summary, "summary-line"),
        raw,
    )


def _check(raw: Mapping[str, Any]) -> Check:
    return Check(
        _text(raw, "resource-type"),
        _text(raw, "resource-id"),
        _text(raw, "property"),
        _text(raw, "title"),
        raw.get("successful") is True,
        raw.get("skipped") is True,
        " ".join((_text(raw, "summary-line-compact") or _text(raw, "summary-line")).split()),
        _text(raw, "summary-line"),
        _count(raw, "duration") / 1e9,
    )


def _text(raw: Mapping[str, Any], key: str) -> str:
    value = raw.get(key)
    return value if isinstance(value, str) else ""


def _count(raw: Mapping[str, Any], key: str) -> int:
    value = raw.get(key)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def judge(result: ShellResult) -> Judged:
    """The verdict on a finished dgoss command."""
    if result.exception is not None:
        return Judged(Verdict.ERROR, None, " ".join(str(result.exception).split()))
    report = read_report(result.stdout.decode(errors="replace"))
    if report is None:
        said = "it printed no report" if result.returncode == 0 else f"exit code {result.returncode} without a report"
        return Judged(Verdict.ERROR, None, f"dgoss: {said}")
    if result.returncode == 1 or (result.returncode == 0 and report.failed):
        return Judged(Verdict.FAILED, report)
    if result.returncode != 0:
        return Judged(Verdict.ERROR, report, f"dgoss: exit code {result.returncode}, which no failing test gives")
    return Judged(Verdict.PASSED, report)
