"""Summaries as GitHub Markdown. Every cell is escaped, since names come from users. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bakery.report.merging import count
from bakery.text import clean, plural

HEADINGS: Final = (
    "Image", "Version", "OS", "Variant", "State", "Platforms", "Tags", "Layers", "Registry Size", "Local Size",
    "Cache Size", "Digest",
)  # fmt: skip
_DIGEST: Final = re.compile(r"sha(256|512):[0-9a-f]+")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def escape(text: object) -> str:
    """Return the text as Markdown that shows just that, also in a cell of a table: no markup, no line break."""
    return re.sub(r"([\\`*_{}\[\]<>#|~@])", r"\\\1", " ".join(clean(str(text)).split()))


def size(size_bytes: int | None) -> str:
    """Return a size for people, or "-" if it is unknown."""
    if size_bytes is None:
        return "-"
    amount = float(size_bytes)
    for unit in _UNITS:
        if amount < 1024 or unit == _UNITS[-1]:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError("the last unit ends the loop")


def summary_page(summary: Mapping[str, Any], *, disclaimer: str = "") -> str:
    """Return the page of a step summary: a table of targets with a total, then failures, notes and skipped targets."""
    targets: Sequence[Mapping[str, Any]] = summary["targets"]
    lines = [f"> ⚠️ **{escape(disclaimer)}**", ""] if disclaimer else []
    lines += ["### Build Summary", "", _row(HEADINGS), _row(["---"] * len(HEADINGS))]
    lines += [_row(_cells(target)) for target in targets]
    sizes = [size(summary[f"{kind}_size_bytes"]) for kind in ("registry", "local", "cache")]
    counts = [summary["platform_builds"], summary["registry_tags"]]
    total = [f"Total: {plural(summary['build_targets'], 'target')}", "", "", "", "", *counts, "", *sizes, ""]
    lines.append(_row([f"**{cell}**" if cell != "" else "" for cell in total]))
    failures = [(target, error) for target in targets for error in target["errors"]]
    if failures:
        lines += ["", "#### Failures", ""]
        lines += [_failure_line(target, error) for target, error in failures]
    notes = [(target, note) for target in targets for note in target["notes"]]
    if notes:
        lines += ["", "#### Notes", ""]
        lines += [f"- {escape(target['uid'])}: {escape(note)}" for target, note in notes]
    if summary.get("skipped"):
        lines += ["", "#### Skipped", ""]
        lines += [f"- {escape(item.get('uid', ''))}: {escape(item.get('reason', ''))}" for item in summary["skipped"]]
    return "\n".join(lines) + "\n"


def _failure_line(target: Mapping[str, Any], error: Mapping[str, Any]) -> str:
    place = f" at {escape(error['destination'])}" if error.get("destination") else ""
    line = f"- {escape(target['uid'])}: {escape(error.get('step', ''))}{place}: {escape(error.get('message', ''))}"
    return f"{line}  \n  Hint: {escape(error['hint'])}" if error.get("hint") else line


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _cells(target: Mapping[str, Any]) -> list[str]:
    digest = str(target["digest"] or "-")
    digest = f"`{digest}`" if _DIGEST.fullmatch(digest) else escape(digest)
    return [
        *(escape(target[key] or "-") for key in ("image_name", "version", "os", "variant", "state")),
        escape(", ".join(target["platforms"]) or count(target, "platform") or "-"),
        str(count(target, "tag")),
        escape("-" if target["layers"] is None else target["layers"]),
        size(target["registry_size"]),
        size(target["local_size"]),
        size(target["cache_size"]),
        digest,
    ]
