"""Problems found in bakery.yaml, as values: where each one is, what is wrong, and how it is shown.

A `Finding` has its place as a path of keys; `Document.problem` turns it into a `Problem` with line and column.
Nothing here prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from bakery.errors import ConfigurationError
from bakery.text import clean, plural

_MAX_SHOWN = 500  # problems; a longer list tells the user nothing new
_MAX_LINE = 160  # characters of a line of the file that are shown, around the column
_MAX_TEXT = 600  # characters of a message, a path or a hint: it may quote a value as long as the file
_MAX_VALUE = 80  # characters of a value that are shown

Keys = tuple[str | int, ...]
"""Keys and indexes from the top of the document: `("images", 0, "name")`."""


class Finding(Struct, frozen=True):
    """Something wrong or doubtful about the value at `path`.

    strict: a warning that `--strict` turns into an error. at_key: the key is wrong, not its value.
    at: line and column, if no path leads there.
    """

    path: Keys
    message: str
    hint: str = ""
    warning: bool = False
    strict: bool = False
    at_key: bool = False
    at: tuple[int, int] | None = None


class Problem(Struct, frozen=True):
    """A finding with its place in the file. Lines and columns count from 1; 0 if the file has no such place."""

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str
    warning: bool
    strict: bool
    source: str  # the line of the file, or ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        kind = "warning" if self.warning else "error"
        about = f"{_shortened(self.path)}: " if self.path else ""
        lines = [clean(f"{place}: {kind}: {about}{_shortened(self.message)}")]
        if self.hint:
            lines.append(clean(f"  hint: {_shortened(self.hint)}"))
        if self.source:
            number = str(self.line)
            source, column = _window(self.source, self.column - 1)
            lines += [clean(f"  {number} | {source}"), f"  {' ' * len(number)} | {' ' * column}^"]
        return "\n".join(lines)


class InvalidProject(ConfigurationError):
    """A project that cannot be used, with all its problems: every error, and the warnings."""

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.line, problem.column, problem.path)))
        self.errors = sum(not problem.warning for problem in self.problems)
        super().__init__("cannot load", about=file, why=plural(self.errors, "error"))

    def __str__(self) -> str:
        shown_problems = [str(problem) for problem in self.problems[:_MAX_SHOWN]]
        more = len(self.problems) - len(shown_problems)
        return "\n".join([super().__str__(), *shown_problems, *([f"and {more:,} more"] if more else [])])


def path_text(path: Keys) -> str:
    """Return a path as messages show it: `images[0].versions[2].os[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int) and not isinstance(part, bool):
            text += f"[{part}]"
        else:
            text += f".{key_text(part)}" if text else key_text(part)
    return text


def key_text(key: object) -> str:
    """Return a key as the file spells it: YAML also takes `~` and `true` as keys."""
    if key is None:
        return "null"
    return str(key).lower() if isinstance(key, bool) else str(key)


def shown(value: object) -> str:
    """Return a value as messages show it, with its kind if that is what is wrong. Long text is cut."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    text = repr(value)
    return text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 1] + "…"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that was most likely meant, or ""."""
    from difflib import get_close_matches  # needed for misspelled words only

    names = list(known)
    lowered = {name.lower().replace("_", ""): name for name in names}
    close = get_close_matches(word.lower().replace("_", ""), list(lowered), n=1, cutoff=0.6)
    return lowered[close[0]] if close else ""


def alternatives(words: Sequence[str]) -> str:
    """Return `a`, `a or b`, or `a, b or c`."""
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1] if words else ""]))


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 100]} … {text[-80:]}"


def _window(source: str, column: int) -> tuple[str, int]:
    """Return the part of a line around a column (from 0), and the column's position in that part."""
    plain = source.replace("\t", " ")  # one column each, so that the caret is below its character
    if len(plain) <= _MAX_LINE:
        return plain.rstrip(), column
    start = max(0, min(column - _MAX_LINE // 2, len(plain) - _MAX_LINE))
    before, after = "…" if start else "", "…" if start + _MAX_LINE < len(plain) else ""
    return f"{before}{plain[start : start + _MAX_LINE].rstrip()}{after}", column - start + len(before)
