"""`bakery build`: build images with buildx, print the bake file, or check Containerfiles."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click
from msgspec.structs import replace

from bakery.app.selecting import Filters
from bakery.cli import filters, general, options
from bakery.cli.group import Command
from bakery.cli.options import into
from bakery.cli.output import emit, print_line, write, write_json
from bakery.cli.pages import Recordings, append_page
from bakery.cli.watching import look, watching
from bakery.errors import BakeryError, ExitCode, UsageError, message

if TYPE_CHECKING:
    from bakery.build.options import BuildOptions
    from bakery.build.outcome import BuildOutcome
    from bakery.build.plan import BuildPlan

_HOW: Final = (
    click.option(
        "--strategy", type=click.Choice(["bake", "build"]), default="bake",
        help="bake: one command for all targets; build: one command per target.",
    ),
    click.option("--push/--no-push", default=False, help="Push the built images."),
    click.option(
        "--load/--no-load", default=None, show_default="load, unless images are pushed",
        help="Load the built images into Docker.",
    ),
    click.option("--pull/--no-pull", default=False, help="Pull base images even if they are present."),
    click.option("--cache/--no-cache", default=True, help="Use the build cache."),
    click.option(
        "--cache-registry", metavar="REGISTRY", default="", show_default=False, help="Registry of build caches."
    ),
    click.option(
        "--temp-registry", metavar="REGISTRY", default="", show_default=False,
        help="Push to this registry by digest, untagged.",
    ),
    click.option("--fail-fast", is_flag=True, help="Start no further target after the first failure."),
    click.option(
        "--retry", type=click.IntRange(min=0), metavar="N", default=0,
        help="Build targets that failed again, up to N times, 5 s apart.",
    ),
    options.jobs,
    click.option(
        "--clean/--no-clean", default=True, help="--no-clean: leave the bake file in the context, as .bakery-bake.json."
    ),
    click.option(
        "--metadata-file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
        help="Write the build metadata of all targets that were built to this file.",
    ),
    click.option(
        "--builder", metavar="NAME", default="", show_default="BUILDX_BUILDER, or buildx's current one",
        help="Build with this builder of buildx.",
    ),
    click.option(
        "--attest", metavar="ATTRIBUTES", multiple=True, help="Attestation, as for buildx: type=sbom,…; repeatable."
    ),
    click.option(
        "--provenance", metavar="VALUE", default="", show_default="buildx's", help="Provenance: false, mode=max."
    ),
    click.option("--sbom", metavar="VALUE", default="", show_default="buildx's", help="SBOM: true, generator=IMAGE."),
)  # fmt: skip


class Reporting(Recordings, frozen=True):
    """What the command prints besides its log."""

    summary: bool = False
    summary_format: Literal["table", "json"] = "table"


@click.command("build", cls=Command)
@options.context
@click.option("--plan", is_flag=True, help="Print the bake file as JSON and build nothing.")
@click.option("--check", is_flag=True, help="Check the Containerfiles and build nothing; --strict fails on warnings.")
@into("how", "bakery.build.options:BuildOptions", *_HOW)
@into(
    "reporting", "bakery.cli.build:Reporting", options.summary, options.summary_format, options.timeline, options.trace
)
@filters.taking(*filters.ALL)
@filters.strict
@general.options
def command(
    context: Path, plan: bool, check: bool, how: BuildOptions, reporting: Reporting, wanted: Filters, strict: bool
) -> None:
    """Build images with buildx. A target that fails ends no other target.

    \b
    One job per platform in CI, each pushing by digest for a publish job:
      bakery build --push --temp-registry ghcr.io/acme --image-platform linux/arm64 --metadata-file arm64.json
    The bake file of that build:
      bakery build --plan --push --temp-registry ghcr.io/acme | docker buildx bake -f -
    """
    from bakery.app.build import BuildRequest, bake_plan, check_options, plan_build

    if plan and how.strategy == "build":
        raise BakeryError("cannot plan a build with --strategy build", why="only --strategy bake uses a bake file")
    wanted_summary = options.wants_summary(reporting.summary, reporting.summary_format, plan=plan)
    reporting = replace(reporting, summary=wanted_summary)
    if plan and check:
        raise UsageError("cannot combine --plan and --check", why="one prints a plan, the other checks it")
    if how.metadata_file is not None:
        how = replace(how, metadata_file=how.metadata_file.absolute())
    reporting.check()
    check_options(how)
    planned = plan_build(BuildRequest(context, wanted, how, strict), emit=emit)
    if plan:
        write_json(bake_plan(planned))
        if reporting.summary:
            _print_counts(planned)
        return
    raise click.exceptions.Exit(_check(planned, strict=strict) if check else _build(planned, reporting))


def _build(plan: BuildPlan, reporting: Reporting) -> ExitCode:
    from bakery.app.build import Interrupted, build
    from bakery.text import plural

    interrupted: Interrupted | None = None
    with watching(f"Building {plural(len(plan.builds), 'target')}") as recorder:
        try:
            outcome = build(plan, emit=recorder)
        except Interrupted as error:
            outcome, interrupted = error.outcome, error
    try:
        _report(outcome, plan, reporting)
    finally:
        reporting.write(recorder.run)
    if interrupted is not None:
        raise interrupted
    return outcome.exit_code


def _report(outcome: BuildOutcome, plan: BuildPlan, reporting: Reporting) -> None:
    from bakery.report.building import failure_lines, result_line
    from bakery.report.lines import is_github
    from bakery.report.printing import print_text

    github = is_github(os.environ)
    print_text(failure_lines(outcome, folder=_folder(plan), github=github), commands=github)
    if outcome.exit_code is not ExitCode.DONE or not general.is_quiet():
        print_line(result_line(outcome))
    if reporting.summary:
        _summarize(outcome, as_json=reporting.summary_format == "json")


def _summarize(outcome: BuildOutcome, *, as_json: bool) -> None:
    """Print the summary, and add it to the page of a GitHub step if this is one."""
    from bakery.app.measuring import measure
    from bakery.report.build_summary import build_json, sizes_table, summarize_build
    from bakery.report.printing import print_text

    summary = summarize_build(outcome, measure(outcome))
    if as_json:
        write_json(build_json(summary))
    else:
        print_text(sizes_table(summary, width=look().width))
    try:
        append_page(build_json(summary), os.environ)
    except BakeryError as error:
        if outcome.exit_code is ExitCode.DONE:
            raise
        print_line(message(error))  # the exit code stays that of the build


def _print_counts(plan: BuildPlan) -> None:
    from bakery.report.build_summary import counts_table
    from bakery.report.printing import print_text

    platforms = sum(len(one.platforms) for one in plan.builds)
    print_text(counts_table(len(plan.builds), platforms, sum(len(one.target.references) for one in plan.builds)))


def _check(plan: BuildPlan, *, strict: bool) -> ExitCode:
    from bakery.app.build import check
    from bakery.report.building import Finding, distinct, finding_counts, finding_line, in_folder
    from bakery.report.lines import is_github
    from bakery.report.printing import print_text

    github = is_github(os.environ)
    files = {one.uid: in_folder(_folder(plan), one.target.containerfile) for one in plan.builds}
    found = []
    for result in check(plan):
        file = files[result.uid]
        if result.error:
            found.append(Finding("error", result.error, file, result.error_line))
        found += [Finding("warning", f"{one.rule}: {one.text}", file, one.line) for one in result.warnings]
    findings = distinct(found)
    print_text("".join(f"{finding_line(one, github=github)}\n" for one in findings), commands=github)
    write(finding_counts(len(set(files.values())), findings))
    failed = bool(findings) if strict else any(one.kind == "error" for one in findings)
    return ExitCode.FAILED if failed else ExitCode.DONE


def _folder(plan: BuildPlan) -> str:
    """Return the project's folder as seen from the repository on GitHub, or from the working directory elsewhere."""
    return os.path.relpath(plan.context, os.environ.get("GITHUB_WORKSPACE") or Path.cwd())
