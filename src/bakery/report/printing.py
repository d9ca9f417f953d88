"""The border where text for people leaves the process: everything that passes is cleaned, wherever it comes from."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, TextIO

from bakery.report.lines import Form, Line, coloured, is_github, lines_of, render, showable
from bakery.text import clean, without_commands

_form = Form()  # of this process; `use` sets it before anything is printed


def use(form: Form) -> None:
    """Print in this form from now on."""
    global _form
    _form = form


def print_text(text: str, stream: TextIO | None = None, *, commands: bool = False) -> None:
    """Print text for people, by default on stderr: cleaned, and on GitHub without commands.

    commands: the text has our own commands for GitHub; all other text in it is free of them. If lines on stderr are
    JSON, each line is an object; an error is one together with its hint.
    """
    out = sys.stderr if stream is None else stream
    text = clean(text, lines=True)
    if _form.json and stream is None:
        _write(out, "".join(f"{render(line, _now(), _form)}\n" for line in lines_of(text)))
        return
    if not commands and is_github(os.environ):
        text = without_commands(text)
    _write(out, coloured(text) if _shows_colours(out) else text)


def print_lines(lines: Iterable[Line]) -> None:
    """Print lines on stderr."""
    now = _now()
    text = clean("".join(f"{render(line, now, _form)}\n" for line in lines), lines=True)
    _write(sys.stderr, coloured(text) if _shows_colours(sys.stderr) and not _form.json else text)


def _write(out: TextIO, text: str) -> None:
    out.write(showable(text, out.encoding or "utf-8"))
    out.flush()


def _now() -> datetime:
    return datetime.now(UTC)


def _shows_colours(out: TextIO) -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb" and out.isatty()


_NAME: Final = re.compile(r"[^a-z0-9]+")


@contextmanager
def group(title: str, environment: Mapping[str, str]) -> Iterator[None]:
    """Make output foldable on GitHub and GitLab, nowhere else. The group is always closed, also by an interrupt."""
    begin, end = _fold(clean(title), environment)
    if begin:
        _write(sys.stderr, begin)
    try:
        yield
    finally:
        if end:
            _write(sys.stderr, end)


def _fold(title: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """What begins and ends a group; nothing if each line must be JSON."""
    if _form.json:
        return "", ""
    if is_github(environment):
        return f"::group::{without_commands(title)}\n", "::endgroup::\n"
    if environment.get("GITLAB_CI") == "true":
        name, seconds = f"bakery_{_NAME.sub('_', title.lower()).strip('_')}", int(_now().timestamp())
        begin = f"\x1b[0Ksection_start:{seconds}:{name}[collapsed=true]\r\x1b[0K{title}\n"
        return begin, f"\x1b[0Ksection_end:{seconds}:{name}\r\x1b[0K\n"
    return "", ""
