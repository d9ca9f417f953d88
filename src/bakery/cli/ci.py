"""`bakery ci`: the commands for CI runs."""

from __future__ import annotations

from pathlib import Path

import click

from bakery.cli import general, options, output
from bakery.cli.group import Group
from bakery.cli.matrix import matrix_command
from bakery.cli.publishing import Publishing, publishing, run
from bakery.errors import BakeryError, UsageError


@click.group("ci", cls=Group)
def group() -> None:
    """Commands for CI runs: matrix, publish, merge, summary, timeline."""


group.add_command(matrix_command)


@group.command("publish")
@publishing()
@general.options
def publish_command(wanted: Publishing) -> None:
    """Publish the images that build metadata files name: assemble, convert to SOCI, copy, tag, verify."""
    run(wanted)


@group.command("merge")
@publishing()
@general.options
def merge_command(wanted: Publishing) -> None:
    """Old name of `ci publish`."""
    run(wanted)


@group.command("summary")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path), help="Summary files (JSON)."
)
@click.option(
    "--output", "page", metavar="FILE", type=click.Path(path_type=Path), required=True, help="Markdown page to write."
)
@click.option("--disclaimer", metavar="TEXT", default="", show_default=False, help="Sentence above the table.")
@general.options
def summary_command(files: tuple[Path, ...], page: Path, disclaimer: str) -> None:
    """Merge the summaries of several jobs into one Markdown page.

    A file that is not a summary is left out with a warning. Exits 1 if a path does not exist or no file is a summary.
    """
    from bakery.app.summaries import merged_page
    from bakery.files import write_text

    merged = merged_page(files, disclaimer=disclaimer, emit=output.emit)
    try:
        write_text(page, merged.text)
    except OSError as error:
        raise BakeryError("cannot write", about=page, why=str(error.strerror)) from error
    merged.check()


@group.command("timeline")
@click.argument("journal", type=options.FILES, help="Journal of a run (--journal); its last run is drawn.")
@click.option(
    "--output", "page", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Page to write."
)
@options.trace
@general.options
def timeline_command(journal: str, page: Path | None, trace: Path | None) -> None:
    """Draw the timeline of a run from its journal, as a page or as a trace."""
    from bakery.app.timelines import run_of_journal, write_recordings

    if page is None and trace is None:
        raise UsageError("nothing to write", hint="pass --output FILE.html, --trace FILE.json or both")
    write_recordings(run_of_journal(Path(journal)), timeline=page, trace=trace)
