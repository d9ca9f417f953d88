"""`bakery rehearse`: publish to registries inside the command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from msgspec.structs import replace

from bakery.cli import filters, general, options, output
from bakery.cli.group import Command
from bakery.cli.options import into
from bakery.cli.pages import Recordings
from bakery.cli.watching import look, watching

if TYPE_CHECKING:
    from bakery.app.rehearse import RehearseRequest


@click.command("rehearse", cls=Command)
@into(
    "request",
    "bakery.app.rehearse:RehearseRequest",
    click.argument(
        "project", type=click.Path(path_type=Path), required=False, help="Folder with bakery.yaml; default: here."
    ),
    options.image_name,
    filters.allow_empty,
    options.bake,
    options.tag,
    options.require_platform,
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
@into("recordings", "bakery.cli.pages:Recordings", options.timeline, options.trace)
@general.options
def command(request: RehearseRequest, summary_format: Literal["table", "json"], recordings: Recordings) -> None:
    """Publish to registries inside the command: small images, real transfers, nothing left behind."""
    from bakery.app.rehearse import rehearse_request
    from bakery.report.outcome import stand_ins_table
    from bakery.report.result import result_lines
    from bakery.report.summary import dump, to_json

    recordings.check()
    if request.bake == "-":
        request = replace(request, stdin=sys.stdin.buffer.read())
    with watching("Rehearsing a publish") as recorder:
        done = rehearse_request(request, emit=recorder)
    if summary_format == "json":
        sys.stdout.write(dump(to_json(done.outcome, recorder.run)))
    table = stand_ins_table(done.stand_ins, done.requests, done.faults_met, width=look().width)
    output.note(table.rstrip("\n"))
    output.say(result_lines(done.outcome, recorder.run, doing="Rehearsal", look=look()))
    recordings.write(recorder.run, names={address: name for name, address in done.stand_ins.items()})
    raise click.exceptions.Exit(done.outcome.exit_code)
