"""Words and values for messages. Pure."""

from __future__ import annotations


def plural(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun: "1 target", "2 targets". many: the plural, if it is not the noun with an "s"."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
