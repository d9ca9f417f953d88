"""What `bake --call check` finds in Containerfiles, as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class CheckWarning(Struct, frozen=True):
    """Something doubtful in a Containerfile. line: 1-based, 0 if it is about the whole file."""

    line: int
    rule: str
    text: str
    url: str = ""


class CheckResult(Struct, frozen=True):
    """What is wrong with the Containerfile of one target. error: why it cannot be built, or "". error_line: where."""

    uid: str
    error: str = ""
    error_line: int = 0
    warnings: tuple[CheckWarning, ...] = ()


def read_check(document: object) -> dict[str, CheckResult]:
    """Return the results by uid. document: what buildx printed as JSON."""
    targets = document.get("target") if isinstance(document, dict) else None
    if not isinstance(targets, dict):
        return {}
    return {uid: _result(uid, one.get("check") or {}) for uid, one in targets.items() if isinstance(one, dict)}


def _result(uid: str, check: Mapping[str, Any]) -> CheckResult:
    error = check.get("buildError") or {}
    warnings = [
        CheckWarning(
            _line(one), str(one.get("ruleName", "")), str(one.get("detail") or one.get("description", "")),
            str(one.get("url", "")),
        )
        for one in check.get("warnings") or ()
    ]  # fmt: skip
    return CheckResult(
        uid,
        str(error.get("message") or ""),
        _line(error),
        tuple(sorted(warnings, key=lambda one: (one.line, one.rule, one.text))),
    )


def _line(located: Mapping[str, Any]) -> int:
    ranges = (located.get("location") or {}).get("ranges") or ()
    return int(ranges[0].get("start", {}).get("line", 0)) if ranges else 0
