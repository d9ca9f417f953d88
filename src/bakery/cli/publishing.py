"""What the publishing commands share: from a command line to an outcome and what is said of it.

`ci publish`, `ci merge`, `imagetools publish`, `imagetools merge` and `oras merge` are one pipeline; they differ in
whether SOCI takes part and in the options they offer.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from bakery.cli import options
from bakery.cli.filters import open_project, say
from bakery.errors import BakeryError, ExitCode, NothingSelected, UsageError
from bakery.events import Emit, Event, ignore

if TYPE_CHECKING:
    from bakery.config.project import Project
    from bakery.products.catalog import ProductCatalog
    from bakery.products.spec import DevSpec
    from bakery.publish.outcome import Outcome
    from bakery.publish.plan import Plan
    from bakery.targets.target import Target

_log = logging.getLogger(__name__)

FORMATS = ("table", "json")
MOST_UNKNOWN = 20  # entries of the metadata that are told one by one


class Request(Struct, frozen=True):
    """What somebody asked for on the command line of a publishing command."""

    metadata: Sequence[str]
    context: Path
    image_name: str | None = None
    jobs: int | None = None
    dry_run: bool = False
    engine: str = "native"
    with_soci: bool = True
    only_soci: bool = False
    wait_limit_s: float = 600.0
    time_budget_s: float = 1800.0
    allow_empty: bool = False
    allow_missing_platforms: bool = False
    dev_channel: str | None = None
    dev_spec: str | None = None
    offline: bool = False
    shard: str = ""
    summary: bool = False
    summary_format: str = "table"
    summary_file: Path | None = None
    journal: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def __post_init__(self) -> None:
        if self.summary_format not in FORMATS:
            hint = f"one of {', '.join(FORMATS)}"
            raise UsageError("reading --summary-format", about=repr(self.summary_format), hint=hint)


def publish(request: Request) -> ExitCode:
    """Do what was asked and say what became of it. Gives the exit code; raises BakeryError where nothing was begun."""
    from bakery.plugins import imagetools
    from bakery.report.lines import group
    from bakery.report.live import board
    from bakery.report.summary import dump, plan_json
    from bakery.report.table import plan_table

    settings = imagetools.Settings(
        request.context,
        request.engine,
        request.jobs,
        request.wait_limit_s,
        request.time_budget_s,
        request.allow_missing_platforms,
        request.environment,
    )
    _check_place("--summary-file", request.summary_file)
    plan = make_request_plan(request)
    if plan is None:
        return ExitCode.DONE
    if request.dry_run:
        if request.summary and request.summary_format == "json":
            sys.stdout.write(dump(plan_json(plan)))
        else:
            _say(plan_table(plan))
        if request.engine == "cli":
            _say("".join(f"{line}\n" for line in imagetools.dry_run_commands(plan, request.environment)))
        return ExitCode.FAILED if plan.refused else ExitCode.DONE
    stopped: imagetools.Interrupted | None = None
    labels = [target.uid for target in plan.targets]
    title = f"Publishing {len(labels)} target(s)"
    with (
        journal_of(request) as record,
        group(title, request.environment),
        board(labels, quiet=options.quiet_wanted()) as show,
    ):

        def emit(event: Event) -> None:
            record(event)
            log_event(event)
            show(event)

        try:
            outcome = imagetools.publish(plan, settings, emit=emit)
        except imagetools.Interrupted as error:
            outcome, stopped = error.outcome, error
    report(outcome, request)
    if stopped is not None:
        raise stopped
    return outcome.exit_code


def make_request_plan(request: Request) -> Plan | None:
    """The plan, or None where there is rightly nothing to do. Raises BakeryError for anything that cannot be used."""
    from bakery.publish.plan import conversion_only, make_plan
    from bakery.targets.metadata import find_files, read_metadata, unmatched

    pattern = _pattern("--image-name", request.image_name)
    files = find_files(request.metadata, Path.cwd())
    empty = " ".join(unmatched(request.metadata, Path.cwd()))
    if empty and files and request.allow_empty:
        _log.warning("no file matches %s", empty)
    elif empty:
        _refuse_nothing(request, f"no file matches {empty}")
    if not files:
        return None
    metadata = read_metadata(files)
    project = open_project(request.context)
    targets = find_targets(project, request, metadata.uids)
    named = [target for target in targets if target.uid in metadata.uids]
    unknown = sorted(set(metadata.uids) - {target.uid for target in targets})
    for uid in unknown[:MOST_UNKNOWN]:
        _log.warning("%s is in the metadata but no target of bakery.yaml", uid)
    if len(unknown) > MOST_UNKNOWN:
        _log.warning("and so are %d more", len(unknown) - MOST_UNKNOWN)
    if not named:
        _refuse_nothing(request, f"the files name no target of bakery.yaml ({len(metadata.uids)} entries read)")
        return None
    selected = [target for target in named if pattern is None or pattern.search(target.image)]
    if not selected:
        _log.warning("--image-name %s leaves none of the %d targets that were built", request.image_name, len(named))
        return None
    if request.shard:
        selected = _share(project, selected, request.shard)
        if not selected:
            _log.warning("no image of the targets that were built is in shard %s", request.shard)
            return None
    _log.info("Found %d targets in %d files", len(selected), len(files))
    plan = make_plan(selected, metadata, with_soci=request.with_soci)
    if not plan.targets and not plan.refused:
        _refuse_nothing(request, "; ".join(f"{item.uid}: {item.reason}" for item in plan.skipped))
        return None
    return conversion_only(plan) if request.only_soci else plan


def _share(project: Project, targets: Sequence[Target], shard: str) -> list[Target]:
    from bakery.targets.shards import Shard, split_images, target_counts

    mine = Shard.parse(shard)
    images = split_images(target_counts(project), mine.count)[mine.index - 1]
    return [target for target in targets if target.image in images]


def _dev_spec(text: str | None) -> DevSpec | None:
    if not text:
        return None
    from bakery.products.spec import DevSpec

    return DevSpec.parse(text)


def find_targets(project: Project, request: Request, uids: Sequence[str]) -> Sequence[Target]:
    """The project's targets: those that bakery.yaml writes out, and the others only if a uid is not among them.

    Product APIs are asked only in the second case (pipeline.md 10).
    """
    from bakery.targets.built import find_built

    spec = _dev_spec(request.dev_spec)

    def catalog() -> ProductCatalog:
        from bakery.products.catalog import ProductCatalog
        from bakery.products.fetch import source_from_environment

        return ProductCatalog(source_from_environment(offline=request.offline, environ=request.environment), spec)

    found = find_built(
        project,
        uids,
        catalog,
        dev_channel=spec.channel_filter(request.dev_channel) if spec else request.dev_channel,
        environ=request.environment,
    )
    say(found.problems)
    if found.failed and not set(uids) <= {target.uid for target in found.targets}:
        raise NothingSelected(
            "finding the targets of the metadata",
            why="versions that only product APIs tell could not be found out; the warnings above say why",
            hint="run again later, or name the version with --dev-spec",
        )
    return found.targets


def find_project_targets(context: Path, image_name: str | None) -> list[Target]:
    """Every target that a project writes out, of the images that are meant. Raises NothingSelected for none."""
    from bakery.targets.expand import written_targets

    pattern = _pattern("--image-name", image_name)
    targets = [one for one in written_targets(open_project(context)) if pattern is None or pattern.search(one.image)]
    if not targets:
        hint = "give the folder of a project that has images with versions"
        raise NothingSelected("looking for targets in", about=context, why="there are none", hint=hint)
    return targets


@contextmanager
def journal_of(request: Request) -> Iterator[Emit]:
    """Whoever writes the journal, or somebody who does not, where none was asked for."""
    from bakery.publish.journal import Journal

    if request.journal is None:
        yield ignore
        return
    with Journal(request.journal) as journal:
        yield journal


def report(outcome: Outcome, request: Request) -> None:
    """Say what became of it: people read stderr, machines stdout and the summary file."""
    from bakery.report.markdown import summary_page
    from bakery.report.summary import dump, merge, to_json
    from bakery.report.table import outcome_lines, outcome_table

    if request.only_soci:
        from bakery.report.soci import conversion_lines, converted_references

        sys.stdout.write(converted_references(outcome))
        _say(conversion_lines(outcome))
        return
    if request.summary and request.summary_format == "table":
        _say(outcome_table(outcome))
    _say(outcome_lines(outcome))
    # After the lines for people: none of these may keep them from being read, and the pipe may be closed.
    summary = to_json(outcome)
    document = dump(summary)
    if request.summary_file is not None:
        as_json = request.summary_format == "json" or request.summary_file.suffix == ".json"
        _write(request.summary_file, document if as_json else outcome_table(outcome))
    page = request.environment.get("GITHUB_STEP_SUMMARY", "")
    if request.summary and page:
        _write(Path(page), summary_page(merge([summary])), mode="a")
    if request.summary and request.summary_format == "json":
        try:
            sys.stdout.write(document)
            sys.stdout.flush()
        except BrokenPipeError:
            raise  # whoever read it has seen enough
        except OSError as error:
            raise _not_written("standard output", error) from error


def _write(file: Path, text: str, *, mode: str = "w") -> None:
    try:
        with file.open(mode, encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise _not_written(file, error) from error


def _not_written(place: object, error: OSError) -> BakeryError:
    return BakeryError(
        "writing the summary to",
        about=place,
        why=error.strerror or str(error),
        hint="what became of the publish is told above; name a place that can be written",
    )


def log_event(event: Event) -> None:
    """Tell the log what happens: what a reader of a CI run wants to see while it goes on."""
    from bakery.report.lines import log

    log(event, _log)


def _refuse_nothing(request: Request, reason: str) -> None:
    """There is nothing to publish: said as a warning where that is allowed, raised where it is not."""
    if not request.allow_empty:
        raise NothingSelected("looking for something to publish", why=reason, hint="--allow-empty if that is right")
    _log.warning("nothing to publish: %s", reason)


def _check_place(option: str, file: Path | None) -> None:
    """Refuse a file that cannot be written while nothing has been published yet."""
    if file is not None and not (file.parent.is_dir() and os.access(file if file.exists() else file.parent, os.W_OK)):
        raise UsageError(
            f"reading {option}", about=file, why="it cannot be written", hint="name a folder that is there"
        )


def _pattern(option: str, text: str | None) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"reading {option}", about=repr(text), why=f"no regular expression: {error}") from None


def _say(text: str) -> None:
    from bakery.report.lines import annotated, is_github
    from bakery.report.lines import say as write

    write(annotated(text) if is_github(os.environ) else text)
