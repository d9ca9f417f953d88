"""What `--dry-run` prints and writes: the survey of a plan, or only the plan."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bakery.app.publishing import PublishOptions
from bakery.cli import general, output
from bakery.cli.pages import write_file
from bakery.cli.publishing import Reporting, print_report
from bakery.cli.watching import look
from bakery.errors import ExitCode
from bakery.events import Emit

if TYPE_CHECKING:
    from bakery.publish.plan import Plan


def show_plan(plan: Plan, how: PublishOptions, reporting: Reporting, *, emit: Emit = output.emit) -> ExitCode:
    """Print what a run would do, after a survey of the registries unless that is not wanted."""
    from bakery.app.engine import command_lines
    from bakery.app.surveying import survey
    from bakery.report.forecast import forecast_lines, forecast_page, plan_page
    from bakery.report.outcome import plan_table
    from bakery.report.planned import planned_json
    from bakery.report.summary import dump

    found = None if reporting.offline else survey(plan, how, convert=reporting.convert, emit=emit)
    text = (
        plan_table(plan, width=look().width)
        if found is None
        else forecast_lines(found, full=general.is_verbose(), fails=reporting.strict, width=look().width)
    )
    document = dump(planned_json(plan, found))
    page = plan_page(plan) if found is None else forecast_page(found)
    if reporting.result == "json" or (reporting.summary and reporting.summary_format == "json"):
        sys.stdout.write(document)
    elif reporting.result == "markdown":
        output.write(page, end="")
    else:
        print_report(text)
    if how.engine == "cli":
        print_report("".join(f"{line}\n" for line in command_lines(plan, how)))
    if reporting.summary_file is not None:
        as_json = reporting.summary_format == "json" or reporting.summary_file.suffix == ".json"
        write_file(reporting.summary_file, document if as_json else text)
    if reporting.summary and (step := os.environ.get("GITHUB_STEP_SUMMARY")):
        write_file(Path(step), page, append=True)
    would_fail = bool(plan.refused) if found is None else found.would_fail
    return ExitCode.FAILED if reporting.strict and would_fail else ExitCode.DONE
