"""`bakery rehearse`: publish a project to registries that run inside the command."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from bakery.cli import options
from bakery.cli.publishing import FORMATS, log_event
from bakery.errors import UsageError


def command(
    project: Annotated[Path, typer.Argument(help="The folder with bakery.yaml (here).", show_default=False)] = Path(),
    image_name: options.ImageName = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option("--metadata", metavar="FILE", help="What real builds left; repeatable. Needs --layout."),
    ] = None,
    layout: Annotated[
        Path | None,
        typer.Option("--layout", help="An OCI layout with what the metadata names.", file_okay=False, exists=True),
    ] = None,
    faults: Annotated[
        str,
        typer.Option(
            "--faults",
            metavar="NAME",
            help="Behave as ghcr, hub, ecr, flaky, hostile … (docs/faults.md), or as a NAME.json says.",
        ),
    ] = "",
    seed: Annotated[int, typer.Option("--seed", help="Which run of the faults' dice.")] = 0,
    jobs: options.Jobs = None,
    time_budget: options.TimeBudget = 1800.0,
    summary_format: options.SummaryFormat = "table",
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Publish a project to registries that run inside the command: small images, real transfer, nothing left."""
    from bakery.cli.publishing import find_project_targets
    from bakery.parallel.jobs import resolve_max_workers
    from bakery.parallel.root import run_interruptible
    from bakery.plugins.imagetools import JOBS
    from bakery.plugins.rehearse import Rehearsal, rehearse
    from bakery.report.summary import dump, to_json
    from bakery.report.table import cast_table, outcome_lines, outcome_table
    from bakery.retry import RetryPolicy
    from bakery.targets.metadata import find_files, read_metadata

    if summary_format not in FORMATS:
        raise UsageError("reading --summary-format", about=repr(summary_format), hint=f"one of {', '.join(FORMATS)}")
    if metadata and layout is None:
        raise UsageError("reading --metadata", answer="there is no --layout to take the images from")
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
    raise typer.Exit(done.outcome.exit_code)
