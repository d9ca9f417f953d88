"""Parts of a page, made to fit into a limit: the least important ones lose items, and the page says how many. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from bakery.text import plural

_RESERVE_BYTES: Final = 400  # for the sentence that counts what is left out


class Part(Struct, frozen=True):
    """A part of a page. rank: 0 is the most important, and always shown whole.

    opening, closing: shown if any of the items is. items: in order; a part without items is its opening. noun: of an
    item. short: the items in fewer characters, used if the page does not fit.
    """

    rank: int
    opening: str
    items: tuple[str, ...] = ()
    closing: str = ""
    noun: str = "line"
    short: tuple[str, ...] = ()


def fit(parts: Sequence[Part], limit_bytes: int) -> str:
    """Return the parts as one page: whole if that fits, else with short items, and the least important ones cut.

    What is left out is counted after the first part.
    """
    whole = _page([_text(part, part.items) for part in parts])
    if len(whole.encode()) <= limit_bytes:
        return whole
    left = limit_bytes - _RESERVE_BYTES
    texts = [""] * len(parts)
    missing: dict[str, int] = {}
    for number in sorted(range(len(parts)), key=lambda number: parts[number].rank):
        part = parts[number]
        texts[number], shown = _cut(part, left)
        left -= len(texts[number].encode()) + 2
        if shown < len(part.items):
            missing[part.noun] = missing.get(part.noun, 0) + len(part.items) - shown
    if missing:
        counts = ", ".join(plural(count, noun) for noun, count in missing.items())
        texts.insert(1, f"*The page is cut, since GitHub shows at most 1 MiB. Left out: {counts}.*")
    return _page(texts)


def _cut(part: Part, left_bytes: int) -> tuple[str, int]:
    """Return as much of a part as fits, and how many of its items that are."""
    items = part.short or part.items
    room = left_bytes - len(f"{part.opening}{part.closing}".encode()) - 2
    shown = 0
    for item in items:
        room -= len(item.encode()) + 1
        if room < 0:
            break
        shown += 1
    if part.rank > 0 and (not shown if items else room < 0):
        return "", 0
    return _text(part, items[:shown]), shown


def _text(part: Part, items: Sequence[str]) -> str:
    return "\n".join(text for text in (part.opening, *items, part.closing) if text)


def _page(texts: Sequence[str]) -> str:
    return "\n\n".join(text.strip("\n") for text in texts if text) + "\n"
