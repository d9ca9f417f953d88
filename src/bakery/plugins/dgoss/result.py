"""The result of dgoss for one target: goss's report as values, and whether the tests passed. Pure.

Source: pipeline.md 8, "Report read" and "Verdict"; field names as goss 0.4.9 prints them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

if TYPE_CHECKING:
    from bakery.parallel.command import ShellResult
    from bakery.targets.target import Target


_ABSURD: Final = 2**63  # a larger number is not a count, and not a time in nanoseconds


class GossStatus(StrEnum):
    """How the tests of a target ended. ERROR: they could not be run, or their end is unknown."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"


class Check(Struct, frozen=True):
    """One test of goss."""

    resource_type: str
    resource_id: str
    attribute: str  # goss calls it property: exists, mode, stdout
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
    """The report that goss prints for one image."""

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


class GossResult(Struct, frozen=True):
    """How the tests of one target ended. report: None if goss printed none. error: the reason for an ERROR."""

    target: Target
    status: GossStatus
    report: GossReport | None = None
    error: str = ""
    stdout: str = ""
    stderr: str = ""


def read_report(stdout: str) -> GossReport | None:
    """Return the report in the output of dgoss, or None. There may be other lines around it."""
    decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
    start = stdout.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(stdout, start)
        except RecursionError:  # what follows is nested as deeply: there is no report to find
            return None
        except ValueError:
            end = start + 1
        else:
            if isinstance(value.get("summary"), dict):
                return _report(value)
        start = stdout.find("{", end)
    return None


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is too large")
    return value


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
    if not isinstance(value, int | float) or isinstance(value, bool):
        return 0
    return int(value) if abs(value) < _ABSURD else 0


def goss_result(done: ShellResult) -> GossResult:
    """Return the result of a finished dgoss command, whose payload is the target."""
    stdout, stderr = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    def result(status: GossStatus, report: GossReport | None = None, error: str = "") -> GossResult:
        return GossResult(done.task.payload, status, report, error, stdout, stderr)

    if done.exception is not None:
        return result(GossStatus.ERROR, error=" ".join(str(done.exception).split()))
    report = read_report(stdout)
    if report is None:
        why = "no report" if done.returncode == 0 else f"exit code {done.returncode} and no report"
        return result(GossStatus.ERROR, error=f"dgoss: {why}")
    if done.returncode == 1 or (done.returncode == 0 and report.failed):
        return result(GossStatus.FAILED, report)
    if done.returncode != 0:
        return result(GossStatus.ERROR, report, f"dgoss: unexpected exit code {done.returncode}")
    return result(GossStatus.PASSED, report)
