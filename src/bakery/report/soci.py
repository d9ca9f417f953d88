"""SOCI conversions and what a SOCI index holds, as lines of text. Pure."""

from __future__ import annotations

from textwrap import indent
from typing import Any

from bakery.publish.outcome import Outcome, TargetOutcome
from bakery.report.outcome import failure_lines
from bakery.report.table import aligned
from bakery.text import clean

_HEADING = ("layer", "size", "ztoc", "spans", "span size", "files", "uncompressed", "prefetch")


def conversion_lines(outcome: Outcome) -> str:
    """Return the result of every target that was to be converted, and a closing line (pipeline.md 6.5)."""
    lines = [f"warning: {text}" for text in outcome.warnings]
    lines += [f"SOCI skipped for {item.uid}: {item.reason}" for item in outcome.skipped]
    for target in outcome.targets:
        lines += _conversion(target)
    lines.append("❌ SOCI conversion failed" if outcome.failures else "✅ SOCI conversion completed")
    return "".join(f"{clean(line)}\n" for line in lines)


def converted_references(outcome: Outcome) -> str:
    """Return the converted images by digest, one per line, for scripts."""
    return "".join(
        f"{place.repository}@{target.digest}\n"
        for target in outcome.targets
        for place in target.destinations
        if target.failure is None and place.failure is None
    )


def _conversion(target: TargetOutcome) -> list[str]:
    failure = target.failure or next((place.failure for place in target.destinations if place.failure), None)
    if failure is not None:
        return failure_lines(target.uid, failure)
    notes = [f"{target.uid}: {note}" for note in target.notes]
    return [
        *notes,
        *(f"SOCI converted {target.uid} -> {place.repository}@{target.digest}" for place in target.destinations),
    ]


def inspection_table(found: dict[str, Any]) -> str:
    """Return the result of `inspect_image` for people: one block per platform, one line per layer."""
    lines = [f"{found['digest']}  {found['media_type']}"]
    for image in found["soci_indexes"]:
        rows = [_HEADING, *(_layer(layer) for layer in image["layers"])]
        lines += [
            "",
            clean(f"{image['platform'] or 'unknown platform'}"),
            clean(f"  image       {image['image']}"),
            clean(f"  SOCI index  {image['soci_index']}, {image['size']} bytes, by {image['build_tool_identifier']!r}"),
            indent(aligned(rows, right=frozenset(range(1, 7)), rule=False), "  ").rstrip("\n"),
        ]
    if not found["soci_indexes"]:
        lines.append("no SOCI index")
    return "\n".join(lines)


def _layer(layer: dict[str, Any]) -> tuple[str, ...]:
    short = layer["digest"].partition(":")[2][:12]
    ztoc = layer["ztoc"]
    if ztoc is None:
        return (short, str(layer["size"]), "none", "", "", "", "", layer["media_type"])
    prefetch = " ".join(f"{first}-{last}" for first, last in ztoc["prefetch_spans"])
    numbers = (ztoc[key] for key in ("size", "spans", "span_size", "files", "uncompressed_size"))
    return (short, str(layer["size"]), *map(str, numbers), prefetch)
