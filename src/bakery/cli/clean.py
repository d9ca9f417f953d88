"""`bakery clean`: delete what registries no longer need."""

from __future__ import annotations

import os
import sys
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

import click
from msgspec import Struct
from msgspec.structs import replace

from bakery.app.clean import CleanOptions
from bakery.app.selecting import Filters
from bakery.cli import filters, general, options, output
from bakery.cli.general import CommandFunction, Declared
from bakery.cli.group import Group
from bakery.cli.options import declare, gather
from bakery.cli.publishing import ACCESS, ACCESS_NAMES
from bakery.cli.watching import look, watching
from bakery.errors import ExecutorInterrupted, UsageError
from bakery.text import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bakery.clean.known import Known
    from bakery.clean.outcome import CleanOutcome
    from bakery.oci.reference import Repository

Form = Literal["table", "json"]


class Given(Struct, frozen=True):
    """What a command does with its plan. yes: it does not ask. journal: what is deleted is recorded there."""

    yes: bool = False
    form: Form = "table"
    journal: Path | None = None


class Days(click.types.FloatParamType):
    """A number of days above 0: 0 would be everything."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            days = float(value)
        except ValueError:
            days = float("nan")
        if not 0 < days < float("inf"):
            self.fail(f"{value!r} is not a number of days above 0", param, ctx)
        return days


_older_than = click.option(
    "--older-than", type=Days(), metavar="DAYS", help="Select manifests that were last pushed or created before that."
)
_KEEP: Final = (
    click.option(
        "--keep-tag", metavar="REGEX", multiple=True, help="Never delete a manifest with a matching tag; repeatable."
    ),
    click.option(
        "--keep-last", type=click.IntRange(min=0), metavar="N", default=0, show_default=False,
        help="Keep the newest N of what is selected in each repository.",
    ),
    click.option(
        "--metadata", metavar="FILE", multiple=True,
        help="Build metadata, summary or journal that names manifests without a tag; repeatable.",
    ),
    click.option(
        "--api", type=click.Choice(["auto", "github", "registry"]), default="auto",
        help="What deletes: GitHub's API at ghcr.io and GitHub Enterprise (GITHUB_API_URL), else the registry.",
    ),
    click.option("--dry-run", is_flag=True, help="Print what would be deleted, and delete nothing."),
    click.option("--yes", is_flag=True, help="Delete without asking."),
    click.option(
        "--output", "form", type=click.Choice(["table", "json"]), default="table",
        help="json: print what was or would be deleted as JSON on stdout.",
    ),
    options.journal, options.time_budget,
)  # fmt: skip
_PROJECT: Final = (
    options.context, options.image_name, filters.allow_empty, filters.dev_versions, filters.dev_channel,
    filters.matrix_versions,
)  # fmt: skip


def _cleaning(*before: Declared) -> Declared:
    """Declare the options of a command that gets them as `how`, a CleanOptions, and `given`, a Given."""

    def decorate(function: CommandFunction) -> CommandFunction:
        @wraps(function)
        def command(**words: Any) -> None:
            access = {name: words.pop(name) for name in ACCESS_NAMES}
            words["environment"] = options.overlaid(os.environ, **access)
            taken = {*CleanOptions.__struct_fields__, *Given.__struct_fields__}
            rest = {name: one for name, one in words.items() if name not in taken}
            function(how=gather(CleanOptions, words), given=gather(Given, words), **rest)

        return declare(command, (*before, *_KEEP, *ACCESS))

    return decorate


@click.group("clean", cls=Group)
def group() -> None:
    """Delete old builds, caches and images that nothing needs."""


def _untagged(default: bool) -> Declared:
    return click.option("--untagged/--no-untagged", default=default, help="Select manifests without a tag, of any age.")


_registry = click.argument("registry", metavar="REGISTRY", help="Registry with namespace, such as ghcr.io/acme.")


@group.command("temp-registry")
@_cleaning(_registry, *_PROJECT, _older_than, _untagged(False))
@general.options
def temp_command(registry: str, how: CleanOptions, given: Given, context: Path, **wanted: Any) -> None:
    """Delete temporary images: the repositories REGISTRY/IMAGE/tmp of a project.

    Off a terminal, or with --yes, it deletes at once.
    """
    _clean_project(registry, "tmp", how, given, context, gather(Filters, wanted))


@group.command("cache-registry")
@_cleaning(_registry, *_PROJECT, _older_than, _untagged(True))
@general.options
def cache_command(registry: str, how: CleanOptions, given: Given, context: Path, **wanted: Any) -> None:
    """Delete build caches: the repositories REGISTRY/IMAGE/cache of a project.

    Off a terminal, or with --yes, it deletes at once.
    """
    _clean_project(registry, "cache", how, given, context, gather(Filters, wanted))


@group.command("repository")
@_cleaning(
    click.argument("repositories", metavar="REPOSITORY...", nargs=-1, required=True, help="Repositories to clean."),
    _older_than,
    click.option("--untagged", is_flag=True, help="Select manifests without a tag, of any age."),
    click.option(
        "--tag", metavar="REGEX", multiple=True, help="Select these tags; with --older-than, only old ones; repeatable."
    ),
)
@general.options
def repository_command(repositories: tuple[str, ...], how: CleanOptions, given: Given) -> None:
    """Delete images of published repositories. Every tag stays but those that the options select.

    Off a terminal, it deletes only with --yes.
    """
    from bakery.app.clean import known_to, parse_repositories

    how.criteria()
    if not (given.yes or how.dry_run or _is_terminal()):
        raise UsageError(
            "cannot delete without --yes",
            why="this is not a terminal",
            hint="pass --yes, or --dry-run to see what would be deleted",
        )
    _clean(parse_repositories(repositories), how, known_to(how, journal=given.journal), given)


def _clean_project(
    registry: str,
    kind: Literal["tmp", "cache"],
    how: CleanOptions,
    given: Given,
    context: Path,
    wanted: Filters,
) -> None:
    from bakery.app.clean import known_to, temporary_repositories

    how.criteria(by_tag=False)
    known = known_to(how, journal=given.journal, within=registry)
    repositories = temporary_repositories(
        registry, kind, context, wanted, named=tuple(known.manifests), emit=output.emit
    )
    given = replace(given, yes=given.yes or not _is_terminal())
    _clean(repositories, how, known, given)


def _clean(repositories: Sequence[Repository], how: CleanOptions, known: Known, given: Given) -> None:
    """Look, ask, delete and report. Ends the command with its exit code."""
    from bakery.app.clean import delete, survey
    from bakery.report.cleaning import plan_table, summary_lines
    from bakery.report.printing import print_text

    count = plural(len(repositories), "repository", "repositories")
    with watching(f"Reading {count}") as recorder:
        outcome = survey(repositories, how, known=known, emit=recorder)
    wanted = bool(outcome.deletions) and not how.dry_run
    if wanted and not given.yes:
        print_text(plan_table(outcome, width=look().width) + summary_lines(outcome))
        if not output.confirm(f"Delete {plural(len(outcome.deletions), 'manifest or tag', 'manifests and tags')}?"):
            _decline(outcome, given.form)
    interrupted: ExecutorInterrupted | None = None
    if wanted:
        try:
            with watching(f"Cleaning {count}", journal=given.journal) as recorder:
                outcome = delete(outcome, how, known=known, emit=recorder)
        except ExecutorInterrupted as error:
            if error.value is None:
                raise
            outcome, interrupted = error.value, error  # type: ignore[assignment]  # `delete` says so
    _report(outcome, how, given.form)
    if interrupted is not None:
        raise interrupted
    raise click.exceptions.Exit(outcome.exit_code)


def _decline(outcome: CleanOutcome, form: Form) -> NoReturn:
    """End the command without a deletion; the plan is on the terminal already."""
    from bakery.report.cleaning import cleaning_json

    if form == "json":
        output.write_json(cleaning_json(outcome))
    output.note("nothing deleted")
    raise click.exceptions.Exit(outcome.exit_code)


def _report(outcome: CleanOutcome, how: CleanOptions, form: Form) -> None:
    from bakery.report.cleaning import cleaning_json, plan_table, summary_lines

    if form == "json":
        output.write_json(cleaning_json(outcome))
    elif how.dry_run:
        output.write(plan_table(outcome, width=look(sys.stdout).width), end="")
    output.report(summary_lines(outcome))


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
