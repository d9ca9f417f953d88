"""What is wrong or doubtful in bakery.yaml, as values: where it stands, what is allowed, how to show it.

A `Finding` names its place as a path of keys; `bakery.config.document` turns it into a `Problem` with line and column.
Nothing here prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from bakery.errors import ConfigurationError

_MOST_SHOWN = 500  # more says nothing new, and a terminal has an end

Keys = tuple[str | int, ...]
"""Keys and indexes from the top of the document: `("images", 0, "name")`."""


@dataclass(frozen=True, slots=True)
class Finding:
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


@dataclass(frozen=True, slots=True)
class Problem:
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
        about = f"{self.path}: " if self.path else ""
        text = f"{place}: {kind}: {about}{self.message}"
        if self.hint:
            text += f". Next: {self.hint}"
        if not self.source:
            return text
        number = str(self.line)
        pointer = " " * (self.column - 1) + "^"
        return f"{text}\n  {number} | {self.source}\n  {' ' * len(number)} | {pointer}"


class InvalidProject(ConfigurationError):
    """A project that cannot be used, with everything that was found in it, not just the first error."""

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.line, problem.column, problem.path)))
        self.errors = sum(not problem.warning for problem in self.problems)
        super().__init__("reading", about=file, answer=f"{self.errors} error(s)")

    def __str__(self) -> str:
        head = f"{self.about} cannot be used: {self.errors} error{'s' if self.errors != 1 else ''}"
        shown = [str(problem) for problem in self.problems[:_MOST_SHOWN]]
        more = len(self.problems) - len(shown)
        return "\n".join([head, *shown, *([f"and {more:,} more"] if more else [])])


def spell(path: Keys) -> str:
    """A path as messages write it: `images[0].versions[2].os[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else str(part)
    return text


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was most likely meant, or ""."""
    names = list(known)
    lowered = {name.lower().replace("_", ""): name for name in names}
    close = get_close_matches(word.lower().replace("_", ""), list(lowered), n=1, cutoff=0.6)
    return lowered[close[0]] if close else ""


def listing(words: Sequence[str]) -> str:
    """`a, b or c`."""
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1] if words else ""]))
