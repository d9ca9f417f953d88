"""Rows as aligned text. Pure. Never wraps: a reference must stay copyable."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from bakery.text import clean

if TYPE_CHECKING:
    from bakery.targets.target import Target


def aligned(
    rows: Sequence[Sequence[str]], *, right: AbstractSet[int] = frozenset(), rule: bool = True, total: bool = False
) -> str:
    """Return rows as text, every cell cleaned, every column as wide as its widest cell. The first row is the heading.

    right: the columns that are aligned right. rule: with a line below the heading. total: the last row is a total, and
    has a line above it.
    """
    rows = [[clean(cell) for cell in row] for row in rows]
    if not rows:
        return ""
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    dashes = "  ".join("-" * width for width in widths)
    if total:
        lines.insert(-1, dashes)
    if rule:
        lines.insert(1, dashes)
    return "\n".join(lines) + "\n"


def targets_table(targets: Sequence[Target]) -> str:
    """Return one line per target of a project."""
    rows = [("uid", "version", "variant", "os", "platforms", "latest", "tags")]
    for target in targets:
        names = (target.uid, target.version, target.variant or "-", target.os or "-")
        latest = "yes" if target.latest else ""
        rows.append((*names, ",".join(target.platforms), latest, str(len(target.references))))
    return aligned(rows, rule=False).rstrip("\n")
