"""The border where text for people leaves the process: everything that passes is cleaned, wherever it comes from."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

from bakery.report.lines import is_github, showable
from bakery.text import clean, without_commands


def print_text(text: str, stream: TextIO | None = None, *, commands: bool = False) -> None:
    """Print text for people, by default on stderr: cleaned, and on GitHub without commands.

    commands: the text has our own commands for GitHub; all other text in it is free of them.
    """
    out = sys.stderr if stream is None else stream
    text = clean(text, lines=True)
    if not commands and is_github(os.environ):
        text = without_commands(text)
    out.write(showable(text, out.encoding or "utf-8"))
    out.flush()


@contextmanager
def group(title: str, environment: Mapping[str, str]) -> Iterator[None]:
    """Make output foldable on GitHub; do nothing elsewhere. The group is always closed, also by an interrupt."""
    folded = is_github(environment)
    if folded:
        print_text(f"::group::{without_commands(clean(title))}\n", commands=True)
    try:
        yield
    finally:
        if folded:
            print_text("::endgroup::\n", commands=True)
