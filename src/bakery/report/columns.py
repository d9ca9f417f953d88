"""Text in the columns of a terminal: how wide it is, where it is cut, which parts of it fit. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

_ASCII: Final = str.maketrans(
    {"·": "|", "↑": "^", "↓": "v", "→": ">", "▸": ">", "↻": "~", "✓": "+", "✗": "x", "…": "~"}
)


class Terminal(Struct, frozen=True):
    """What a terminal can show: its size, and whether it shows more than ASCII."""

    width: int = 80
    height: int = 24
    unicode: bool = True


def display_width(text: str) -> int:
    """Return how many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # most texts are ASCII

    return cell_len(text)


def shown(text: str, *, unicode: bool = True) -> str:
    """Return the text with `?` for control characters, such as an escape sequence in a name, and for foreign letters.

    unicode: the terminal shows more than ASCII.
    """
    if not text.isprintable():
        text = "".join(character if character.isprintable() else "?" for character in text)
    return text if unicode else text.translate(_ASCII).encode("ascii", "replace").decode()


def clip(text: str, width: int, *, unicode: bool = True) -> str:
    """Return the text in at most `width` columns, with a mark if it is cut off, and made safe by `shown`."""
    text = shown(text, unicode=unicode)
    if display_width(text) <= width:
        return text
    if width <= 0:
        return ""
    from rich.cells import set_cell_size

    return set_cell_size(text, width - 1) + ("…" if unicode else "~")


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Return the text with spaces up to a width. right: aligned right."""
    spaces = " " * (width - display_width(text))
    return f"{spaces}{text}" if right else f"{text}{spaces}"


def fitting(parts: Sequence[tuple[int, str]], width: int, separator: str) -> str:
    """Return the parts, joined, that fit: the least important are left out first. Each is (importance, text)."""
    kept = [part for part in parts if part[1]]
    while len(kept) > 1:
        text = separator.join(text for _, text in kept)
        if display_width(text) <= width:
            return text
        kept.remove(min(kept, key=lambda part: part[0]))
    return kept[0][1] if kept else ""


def wrapped(parts: Sequence[str], width: int | None, *, indent: str = "  ", unicode: bool = True) -> list[str]:
    """Return parts, joined by spaces, as lines of at most `width` columns; later lines are indented.

    Lines break between parts only; a part that is wider than a line is cut. width: None means one line, nothing is cut.
    """
    if width is None:
        return [" ".join(parts)]
    lines: list[str] = []
    line = ""
    for part in parts:
        longer = f"{line} {part}" if line.strip() else f"{line}{part}"
        if line.strip() and display_width(longer) > width:
            lines.append(line)
            longer = f"{indent}{part}"
        line = clip(longer, width, unicode=unicode)
    return [*lines, line]
