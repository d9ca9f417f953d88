"""Options that several commands share, and what the general ones (-v, -q, --debug, --log-format) switch on."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

LOG_FORMATS = ("text", "json")
_state = {"debug": False, "verbose": False, "quiet": False}
_state_format = {"form": "text"}


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
    from bakery.report.lines import LineFormatter, is_github

    in_ci = bool(os.environ.get("CI")) or is_github(os.environ)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(_log_format(), dated=in_ci, github=is_github(os.environ)))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("bakery").setLevel(level)


def set_log_format(form: str) -> str:
    """Take what --log-format says. Raises BadParameter for a form that there is not."""
    if form not in LOG_FORMATS:
        raise typer.BadParameter(f"{form!r} is none of {', '.join(LOG_FORMATS)}")
    _state_format["form"] = form
    configure_logging()
    return form


def _log_format() -> str:
    return _state_format["form"]


Metadata = Annotated[
    list[str],
    typer.Argument(metavar="METADATA...", help="Build metadata files, or patterns for them.", show_default=False),
]
ImageName = Annotated[
    str | None, typer.Option("--image-name", metavar="RE", help="Only images whose name this matches anywhere.")
]
TempRegistry = Annotated[
    str | None,
    typer.Option("--temp-registry", help="Where builds were pushed. Sources are read where the metadata says."),
]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, help="How many targets at once (BAKERY_MAX_CONCURRENCY)."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be done; ask no registry.")]
Engine = Annotated[
    str, typer.Option("--engine", envvar="BAKERY_ENGINE", metavar="native|cli", help="What moves the content.")
]
WaitTimeout = Annotated[
    float,
    typer.Option("--wait-timeout", envvar="BAKERY_WAIT_TIMEOUT", min=0, help="Seconds to wait for a target's builds."),
]
TimeBudget = Annotated[
    float,
    typer.Option("--time-budget", envvar="BAKERY_TIME_BUDGET", min=0, help="Seconds that the run may take."),
]
AllowEmpty = Annotated[bool, typer.Option("--allow-empty", help="Nothing to publish is no failure.")]
AllowMissingPlatforms = Annotated[
    bool, typer.Option("--allow-missing-platforms", help="Publish a target that lacks a declared platform.")
]
CaFile = Annotated[
    Path | None,
    typer.Option("--ca-file", envvar="BAKERY_CA_FILE", metavar="FILE", help="Trust these certificate authorities too."),
]
PlainHttp = Annotated[
    list[str] | None,
    typer.Option("--plain-http", metavar="HOST", help="Speak plain HTTP to this host; repeatable (BAKERY_PLAIN_HTTP)."),
]
TrustedRealm = Annotated[
    list[str] | None,
    typer.Option(
        "--trusted-realm",
        metavar="ORIGIN",
        help="Send logins to this token service; repeatable (BAKERY_TRUSTED_REALMS).",
    ),
]
BuildToolIdentifier = Annotated[
    str | None,
    typer.Option("--build-tool-identifier", envvar="BAKERY_BUILD_TOOL_IDENTIFIER", help="Part of every SOCI index."),
]


def overlaid(
    environment: Mapping[str, str],
    *,
    ca_file: Path | None = None,
    plain_http: Sequence[str] | None = None,
    trusted_realms: Sequence[str] | None = None,
    build_tool_identifier: str | None = None,
) -> dict[str, str]:
    """The environment with what options say in place of their variables."""
    given = {
        "BAKERY_CA_FILE": str(ca_file) if ca_file else None,
        "BAKERY_PLAIN_HTTP": ",".join(plain_http or ()),
        "BAKERY_TRUSTED_REALMS": ",".join(trusted_realms or ()),
        "BAKERY_BUILD_TOOL_IDENTIFIER": build_tool_identifier,
    }
    return dict(environment) | {name: text for name, text in given.items() if text}


Shard = Annotated[
    str,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Only the I-th of N shares (ci matrix --shards N).",
        show_default=False,
    ),
]
Summary = Annotated[bool, typer.Option("--summary", help="Print what was published.")]
SummaryFormat = Annotated[
    str,
    typer.Option("--summary-format", metavar="table|json", help="table goes to stderr, json to stdout."),
]
Journal = Annotated[
    Path | None,
    typer.Option("--journal", dir_okay=False, help="Append what happens to this file, in JSON lines."),
]
SummaryFile = Annotated[
    Path | None,
    typer.Option(
        "--summary-file",
        dir_okay=False,
        help="Write the summary there too: JSON if its name ends in .json.",
        show_default=False,
    ),
]
