"""The options that every command has (-v, -q, --no-progress, --debug, --log-format), and what they switch on.

Imported by every start of `bakery`: nothing is imported here that only a running command needs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from bakery.report.lines import Form

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


def is_verbose() -> bool:
    """Return whether debug messages are printed."""
    return bool(_given.get("verbose") or _given.get("debug"))


def logs_json() -> bool:
    """Return whether every line on stderr is JSON."""
    return bool(_given.get("log_format") == "json")


def shows_progress() -> bool:
    """Return whether a run may be drawn on the terminal as it goes, rather than printed as lines."""
    return not (is_quiet() or logs_json() or _given.get("no_progress") or os.environ.get("BAKERY_NO_PROGRESS"))


def choose(progress: str) -> None:
    """Show a run as buildx's --progress says: `none` is --quiet, `plain` is --no-progress, `rawjson` is JSON lines."""
    option = {"none": ("quiet", True), "plain": ("no_progress", True), "rawjson": ("log_format", "json")}.get(progress)
    if option is not None:
        _given[option[0]] = option[1]
        configure_logging()


def log_level() -> int:
    """Return the level that a line must have to be printed, as logging counts."""
    return 10 if is_verbose() else 40 if is_quiet() else 20


def form() -> Form:
    """Return how lines are written: with the time unless they go to an interactive terminal."""
    from bakery.report.lines import Form, is_github

    return Form(
        json=logs_json(),
        dated=bool(os.environ.get("CI")) or is_github(os.environ) or not sys.stderr.isatty(),
        github=is_github(os.environ),
    )


def configure_logging() -> None:
    """Send log records to stderr, one line each, never wrapped."""
    import logging

    from bakery.report import printing
    from bakery.report.lines import LineFormatter

    printing.use(form())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(form()))
    handler.addFilter(_without_traceback)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("bakery").setLevel(log_level())


def _without_traceback(record: Any) -> bool:
    """Replace the traceback of a log record with the error in words, unless tracebacks are shown."""
    if record.exc_info and record.exc_info[1] is not None and not is_debugging():
        from bakery.errors import reason

        record.msg, record.args = f"{record.getMessage()}: {reason(record.exc_info[1])}", ()
        record.exc_info = None
    return True


def _keep(_context: click.Context, option: click.Parameter, value: Any) -> None:
    if value:
        _given[str(option.name)] = value
    if _given.get("verbose") and is_quiet():
        raise click.UsageError("--verbose and --quiet exclude each other")


log_format = click.option(
    "--log-format", type=click.Choice(LOG_FORMATS), envvar="BAKERY_LOG_FORMAT", show_envvar=True, default="text",
    callback=_keep, expose_value=False, help="Format of log lines on stderr.",
)  # fmt: skip


_log_format_here = click.option(
    "--log-format", type=click.Choice(LOG_FORMATS), callback=_keep, expose_value=False, is_eager=True,
    help="Format of lines on stderr.",
)  # fmt: skip


def _switch(*names: str, text: str) -> Declared:
    return click.option(*names, is_flag=True, is_eager=True, expose_value=False, callback=_keep, help=text)


def options(function: CommandFunction) -> CommandFunction:
    """Declare -v, -q, --no-progress and --debug, and set up logging before the command runs."""

    @_switch("-v", "--verbose", text="Print debug messages.")
    @_switch("-q", "--quiet", text="Print only errors.")
    @_switch("--no-progress", text="Print lines instead of drawing a live view (BAKERY_NO_PROGRESS).")
    @_log_format_here
    @_switch("--debug", text="Show tracebacks of errors (BAKERY_DEBUG).")
    @wraps(function)
    def command(*args: Any, **given: Any) -> None:
        configure_logging()
        function(*args, **given)

    return command
