"""`bakery rehearse`: publish a project to registries inside the command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from bakery.cli import filters, general, options, output
from bakery.cli.group import Command
from bakery.cli.options import into

if TYPE_CHECKING:
    from bakery.app.rehearse import RehearseRequest


@click.command("rehearse", cls=Command)
@into(
    "request",
    "bakery.app.rehearse:RehearseRequest",
    click.argument("project", type=click.Path(path_type=Path), default=Path(), help="Folder with bakery.yaml."),
    options.image_name,
    filters.allow_empty,
    click.option(
        "--metadata", metavar="FILE", type=options.FILES, multiple=True,
        help="Metadata file of real builds; repeatable. Needs --layout.",
    ),
    click.option(
        "--layout", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="FOLDER",
        help="OCI layout that contains what the metadata files name.",
    ),
    options.faults,
    options.seed,
    options.jobs,
    options.time_budget,
)  # fmt: skip
@options.summary_format
@general.options
def command(request: RehearseRequest, summary_format: Literal["table", "json"]) -> None:
    """Publish a project to registries inside the command: small images, real transfers, nothing left behind."""
    from bakery.app.rehearse import rehearse_project
    from bakery.report.outcome import outcome_lines, outcome_table, stand_ins_table
    from bakery.report.printing import print_text
    from bakery.report.summary import dump, to_json

    done = rehearse_project(request, emit=output.emit)
    if summary_format == "json":
        sys.stdout.write(dump(to_json(done.outcome)))
    text = outcome_table(done.outcome) + stand_ins_table(done.stand_ins, done.requests, done.faults_met)
    print_text(text + outcome_lines(done.outcome, doing="Rehearsal"))
    raise click.exceptions.Exit(done.outcome.exit_code)
