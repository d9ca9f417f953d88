"""`bakery rehearse`: publish a project to registries that run inside the command."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from bakery.cli import options
from bakery.errors import UsageError


@click.command("rehearse")
@click.argument("project", type=click.Path(path_type=Path), default=Path(), help="The folder with bakery.yaml (here).")
@options.image_name
@click.option(
    "--metadata",
    metavar="FILE",
    type=options.FILES,
    multiple=True,
    help="What real builds left; repeatable. Needs --layout.",
)
@click.option(
    "--layout", type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="An OCI layout with what the metadata names.",
)  # fmt: skip
@options.faults
@options.seed
@options.jobs
@options.time_budget
@options.summary_format
@options.general
def command(
    project: Path,
    image_name: str | None,
    metadata: tuple[str, ...],
    layout: Path | None,
    faults: str,
    seed: int,
    jobs: int | None,
    time_budget: float,
    summary_format: str,
) -> None:
    """Publish a project to registries that run inside the command: small images, real transfer, nothing left."""
    from bakery.app.rehearse import Rehearsal, rehearse
    from bakery.cli.publishing import FORMATS, find_project_targets, log_event
    from bakery.parallel.jobs import resolve_max_workers
    from bakery.parallel.root import run_interruptible
    from bakery.plugins.imagetools import JOBS
    from bakery.report.summary import dump, to_json
    from bakery.report.table import cast_table, outcome_lines, outcome_table
    from bakery.retry import RetryPolicy
    from bakery.targets.metadata import find_files, read_metadata

    if summary_format not in FORMATS:
        raise UsageError("reading --summary-format", about=repr(summary_format), hint=f"one of {', '.join(FORMATS)}")
    if metadata and layout is None:
        raise UsageError("reading --metadata", why="there is no --layout to take the images from")
    builds = read_metadata(find_files(metadata, Path.cwd())) if metadata else None
    targets = find_project_targets(project, image_name)
    workers = resolve_max_workers(jobs, len(targets), default=JOBS["native"])
    rehearsal = Rehearsal(targets, builds, layout, faults, seed, workers, time_budget)
    policy = RetryPolicy.from_environment(os.environ, base_delay=0.5)
    done = run_interruptible(rehearse(rehearsal, policy=policy, emit=log_event))
    if summary_format == "json":
        sys.stdout.write(dump(to_json(done.outcome)))
    text = outcome_table(done.outcome) + cast_table(done.stood_for, done.requests, done.faults_met)
    sys.stderr.write(text + outcome_lines(done.outcome, doing="Rehearsal"))
    raise click.exceptions.Exit(done.outcome.exit_code)
