"""Rows as aligned text. Pure. Nothing is cut, and no line breaks inside a cell: a reference must stay copyable."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Final

from bakery.report.columns import display_width, pad
from bakery.text import clean

if TYPE_CHECKING:
    from bakery.targets.target import Target

_NONE: Final = ("", "-", "—")  # cells that say that there is nothing


def aligned(
    rows: Sequence[Sequence[str]],
    *,
    right: AbstractSet[int] = frozenset(),
    rule: bool = True,
    total: bool = False,
    width: int | None = None,
) -> str:
    """Return rows as text, every cell cleaned, every column as wide as its widest cell. The first row is the heading.

    right: the columns that are aligned right. rule: with a line below the heading. total: the last row is a total, and
    has a line above it. width: of the terminal; in a narrower one, each row becomes a paragraph. None: no terminal.
    """
    rows = [[clean(cell) for cell in row] for row in rows]
    if not rows:
        return ""
    widths = [max(display_width(row[number]) for row in rows) for number in range(len(rows[0]))]
    lines = [
        "  ".join(
            pad(cell, wide, right=number in right) for number, (cell, wide) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    if width is not None and any(display_width(line) > width for line in lines):
        return "".join(_paragraph(rows[0], row, width) for row in rows[1:])
    dashes = "  ".join("-" * width for width in widths)
    if total:
        lines.insert(-1, dashes)
    if rule:
        lines.insert(1, dashes)
    return "\n".join(lines) + "\n"


def _paragraph(headings: Sequence[str], row: Sequence[str], width: int) -> str:
    """Return a row as lines of at most `width` columns, unless a single cell is wider. Empty cells are left out."""
    lines: list[str] = [row[0]]
    for heading, cell in zip(headings[1:], row[1:], strict=True):
        if cell in _NONE:
            continue
        named = f"{heading.lower()} {cell}"
        if display_width(f"{lines[-1]}  {named}") <= width:
            lines[-1] += f"  {named}"
        else:
            lines.append(f"    {named if display_width(named) + 4 <= width else cell}")
    return "".join(f"{line}\n" for line in lines)


def targets_table(targets: Sequence[Target], *, width: int | None = None) -> str:
    """Return one line per target of a project."""
    rows = [("uid", "version", "variant", "os", "platforms", "latest", "tags")]
    for target in targets:
        names = (target.uid, target.version, target.variant or "-", target.os or "-")
        latest = "yes" if target.latest else ""
        rows.append((*names, ",".join(target.platforms), latest, str(len(target.references))))
    return aligned(rows, rule=False, width=width).rstrip("\n")
