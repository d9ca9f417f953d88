"""Running the command line in this process, as a user would: exit code, stdout, stderr."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import click

from bakery.cli import general, main


def inner_commands(command: click.Command) -> dict[str, click.Command]:
    """The commands of a group by name, also those that are imported when they run."""
    if not isinstance(command, click.Group):
        return {}
    context = click.Context(command)
    found = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return {name: one for name, one in found.items() if one is not None}


@dataclass(frozen=True)
class Ran:
    """The result of a command."""

    code: int
    out: str
    err: str


@contextlib.contextmanager
def logging_kept() -> Iterator[None]:
    """Undo what a command does to logging, which other tests share."""
    root, own = logging.getLogger(), logging.getLogger("bakery")
    handlers, level, own_level = root.handlers[:], root.level, own.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        own.setLevel(own_level)


def bakery(
    *words: str | Path, stdin: str = "", environ: Mapping[str, str] | None = None, keep_environment: bool = True
) -> Ran:
    """Run `bakery WORDS`, without the options of other tests and without the caller's BAKERY variables."""
    arguments: Sequence[str] = [str(word) for word in words]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("BAKERY_")} if keep_environment else {}
    out, err = io.StringIO(), io.StringIO()
    general._given.clear()

    with (
        logging_kept(),
        mock.patch.dict(os.environ, {**clean, **(environ or {})}, clear=True),
        mock.patch.object(sys, "stdin", io.StringIO(stdin)),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            code = main.guarded(lambda: main.app(args=list(arguments), prog_name="bakery", standalone_mode=False))
        except SystemExit as done:
            code = done.code if isinstance(done.code, int) else 1
    general._given.clear()
    return Ran(int(code), out.getvalue(), err.getvalue())
