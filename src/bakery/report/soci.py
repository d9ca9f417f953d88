"""What a SOCI index holds, as lines of text. Pure."""

from __future__ import annotations

from typing import Any

from bakery.errors import one_line
from bakery.publish.outcome import Outcome, TargetOutcome

_HEAD = (
    f"  {'layer':<14}{'size':>12}{'ztoc':>12}{'spans':>8}{'span size':>12}{'files':>9}{'uncompressed':>14}  prefetch"
)


def conversion_lines(outcome: Outcome) -> str:
    """What became of every target that was to be converted, and the closing line (pipeline.md 6.5)."""
    lines = [f"warning: {text}" for text in outcome.warnings]
    lines += [f"SOCI skipped for {item.uid}: {item.reason}" for item in outcome.skipped]
    for target in outcome.targets:
        lines += _conversion(target)
    closing = "❌ SOCI conversion(s) failed" if outcome.failures else "✅ SOCI conversion(s) completed"
    return "\n".join((*lines, closing)) + "\n"


def converted_references(outcome: Outcome) -> str:
    """The converted images by digest, one a line: what a script goes on with."""
    return "".join(
        f"{place.repository}@{target.digest}\n"
        for target in outcome.targets
        for place in target.destinations
        if target.failure is None and place.failure is None
    )


def _conversion(target: TargetOutcome) -> list[str]:
    failure = target.failure or next((place.failure for place in target.destinations if place.failure), None)
    if failure is not None:
        return [f"error: {target.uid}: [{failure.step}] {one_line(failure.error)}"]
    notes = [f"{target.uid}: {note}" for note in target.notes]
    return [
        *notes,
        *(f"SOCI converted {target.uid} -> {place.repository}@{target.digest}" for place in target.destinations),
    ]


def inspection_table(told: dict[str, Any]) -> str:
    """The result of `inspect_image` for people: one block a platform, one line a layer."""
    lines = [f"{told['digest']}  {told['media_type']}"]
    for image in told["soci_indexes"]:
        lines += [
            "",
            f"{image['platform'] or 'unknown platform'}",
            f"  image       {image['image']}",
            f"  SOCI index  {image['soci_index']}, {image['size']} bytes, by {image['build_tool_identifier']!r}",
            _HEAD,
        ]
        lines += [_layer(layer) for layer in image["layers"]]
    if not told["soci_indexes"]:
        lines.append("no SOCI index")
    return "\n".join(lines)


def _layer(layer: dict[str, Any]) -> str:
    short = layer["digest"].partition(":")[2][:12]
    ztoc = layer["ztoc"]
    if ztoc is None:
        return f"  {short:<14}{layer['size']:>12}  none: {layer['media_type']}"
    prefetch = " ".join(f"{first}-{last}" for first, last in ztoc["prefetch_spans"])
    return (
        f"  {short:<14}{layer['size']:>12}{ztoc['size']:>12}{ztoc['spans']:>8}{ztoc['span_size']:>12}{ztoc['files']:>9}"
        f"{ztoc['uncompressed_size']:>14}  {prefetch}".rstrip()
    )
