"""What is wrong or doubtful in bakery.yaml, as values: where it stands, what is allowed, how to show it.

A `Finding` names its place as a path of keys; `document` turns it into a `Problem` with line and column.
Nothing here prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from bakery.errors import ConfigurationError

_MOST_SHOWN = 500  # more says nothing new, and a terminal has an end
_WIDEST = 160  # characters of a line of the file that are shown, around the place that is meant
_LONGEST = 600  # characters of a message, a path or a hint: a value in it may be a whole file

Keys = tuple[str | int, ...]
"""Keys and indexes from the top of the document: `("images", 0, "name")`."""


class Finding(Struct, frozen=True):
    """Something to tell about the value at `path`. `at_key`: it is the key that is wrong, not its value.

    strict: a warning that `--strict` turns into an error. at: line and column, where no path leads there.
    """

    path: Keys
    message: str
    hint: str = ""
    warning: bool = False
    strict: bool = False
    at_key: bool = False
    at: tuple[int, int] | None = None


class Problem(Struct, frozen=True):
    """A finding with its place in the file. Lines and columns count from 1; 0 where the file has no such place."""

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
        text = f"{place}: {kind}: {about}{_shortened(self.message)}"
        if self.hint:
            text += f". Next: {_shortened(self.hint)}"
        if not self.source:
            return text
        number = str(self.line)
        source, column = _window(self.source, self.column - 1)
        return f"{text}\n  {number} | {source}\n  {' ' * len(number)} | {' ' * column}^"


class InvalidProject(ConfigurationError):
    """A project that cannot be used, with everything that was found in it, not just the first error."""

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.line, problem.column, problem.path)))
        self.errors = sum(not problem.warning for problem in self.problems)
        super().__init__("reading", about=file, why=f"{self.errors} error(s)")

    def __str__(self) -> str:
        head = f"{self.about} cannot be used: {self.errors} error{'s' if self.errors != 1 else ''}"
        shown = [str(problem) for problem in self.problems[:_MOST_SHOWN]]
        more = len(self.problems) - len(shown)
        return "\n".join([head, *shown, *([f"and {more:,} more"] if more else [])])


def spell(path: Keys) -> str:
    """A path as messages write it: `images[0].versions[2].os[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int) and not isinstance(part, bool):
            text += f"[{part}]"
        else:
            text += f".{key_text(part)}" if text else key_text(part)
    return text


def key_text(key: object) -> str:
    """A key as the file writes it: YAML takes `~` and `true` for keys too."""
    if key is None:
        return "null"
    return str(key).lower() if isinstance(key, bool) else str(key)


def _shortened(text: str) -> str:
    """A text with its middle left out where it is too long to be read."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 100]} … {text[-80:]}"


def _window(source: str, column: int) -> tuple[str, int]:
    """The part of a line round a column, which counts from 0, and where the column is in it."""
    plain = source.replace("\t", " ")  # one column each, so that the mark stands under what is meant
    if len(plain) <= _WIDEST:
        return plain.rstrip(), column
    start = max(0, min(column - _WIDEST // 2, len(plain) - _WIDEST))
    before, after = "…" if start else "", "…" if start + _WIDEST < len(plain) else ""
    return f"{before}{plain[start : start + _WIDEST].rstrip()}{after}", column - start + len(before)


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was most likely meant, or ""."""
    from difflib import get_close_matches  # for who made a slip

    names = list(known)
    lowered = {name.lower().replace("_", ""): name for name in names}
    close = get_close_matches(word.lower().replace("_", ""), list(lowered), n=1, cutoff=0.6)
    return lowered[close[0]] if close else ""


def listing(words: Sequence[str]) -> str:
    """`a, b or c`."""
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1] if words else ""]))
