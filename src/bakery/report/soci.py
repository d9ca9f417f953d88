"""What a SOCI index holds, as lines of text. Pure."""

from __future__ import annotations

from typing import Any

_HEAD = (
    f"  {'layer':<14}{'size':>12}{'ztoc':>12}{'spans':>8}{'span size':>12}{'files':>9}{'uncompressed':>14}  prefetch"
)


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
