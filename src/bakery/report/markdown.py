"""Markdown as GitHub and GitLab show it: text from anywhere as text, tables, folded parts. Pure.

Everything that comes from users, registries and files passes `escape`, `code` or `fenced`; no other function makes
foreign text safe for a page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote

from bakery.report import units
from bakery.text import clean

# Markup anywhere; what makes a link of an address; what makes a list or a heading at the start of a line.
_MARKUP: Final = re.compile(r"[\\`*_{}\[\]<>#|~@&]|:(?=//)|(?<=www)\.|^[-+=]|(?<=^\d)[.)](?= |$)|(?<=^\d\d)[.)](?= |$)")
_CODE: Final = re.compile(r"[\w.:/@+=,%() -]+", re.ASCII)  # what shows as itself in a code span of a table


def escape(text: object) -> str:
    """Return the text as Markdown that shows just that, also in a cell of a table: no markup, line break or link."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(clean(str(text)).split()))


def code(text: object) -> str:
    """Return the text as code. Text that code cannot show safely is escaped instead."""
    shown = " ".join(clean(str(text)).split())
    return f"`{shown}`" if _CODE.fullmatch(shown) else escape(shown)


def fenced(lines: Iterable[str], language: str = "text") -> str:
    """Return lines as a block of code, which GitHub offers to copy. A line cannot end the block."""
    shown = [" ".join(clean(line, lines=True).replace("\n", " ").split("\t")) for line in lines]
    longest = max((len(ticks) for line in shown for ticks in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join((f"{fence}{language}", *shown, fence))


def link(text: str, url: str) -> str:
    """Return Markdown as a link, or as it is if there is no URL. The URL is quoted."""
    return f"[{text}]({quote(url, safe=':/?&=%#@+,;~-._')})" if url else text


def row(cells: Sequence[str]) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cells)} |"


def head(names: Sequence[str], *, right: Iterable[int] = ()) -> str:
    """Return the first two lines of a table. right: the columns that are aligned right, from 0."""
    numbers = set(right)
    return f"{row(names)}\n{row(['--:' if number in numbers else ':--' for number in range(len(names))])}"


def size(size_bytes: int | None) -> str:
    """Return a size for people, or "-" if it is unknown."""
    return "-" if size_bytes is None else units.size(size_bytes)
