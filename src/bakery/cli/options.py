"""Options that several commands share, and what the general ones (-v, -q, --debug, --log-format) switch on."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

_state = {"debug": False, "verbose": False, "quiet": False}


def debug_wanted() -> bool:
    """Whether tracebacks are to be shown: --debug, or BAKERY_DEBUG set to anything."""
    return _state["debug"] or bool(os.environ.get("BAKERY_DEBUG"))


def _switch(name: str, value: bool) -> bool:
    if value:
        _state[name] = True
    if _state["verbose"] and _state["quiet"]:
        raise typer.BadParameter("--verbose and --quiet exclude each other")
    if value:
        configure_logging()
    return value


def _set_verbose(value: bool) -> bool:
    return _switch("verbose", value)


def _set_quiet(value: bool) -> bool:
    return _switch("quiet", value)


def _set_debug(value: bool) -> bool:
    return _switch("debug", value)


Context = Annotated[
    Path,
    typer.Option("--context", help="The folder with bakery.yaml.", file_okay=False, exists=True, show_default="here"),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say more: debug messages.", callback=_set_verbose, is_eager=True)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say errors only.", callback=_set_quiet, is_eager=True)]
Debug = Annotated[
    bool,
    typer.Option("--debug", help="Show tracebacks of errors (BAKERY_DEBUG).", callback=_set_debug, is_eager=True),
]


def quiet_wanted() -> bool:
    """Whether only errors are to be said."""
    return _state["quiet"]


def configure_logging() -> None:
    """Send log records to stderr, one line each, never wrapped."""
    level = (
        logging.DEBUG if _state["verbose"] or _state["debug"] else logging.ERROR if _state["quiet"] else logging.INFO
    )
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(message)s", force=True)
    logging.getLogger("bakery").setLevel(level)
