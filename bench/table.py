"""Rows as one table of plain text. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contenders import Measured
from bench.rows import Row

_HEAD = (
    "row",
    "contender",
    "wall s",
    "ratio",
    "requests",
    "sent MB",
    "received MB",
    "CPU s",
    "registry CPU s",
    "peak MiB",
    "correct",
)


def _cells(row: str, measured: Measured, ratio: str) -> tuple[str, ...]:
    traffic = measured.traffic
    return (
        row,
        measured.name,
        f"{measured.wall_s:.2f}",
        ratio,
        str(traffic.requests.total()) if traffic else "-",
        f"{traffic.sent_bytes / 1e6:.1f}" if traffic else "-",
        f"{traffic.received_bytes / 1e6:.1f}" if traffic else "-",
        f"{measured.cpu_s:.2f}",
        f"{measured.registry_cpu_s:.2f}",
        f"{measured.peak_bytes / 2**20:.0f}",
        "no" if measured.problems else "yes",
    )


def render(rows: Sequence[Row]) -> str:
    """Return the table, followed by the description, goal and problems of each row."""
    lines: list[tuple[str, ...]] = [_HEAD]
    for row in rows:
        if row.peer:
            lines.append(_cells(row.name, row.peer, ""))
        if row.ours:
            lines.append(_cells("" if row.peer else row.name, row.ours, f"{row.ratio:.2f}" if row.ratio else ""))
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    text = [
        "  ".join(cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(line, widths, strict=True)) for line in lines)
    ]
    text.insert(1, "  ".join("-" * width for width in widths))
    for row in rows:
        text.append(f"\n{row.name}: {row.what}" + (f". Goal: {row.goal}" if row.goal else ""))
        text += [f"  {note}" for note in row.notes]
        for side in (row.peer, row.ours):
            if side and side.traffic:
                requests = ", ".join(f"{method} {count}" for method, count in side.traffic.requests.most_common())
                text.append(f"  {side.name}: {requests}; {side.traffic.connections} connections")
            if side:
                text += [f"  WRONG ({side.name}): {problem}" for problem in side.problems[:5]]
                if len(side.problems) > 5:
                    text.append(f"  WRONG ({side.name}): and {len(side.problems) - 5} more")
    return "\n".join(text)
