"""The options that every command has (-v, -q, --debug, --log-format), and what they switch on.

Imported by every start of `bakery`: nothing is imported here that only a running command needs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

import click

CommandFunction = Callable[..., None]
Declared = Callable[[CommandFunction], CommandFunction]  # an option or argument, as a decorator

LOG_FORMATS: Final = ("text", "json")
_given: dict[str, Any] = {}  # the general options of this process


def is_debugging() -> bool:
    """Return whether tracebacks are shown: --debug, or BAKERY_DEBUG set to anything."""
    return bool(_given.get("debug") or os.environ.get("BAKERY_DEBUG"))


def is_quiet() -> bool:
    """Return whether only errors are printed."""
    return bool(_given.get("quiet"))


def logs_json() -> bool:
    """Return whether every line on stderr is JSON."""
    return _given.get("log_format") == "json"


def is_verbose() -> bool:
    """Return whether debug messages and whole digests are printed."""
    return bool(_given.get("verbose") or _given.get("debug"))


def configure_logging() -> None:
    """Send log records to stderr, one line each, never wrapped."""
    import logging

    from bakery.report.lines import LineFormatter, is_github

    verbose = _given.get("verbose") or _given.get("debug")
    level = logging.DEBUG if verbose else logging.ERROR if is_quiet() else logging.INFO
    in_ci = bool(os.environ.get("CI")) or is_github(os.environ)
    handler = logging.StreamHandler(sys.stderr)
    form = _given.get("log_format", "text")
    handler.setFormatter(LineFormatter(form, dated=in_ci, github=is_github(os.environ)))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("bakery").setLevel(level)


def _keep(_context: click.Context, option: click.Parameter, value: Any) -> None:
    if value:
        _given[str(option.name)] = value
    if _given.get("verbose") and is_quiet():
        raise click.UsageError("--verbose and --quiet exclude each other")


log_format = click.option(
    "--log-format", type=click.Choice(LOG_FORMATS), envvar="BAKERY_LOG_FORMAT", show_envvar=True, default="text",
    callback=_keep, expose_value=False, help="Format of log lines on stderr.",
)  # fmt: skip


def _switch(*names: str, text: str) -> Declared:
    return click.option(*names, is_flag=True, is_eager=True, expose_value=False, callback=_keep, help=text)


def options(function: CommandFunction) -> CommandFunction:
    """Declare -v, -q and --debug, and set up logging before the command runs."""

    @_switch("-v", "--verbose", text="Print debug messages.")
    @_switch("-q", "--quiet", text="Print only errors.")
    @_switch("--debug", text="Show tracebacks of errors (BAKERY_DEBUG).")
    @wraps(function)
    def command(*args: Any, **given: Any) -> None:
        configure_logging()
        function(*args, **given)

    return command
