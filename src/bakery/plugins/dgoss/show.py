"""The results of goss tests as text: a table, JUnit XML, Markdown for a GitHub summary. Pure.

Source: pipeline.md 8, "Shown on stderr".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from msgspec import Struct

from bakery.plugins.dgoss.verdict import Check, Judged, Verdict

if TYPE_CHECKING:
    from bakery.targets.target import Target

_STDOUT_LINES, _STDERR_LINES = 10, 50
_NAMES = ("Image Name", "Version", "OS", "Variant")
_NUMBERS = ("Success", "Failed", "Skipped", "Total Tests", "Duration")


class Shown(Struct, frozen=True):
    """A target, its verdict, and what the command printed."""

    target: Target
    judged: Judged
    stdout: str = ""
    stderr: str = ""


def table(rows: Sequence[Shown]) -> str:
    """Counts of every target that has a report; names are shown where they change."""
    lines: list[tuple[str, ...]] = []
    before: tuple[str, ...] = ()
    sums = [0, 0, 0, 0]
    seconds = 0.0
    for row in rows:
        report = row.judged.report
        if report is None:
            continue
        names = (row.target.image, row.target.version, row.target.os or "", row.target.variant or "")
        counts = [report.passed, report.failed, report.skipped, report.total]
        lines.append((*_nested(names, before), *map(str, counts), f"{report.duration_s:.2f}"))
        sums = [a + b for a, b in zip(sums, counts, strict=True)]
        seconds += report.duration_s
        before = names
    lines.append(("Total", "", "", "", *map(str, sums), f"{seconds:.2f}"))
    header = (*_NAMES, *_NUMBERS)
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    rule = "  ".join("-" * width for width in widths)
    body = [_line(line, widths) for line in lines]
    return "\n".join(["Goss Test Results", _line(header, widths), rule, *body[:-1], rule, body[-1]]) + "\n"


def _nested(names: tuple[str, ...], before: tuple[str, ...]) -> tuple[str, ...]:
    """The names, without those that stand in the row above already."""
    for number in range(len(names)):
        if names[: number + 1] != before[: number + 1]:
            return ("",) * number + names[number:]
    return names


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    texts = len(_NAMES)
    placed = [
        cell.ljust(width) if number < texts else cell.rjust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(placed).rstrip()


def closing(rows: Sequence[Shown]) -> str:
    """What failed, target by target, and the last word."""
    parts: list[str] = []
    failed = [row for row in rows if row.judged.verdict is Verdict.FAILED]
    broken = [row for row in rows if row.judged.verdict is Verdict.ERROR]
    for row in failed:
        parts.append(f"{row.target.uid} test failures:")
        failures = row.judged.report.failures if row.judged.report else ()
        parts += [f"  {check.compact}" for check in failures] or ["  goss says that tests failed, and names none"]
    if failed:
        parts.append("❌ dgoss test(s) failed")
    for row in broken:
        parts.append(f"{row.target.uid}: {row.judged.error}")
        for name, text, limit in (("stdout", row.stdout, _STDOUT_LINES), ("stderr", row.stderr, _STDERR_LINES)):
            parts += [f"  {name}: {line}" for line in text.splitlines()[-limit:] if line.strip()]
    if broken:
        parts.append("❌ dgoss command(s) failed to execute")
    if not failed and not broken:
        parts.append("✅ Tests completed")
    return "\n".join(parts) + "\n"


def junit(row: Shown) -> bytes:
    """The target's tests as JUnit XML: one suite, one case a check."""
    report = row.judged.report
    checks = report.checks if report else ()
    error = row.judged.verdict is Verdict.ERROR
    suite = ElementTree.Element(
        "testsuite",
        name=_xml_text(row.target.uid),
        tests=str(len(checks) + error),
        failures=str(sum(check.failed for check in checks)),
        errors=str(int(error)),
        skipped=str(sum(check.skipped for check in checks)),
        time=f"{report.duration_s if report else 0:.3f}",
    )
    for check in checks:
        _case(suite, row, check)
    if error:
        case = ElementTree.SubElement(suite, "testcase", name="dgoss", classname=_xml_text(row.target.uid))
        said = ElementTree.SubElement(case, "error", message=_xml_text(row.judged.error))
        said.text = _xml_text("\n".join(row.stderr.splitlines()[-_STDERR_LINES:]))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _case(suite: ElementTree.Element, row: Shown, check: Check) -> None:
    name = ": ".join(part for part in (check.resource_type, check.resource_id, check.aspect) if part)
    case = ElementTree.SubElement(
        suite,
        "testcase",
        name=_xml_text(f"{name} ({check.title})" if check.title else name),
        classname=_xml_text(row.target.uid),
        time=f"{check.duration_s:.3f}",
    )
    if check.skipped:
        ElementTree.SubElement(case, "skipped")
    elif check.failed:
        failure = ElementTree.SubElement(case, "failure", message=_xml_text(check.compact))
        failure.text = _xml_text(check.full)


def _xml_text(text: str) -> str:
    """The text without what XML 1.0 has no spelling for; goss shows what a command printed, colours and all."""
    return re.sub("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def markdown(rows: Sequence[Shown]) -> str:
    """For $GITHUB_STEP_SUMMARY: a table, and what failed."""
    lines = [
        "### Goss test results",
        "",
        f"| {' | '.join((*_NAMES, *_NUMBERS))} | |",
        "|---|---|---|---|--:|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        target, report = row.target, row.judged.report
        names = [_cell(text or "") for text in (target.image, target.version, target.os, target.variant)]
        counts = ["", "", "", "", ""]
        if report is not None:
            numbers = (report.passed, report.failed, report.skipped, report.total)
            counts = [*map(str, numbers), f"{report.duration_s:.2f} s"]
        mark = {Verdict.PASSED: "✅", Verdict.FAILED: "❌", Verdict.ERROR: "⚠️"}[row.judged.verdict]
        lines.append(f"| {' | '.join((*names, *counts))} | {mark} |")
    for row in rows:
        failures = row.judged.report.failures if row.judged.report else ()
        said = [check.compact for check in failures] + ([row.judged.error] if row.judged.error else [])
        if said and row.judged.verdict is not Verdict.PASSED:
            lines += ["", f"**{_cell(row.target.uid)}**", "", *(f"- {_cell(text)}" for text in said)]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """The text as Markdown that shows just that: no markup, no line break, no end of a table's cell."""
    return re.sub(r"([\\`*_{}\[\]<>#|~@])", r"\\\1", " ".join(text.split()))
