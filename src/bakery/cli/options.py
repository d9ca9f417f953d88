"""Options that several commands share, and what the general ones (-v, -q, --debug, --log-format) switch on.

Each is declared once, as a decorator. Nothing here is imported that only a command that runs would need.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

LOG_FORMATS = ("text", "json")
_state = {"debug": False, "verbose": False, "quiet": False}
_state_format = {"form": "text"}


def debug_wanted() -> bool:
    """Whether tracebacks are to be shown: --debug, or BAKERY_DEBUG set to anything."""
    return _state["debug"] or bool(os.environ.get("BAKERY_DEBUG"))


def quiet_wanted() -> bool:
    """Whether only errors are to be said."""
    return _state["quiet"]


def configure_logging() -> None:
    """Send log records to stderr, one line each, never wrapped."""
    import logging

    from bakery.report.lines import LineFormatter, is_github

    level = (
        logging.DEBUG if _state["verbose"] or _state["debug"] else logging.ERROR if _state["quiet"] else logging.INFO
    )
    in_ci = bool(os.environ.get("CI")) or is_github(os.environ)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(_state_format["form"], dated=in_ci, github=is_github(os.environ)))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("bakery").setLevel(level)


def _set_log_format(_context: click.Context, _option: click.Parameter, form: str) -> None:
    if form not in LOG_FORMATS:
        raise click.BadParameter(f"{form!r} is none of {', '.join(LOG_FORMATS)}")
    _state_format["form"] = form


log_format = click.option(
    "--log-format", metavar="text|json", envvar="BAKERY_LOG_FORMAT", show_envvar=True, default="text",
    callback=_set_log_format, expose_value=False, help="How log lines on stderr are written.",
)  # fmt: skip


def _switch(_context: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        _state[option.name] = True
    if _state["verbose"] and _state["quiet"]:
        raise click.BadParameter("--verbose and --quiet exclude each other")


def _switching(*names: str, text: str) -> Callable[[F], F]:
    return click.option(*names, is_flag=True, is_eager=True, expose_value=False, callback=_switch, help=text)


def general(function: Callable[..., None]) -> Callable[..., None]:
    """-v, -q and --debug, for a command that begins by setting up its log as they say."""

    @_switching("-v", "--verbose", text="Say more: debug messages.")
    @_switching("-q", "--quiet", text="Say errors only.")
    @_switching("--debug", text="Show tracebacks of errors (BAKERY_DEBUG).")
    @wraps(function)
    def command(*args: Any, **given: Any) -> None:
        configure_logging()
        function(*args, **given)

    return command


class Seconds(click.FloatRange):
    """A time that is not negative. `inf` is one, `nan` is none."""

    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = float(super().convert(value, param, ctx))
        if seconds != seconds:
            self.fail(f"{value} is no number of seconds.", param, ctx)
        return seconds


context = click.option(
    "--context", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path(), show_default="here",
    help="The folder with bakery.yaml.",
)  # fmt: skip
FILES = click.Path(
    readable=False
)  # names of files, or text that may be one: a shell completes it, whoever reads it judges
metadata = click.argument(
    "metadata", metavar="METADATA...", type=FILES, nargs=-1, required=True,
    help="Build metadata files, or patterns for them.",
)  # fmt: skip
image_name = click.option("--image-name", metavar="RE", help="Only images whose name this matches anywhere.")
temp_registry = click.option(
    "--temp-registry", metavar="REGISTRY", expose_value=False,  # kept for old callers
    help="Where builds were pushed. Sources are read where the metadata says.",
)  # fmt: skip
jobs = click.option(
    "-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="How many targets at once (BAKERY_MAX_CONCURRENCY)."
)
dry_run = click.option("--dry-run", is_flag=True, help="Print what would be done; ask no registry.")
engine = click.option(
    "--engine", metavar="native|cli", envvar="BAKERY_ENGINE", show_envvar=True, default="native",
    help="What moves the content.",
)  # fmt: skip
wait_timeout = click.option(
    "--wait-timeout", type=Seconds(), metavar="SECONDS", envvar="BAKERY_WAIT_TIMEOUT", show_envvar=True, default=600.0,
    help="How long to wait for a target's builds.",
)  # fmt: skip
time_budget = click.option(
    "--time-budget", type=Seconds(), metavar="SECONDS", envvar="BAKERY_TIME_BUDGET", show_envvar=True, default=1800.0,
    help="How long the run may take.",
)  # fmt: skip


def publishing(function: F) -> F:
    """What every command that publishes takes: of which project, which images, how many at once, by what."""
    for option in (engine, dry_run, jobs, temp_registry, image_name, context):  # help lists them the other way round
        function = option(function)
    return function


allow_empty = click.option("--allow-empty", is_flag=True, help="Nothing to publish is no failure.")
allow_missing_platforms = click.option(
    "--allow-missing-platforms", is_flag=True, help="Publish a target that lacks a declared platform."
)
shard = click.option(
    "--shard", metavar="I/N", default="", show_default=False, help="Only the I-th of N shares (ci matrix --shards N)."
)
summary = click.option("--summary", is_flag=True, help="Print what was published.")
summary_format = click.option(
    "--summary-format", metavar="table|json", default="table", help="table goes to stderr, json to stdout."
)
summary_file = click.option(
    "--summary-file", type=click.Path(dir_okay=False, path_type=Path),
    help="Write the summary there too: JSON if its name ends in .json.",
)  # fmt: skip
journal = click.option(
    "--journal", type=click.Path(dir_okay=False, path_type=Path),
    help="Append what happens to this file, in JSON lines.",
)  # fmt: skip
ca_file = click.option(
    "--ca-file", type=click.Path(path_type=Path), metavar="FILE", envvar="BAKERY_CA_FILE", show_envvar=True,
    help="Trust these certificate authorities too.",
)  # fmt: skip
plain_http = click.option(
    "--plain-http", metavar="HOST", multiple=True,
    help="Speak plain HTTP to this host; repeatable (BAKERY_PLAIN_HTTP).",
)  # fmt: skip
trusted_realm = click.option(
    "--trusted-realm", metavar="ORIGIN", multiple=True,
    help="Send logins to this token service; repeatable (BAKERY_TRUSTED_REALMS).",
)  # fmt: skip
build_tool_identifier = click.option(
    "--build-tool-identifier", metavar="TEXT", envvar="BAKERY_BUILD_TOOL_IDENTIFIER", show_envvar=True,
    help="Part of every SOCI index.",
)  # fmt: skip

faults = click.option(
    "--faults", metavar="NAME", default="", show_default="none",
    help="Behave as ghcr, hub, ecr, flaky, hostile … (docs/faults.md), or as a NAME.json says.",
)  # fmt: skip
seed = click.option("--seed", type=int, metavar="N", default=0, help="Which run of the faults' dice.")


def overlaid(
    environment: Mapping[str, str],
    *,
    ca_file: Path | None = None,
    plain_http: Sequence[str] = (),
    trusted_realms: Sequence[str] = (),
    build_tool_identifier: str | None = None,
) -> dict[str, str]:
    """The environment with what options say in place of their variables."""
    given = {
        "BAKERY_CA_FILE": str(ca_file) if ca_file else None,
        "BAKERY_PLAIN_HTTP": ",".join(plain_http),
        "BAKERY_TRUSTED_REALMS": ",".join(trusted_realms),
        "BAKERY_BUILD_TOOL_IDENTIFIER": build_tool_identifier,
    }
    return dict(environment) | {name: text for name, text in given.items() if text}
