"""Results of goss tests as text: a table, JUnit XML, Markdown for a GitHub summary. Pure.

Source: pipeline.md 8, "Shown on stderr".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from bakery.plugins.dgoss.result import Check, GossResult, GossStatus
from bakery.report.markdown import escape
from bakery.report.table import aligned
from bakery.text import clean

_STDOUT_LINES, _STDERR_LINES = 10, 50
_NAMES = ("Image Name", "Version", "OS", "Variant")
_NUMBERS = ("Success", "Failed", "Skipped", "Total Tests", "Duration")
_RIGHT = frozenset(range(len(_NAMES), len(_NAMES) + len(_NUMBERS)))


def table(results: Sequence[GossResult]) -> str:
    """Return the counts of every target that has a report. A name is left out if it repeats the row above."""
    lines: list[tuple[str, ...]] = []
    before: tuple[str, ...] = ()
    sums = [0, 0, 0, 0]
    seconds = 0.0
    for result in results:
        report, target = result.report, result.target
        if report is None:
            continue
        names = (target.image, target.version, target.os or "", target.variant or "")
        counts = [report.passed, report.failed, report.skipped, report.total]
        lines.append((*_nested(names, before), *map(str, counts), f"{report.duration_s:.2f}"))
        sums = [a + b for a, b in zip(sums, counts, strict=True)]
        seconds += report.duration_s
        before = names
    lines.append(("Total", "", "", "", *map(str, sums), f"{seconds:.2f}"))
    rows = [(*_NAMES, *_NUMBERS), *lines]
    return f"Goss Test Results\n{aligned(rows, right=_RIGHT, total=True)}"


def _nested(names: tuple[str, ...], before: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names, without the leading ones that are the same in the row above."""
    for number in range(len(names)):
        if names[: number + 1] != before[: number + 1]:
            return ("",) * number + names[number:]
    return names


def closing(results: Sequence[GossResult]) -> str:
    """Return what failed, target by target, and a last line that says whether all passed."""
    lines: list[str] = []
    failed = [result for result in results if result.status is GossStatus.FAILED]
    broken = [result for result in results if result.status is GossStatus.ERROR]
    for result in failed:
        lines.append(f"{result.target.uid} test failures:")
        failures = result.report.failures if result.report else ()
        lines += [f"  {check.compact}" for check in failures] or ["  goss reported a failure without naming a test"]
    if failed:
        lines.append("❌ dgoss tests failed")
    for result in broken:
        lines.append(f"{result.target.uid}: {result.error}")
        for name, text, limit in (("stdout", result.stdout, _STDOUT_LINES), ("stderr", result.stderr, _STDERR_LINES)):
            lines += [f"  {name}: {line}" for line in text.splitlines()[-limit:] if line.strip()]
    if broken:
        lines.append("❌ dgoss could not be run")
    if not failed and not broken:
        lines.append("✅ Tests completed")
    return "".join(f"{clean(line)}\n" for line in lines)


def junit(result: GossResult) -> bytes:
    """Return the target's tests as JUnit XML: one suite, one case per test of goss."""
    report = result.report
    checks = report.checks if report else ()
    is_error = result.status is GossStatus.ERROR
    uid = _xml_text(result.target.uid)
    suite = ElementTree.Element(
        "testsuite",
        name=uid,
        tests=str(len(checks) + is_error),
        failures=str(sum(check.failed for check in checks)),
        errors=str(int(is_error)),
        skipped=str(sum(check.skipped for check in checks)),
        time=f"{report.duration_s if report else 0:.3f}",
    )
    for check in checks:
        _case(suite, uid, check)
    if is_error:
        case = ElementTree.SubElement(suite, "testcase", name="dgoss", classname=uid)
        error = ElementTree.SubElement(case, "error", message=_xml_text(result.error))
        error.text = _xml_text("\n".join(result.stderr.splitlines()[-_STDERR_LINES:]))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _case(suite: ElementTree.Element, uid: str, check: Check) -> None:
    name = ": ".join(part for part in (check.resource_type, check.resource_id, check.attribute) if part)
    case = ElementTree.SubElement(
        suite,
        "testcase",
        name=_xml_text(f"{name} ({check.title})" if check.title else name),
        classname=uid,
        time=f"{check.duration_s:.3f}",
    )
    if check.skipped:
        ElementTree.SubElement(case, "skipped")
    elif check.failed:
        failure = ElementTree.SubElement(case, "failure", message=_xml_text(check.compact))
        failure.text = _xml_text(check.full)


def _xml_text(text: str) -> str:
    """Replace the characters that XML 1.0 cannot hold. goss prints the output of commands, colours included."""
    return re.sub("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def markdown(results: Sequence[GossResult]) -> str:
    """Return a table and the failures for $GITHUB_STEP_SUMMARY."""
    lines = [
        "### Goss test results",
        "",
        f"| {' | '.join((*_NAMES, *_NUMBERS))} | |",
        "|---|---|---|---|--:|--:|--:|--:|--:|---|",
    ]
    for result in results:
        target, report = result.target, result.report
        names = [escape(text or "") for text in (target.image, target.version, target.os, target.variant)]
        counts = ["", "", "", "", ""]
        if report is not None:
            numbers = (report.passed, report.failed, report.skipped, report.total)
            counts = [*map(str, numbers), f"{report.duration_s:.2f} s"]
        mark = {GossStatus.PASSED: "✅", GossStatus.FAILED: "❌", GossStatus.ERROR: "⚠️"}[result.status]
        lines.append(f"| {' | '.join((*names, *counts))} | {mark} |")
    for result in results:
        failures = result.report.failures if result.report else ()
        reasons = [check.compact for check in failures] + ([result.error] if result.error else [])
        if reasons and result.status is not GossStatus.PASSED:
            lines += ["", f"**{escape(result.target.uid)}**", "", *(f"- {escape(text)}" for text in reasons)]
    return "\n".join(lines) + "\n"
