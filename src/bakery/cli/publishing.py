"""What every publishing command shares: its options, and how its plan and outcome are shown.

`ci publish`, `ci merge`, `imagetools publish`, `imagetools merge` and `oras merge` are one command; the last two leave
SOCI out. `soci convert` takes the same options but for the report.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click
from msgspec import Struct
from msgspec.structs import force_setattr, replace

from bakery.app.planning import PublishRequest
from bakery.app.publishing import PublishOptions
from bakery.cli import filters, options, output
from bakery.cli.general import CommandFunction, Declared
from bakery.cli.options import declare, gather
from bakery.cli.pages import Recordings, append_page, check_writable, not_written, write_file
from bakery.cli.watching import look, watching
from bakery.errors import ExitCode, UsageError
from bakery.events import Emit

if TYPE_CHECKING:
    from bakery.publish.outcome import Outcome
    from bakery.publish.plan import Plan
    from bakery.report.model import Run

_WHAT: Final = (
    options.context, options.image_name, options.shard, options.allow_empty, filters.dev_channel, filters.dev_spec,
    options.offline,
)  # fmt: skip
TRUST: Final = (
    options.all_or_nothing, options.on_failure, options.no_downgrade, options.if_newer, options.immutable,
    options.keep_previous,
    options.referrers, options.attach, options.sign, options.sign_key, options.sign_option, options.before_commit,
)  # fmt: skip  # which tags may move, together with which, and what must be there before
_HOW: Final = (
    options.dry_run, options.convert, options.strict_plan, options.jobs, options.engine, options.wait_timeout,
    options.time_budget,
    options.allow_missing_platforms, options.allow_extra_platforms, options.temp_registry, options.delete_sources,
    *TRUST,
)  # fmt: skip
ACCESS: Final = (
    options.ca_file, options.client_cert, options.client_key, options.plain_http, options.trusted_realm,
    options.build_tool_identifier,
)  # fmt: skip
ACCESS_NAMES: Final = (
    "ca_file", "client_cert", "client_key", "plain_http", "trusted_realm", "build_tool_identifier",
)  # fmt: skip
REPORT: Final = (
    options.summary, options.summary_format, options.summary_file, options.journal, options.timeline, options.trace,
    options.result,
)  # fmt: skip


class Reporting(Recordings, frozen=True):
    """What a publishing command prints and writes besides its log."""

    dry_run: bool = False
    offline: bool = False
    strict: bool = False
    convert: bool = False
    summary: bool = False
    summary_format: Literal["table", "json"] = "table"
    summary_file: Path | None = None
    journal: Path | None = None
    result: Literal["text", "json", "markdown"] = "text"

    def __post_init__(self) -> None:
        of_plans = {
            "--strict": self.strict, "--convert": self.convert, "--output markdown": self.result == "markdown",
        }  # fmt: skip
        for name, is_given in of_plans.items():
            if is_given and not self.dry_run:
                raise UsageError(f"cannot use {name}", why="it is about a dry run", hint="pass --dry-run")
        if self.convert and self.offline:
            raise UsageError("cannot combine --convert and --offline", why="layers are read from registries")
        wanted = options.wants_summary(self.summary, self.summary_format, file=self.summary_file)
        force_setattr(self, "summary", wanted)


class Publishing(Struct, frozen=True):
    """The command line of a publishing command: what to publish, how, and what to report."""

    request: PublishRequest
    options: PublishOptions
    reporting: Reporting


def publishing(*, metadata: Declared = options.metadata, report: bool = True) -> Declared:
    """Declare the options of a publishing command; it receives them as `wanted`, a Publishing.

    report: with the options of the summary and journal.
    """

    def decorate(function: CommandFunction) -> CommandFunction:
        @wraps(function)
        def command(**given: Any) -> None:
            access = {name: given.pop(name) for name in ACCESS_NAMES}
            given["environment"] = options.overlaid(os.environ, **access)
            structs = (PublishRequest, PublishOptions, Reporting)
            rest = given.keys() - {name for struct in structs for name in struct.__struct_fields__}
            wanted = Publishing(gather(PublishRequest, given), gather(PublishOptions, given), gather(Reporting, given))
            function(wanted=wanted, **{name: given[name] for name in rest})

        return declare(command, (metadata, *_WHAT, *_HOW, *ACCESS, *(REPORT if report else ())))

    return decorate


def run(wanted: Publishing) -> None:
    """Plan, then carry out the plan. Ends the command with its exit code."""
    from bakery.app.planning import plan

    finish(plan(wanted.request, emit=output.emit), wanted)


def finish(plan: Plan | None, wanted: Publishing) -> None:
    """Carry out a plan. Without one there is nothing to publish: only what is for programs is printed and written.

    Ends the command with its exit code.
    """
    report, how, reporting = (report_outcome, wanted.options, wanted.reporting)
    if wanted.request.only_soci:  # nothing to survey: no tag moves
        report, how, reporting = _report_conversions, replace(how, doing="convert"), replace(reporting, offline=True)
    if plan is None:
        if not wanted.request.only_soci:
            _report_nothing(how, reporting)
        raise click.exceptions.Exit(ExitCode.DONE)
    raise click.exceptions.Exit(carry_out(plan, how, reporting, report))


def _report_nothing(how: PublishOptions, reporting: Reporting) -> None:
    """Print and write the documents of a run without targets, so that what reads them next finds them."""
    from bakery.publish.outcome import Outcome
    from bakery.publish.plan import Plan
    from bakery.report.model import Run

    check_writable("--summary-file", reporting.summary_file)
    reporting.check()
    if reporting.dry_run:
        if reporting.result != "text" or reporting.summary_file is not None:
            from bakery.cli.dry_run import show_plan

            show_plan(Plan(()), how, reporting)
        return
    run = Run(doing="publish", state="done", started_at=time.time())
    write_documents(Outcome(()), run, how, reporting)
    reporting.write(run)


Report = Callable[["Outcome", "Run", PublishOptions, Reporting], None]


def carry_out(
    plan: Plan, how: PublishOptions, reporting: Reporting, report: Report, *, show: Emit | None = None
) -> ExitCode:
    """Publish and report, or print the plan for a dry run; the same for every plan, wherever it comes from.

    show: as `watching` has it.
    """
    check_writable("--summary-file", reporting.summary_file)
    reporting.check()
    if reporting.result == "json" and reporting.summary and reporting.summary_format == "json":
        raise UsageError("cannot combine --output json and --summary-format json", why="both print on stdout")
    if reporting.dry_run:
        from bakery.cli.dry_run import show_plan

        return show_plan(plan, how, reporting, emit=show or output.emit)
    from bakery.app.publishing import Interrupted, publish
    from bakery.report.frame import title as headline
    from bakery.text import plural

    interrupted: Interrupted | None = None
    title = f"{headline(how.doing)} {plural(len(plan.targets), 'target')}"
    with watching(title, journal=reporting.journal, show=show) as recorder:
        try:
            outcome = publish(plan, how, emit=recorder)
        except Interrupted as error:
            outcome, interrupted = error.outcome, error
    try:
        report(outcome, recorder.run, how, reporting)
    finally:
        reporting.write(recorder.run)
    if interrupted is not None:
        raise interrupted
    return outcome.exit_code


def _report_conversions(outcome: Outcome, run: Run, how: PublishOptions, reporting: Reporting) -> None:  # noqa: ARG001 - a Report
    from bakery.report.soci import conversion_lines, converted_references

    output.write(converted_references(outcome), end="")
    output.report(conversion_lines(outcome))


def report_outcome(outcome: Outcome, run: Run, how: PublishOptions, reporting: Reporting) -> None:
    """Print the outcome: for people on stderr, for programs on stdout and in the summary files."""
    from bakery.report.result import result_lines

    everything = reporting.summary and reporting.summary_format == "table"
    output.say(result_lines(outcome, run, doing="Publish", look=look(everything=everything)))
    # After the lines for people, which must be printed even if a file cannot be written or the pipe is closed.
    write_documents(outcome, run, how, reporting)


def write_documents(outcome: Outcome, run: Run, how: PublishOptions, reporting: Reporting) -> None:
    """Write the summary and the outputs of a step, and print the result for programs."""
    from bakery.report.images import images_json
    from bakery.report.result import Look, as_text, result_lines
    from bakery.report.summary import dump, to_json

    summary = to_json(outcome, run)
    document = dump(summary)
    if reporting.summary_file is not None:
        lines = result_lines(outcome, run, doing="Publish", look=Look(full=True, everything=True))
        as_json = reporting.summary_format == "json" or reporting.summary_file.suffix == ".json"
        write_file(reporting.summary_file, document if as_json else as_text(lines))
    _set_outputs(outcome, how, reporting, document)
    if reporting.summary:
        append_page(summary, how.environment)
    if reporting.result == "json":
        document = dump(images_json(outcome))
    if reporting.result == "json" or (reporting.summary and reporting.summary_format == "json"):
        try:
            sys.stdout.write(document)
            sys.stdout.flush()
        except OSError as error:
            raise not_written("standard output", error) from error


def _set_outputs(outcome: Outcome, how: PublishOptions, reporting: Reporting, document: str) -> None:
    """Set the outputs of a GitHub step, if this is one. The JSON summary is written for it if no option requests it."""
    from bakery.report.images import github_output

    outputs = how.environment.get("GITHUB_OUTPUT", "")
    if not outputs:
        return
    summary = reporting.summary_file
    if summary is None:
        summary = Path(how.environment.get("RUNNER_TEMP") or Path(outputs).parent) / "bakery-summary.json"
        write_file(summary, document)
    write_file(Path(outputs), github_output(outcome, summary.absolute()), append=True)


def print_report(text: str) -> None:
    """Print a report on stderr; on GitHub, its errors and warnings become annotations."""
    from bakery.report.lines import annotated, is_github
    from bakery.report.printing import print_text

    on_github = is_github(os.environ)
    print_text(annotated(text) if on_github else text, commands=on_github)
