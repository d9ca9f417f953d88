"""`bakery imagetools create|copy|tag`: publish images made of images, without a bakery.yaml.

`create` has the command line of `docker buildx imagetools create`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click
from msgspec import Struct

from bakery.app.imagetools import Create
from bakery.app.publishing import PublishOptions
from bakery.cli import completing, general, options, output
from bakery.cli.general import CommandFunction, Declared
from bakery.cli.group import Command
from bakery.cli.options import declare, gather
from bakery.cli.pages import check_writable
from bakery.cli.publishing import (
    ACCESS,
    ACCESS_NAMES,
    REPORT,
    TRUST,
    Reporting,
    carry_out,
    report_outcome,
)
from bakery.cli.watching import look
from bakery.errors import BakeryError, ExitCode, UsageError
from bakery.events import Emit, Event, Noted

if TYPE_CHECKING:
    from bakery.plans.create import CreatePlan
    from bakery.publish.outcome import Outcome
    from bakery.publish.preview import Preview
    from bakery.report.model import Run

_Progress = Literal["auto", "none", "plain", "rawjson", "tty"]
_KEY_VALUE: Final = re.compile(r"[a-z][a-z-]*=")

_sources = click.argument(
    "sources", metavar="[SOURCE...]", nargs=-1,
    help="References, digests in the repository of the first --tag, oci-layout://PATH[:NAME|@DIGEST], or descriptors.",
)  # fmt: skip
_WHAT: Final = (
    click.option(
        "-f", "--file", multiple=True, metavar="FILE",
        help="Read sources from this file (- for stdin): a descriptor in JSON or a list of them; repeatable.",
    ),
    click.option(
        "--metadata", multiple=True, metavar="FILE", type=click.Path(path_type=Path),
        help="Use the build of this metadata file of buildx or of `imagetools create`; repeatable.",
    ),
    click.option("--target", metavar="KEY", default="", show_default=False, help="Target in the metadata files.",
        shell_complete=completing.metadata_keys,
    ),
    click.option("--append", is_flag=True, help="Add the sources to the image of the first --tag."),
    click.option(
        "-p", "--platform", multiple=True, metavar="OS/ARCH", help="Keep only these platforms; repeatable."
    ),
    click.option(
        "--prefer-index", type=bool, metavar="BOOLEAN", default=True,
        help="Put a single manifest into an index; false copies it as it is.",
    ),
    options.annotation,
    click.option(
        "--on-duplicate", type=click.Choice(["refuse", "last", "newest"]), default="refuse",
        help="If two sources have images for one platform: fail, or use one of them.",
    ),
    click.option(
        "--media-type", type=click.Choice(["oci", "docker"]), default=None, help="Kind of index; oci unless kept."
    ),
    click.option("--artifact-type", metavar="TYPE", default="", show_default=False, help="Artifact type of the index."),
    click.option("--subject", metavar="REF", default="", show_default=False, help="Image that the index refers to."),
    click.option(
        "--soci", metavar="[KEY=VALUE,…]", default=None, help="Convert to SOCI; keys are those of `soci convert`."
    ),
)  # fmt: skip
_HOW: Final = (
    click.option(
        "--dry-run", is_flag=True, help="Print the index on stdout, and on stderr what each tag names and would name."
    ),
    click.option("--offline", is_flag=True, help="With --dry-run: contact no registry, and print only the plan."),
    options.strict_plan, options.engine, options.wait_timeout, options.time_budget, *TRUST,
)  # fmt: skip
_RESULT: Final = (
    click.option(
        "--metadata-file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
        help="Write the descriptor and the repositories to this file, as buildx does.",
    ),
    click.option(
        "--progress", type=click.Choice(["auto", "none", "plain", "rawjson", "tty"]), default="auto",
        help="plain: lines in place of a live view; none: only errors; rawjson: events as JSON lines.",
    ),
)  # fmt: skip


class Creating(Struct, frozen=True):
    """How `create`, `copy` and `tag` run, and what they report."""

    options: PublishOptions
    reporting: Reporting
    offline: bool = False
    metadata_file: Path | None = None
    progress: _Progress = "auto"

    def __post_init__(self) -> None:
        if self.offline and not self.reporting.dry_run:
            raise UsageError("cannot use --offline", why="it is about a dry run", hint="pass --dry-run")


class _CreateCommand(Command):
    """A command whose --soci has an optional value: what follows it is a source, unless it is KEY=VALUE."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = list(args)
        for place, word in enumerate(args):
            following = args[place + 1] if place + 1 < len(args) else ""
            if word == "--soci" and _KEY_VALUE.match(following) is None:
                words[place] = "--soci="
        return super().parse_args(ctx, words)


def _creating(*before: Declared) -> Declared:
    """Declare the options of a command that gets them as `how`, a Creating, and `environment`."""

    def decorate(function: CommandFunction) -> CommandFunction:
        @wraps(function)
        def command(**given: Any) -> None:
            access = {name: given.pop(name) for name in ACCESS_NAMES}
            given["environment"] = options.overlaid(os.environ, **access)
            how = {
                "options": gather(PublishOptions, given),
                "reporting": gather(Reporting, given),
                **{name: given[name] for name in ("offline", "metadata_file", "progress")},
            }
            taken = {*PublishOptions.__struct_fields__, *Reporting.__struct_fields__, *how} - {"environment"}
            for name in taken:
                given.pop(name, None)
            function(how=Creating(**how), **given)

        return declare(command, (*before, *_HOW, *_RESULT, *ACCESS, *REPORT))

    return decorate


@click.command("create", cls=_CreateCommand)
@_creating(options.tag, _sources, *_WHAT)
@general.options
def create_command(how: Creating, **given: Any) -> None:
    """Create an image from existing ones, as `docker buildx imagetools create` does.

    Sources are waited for, everything is uploaded by digest to every destination before a tag moves, `latest` moves
    last, and every tag is read back. Attestations are kept, after the images.
    """
    from bakery.app import imagetools

    given["media_type"] = given["media_type"] or ""
    if "-" in given["file"]:
        given["stdin"] = sys.stdin.read(imagetools.MAX_FILE_BYTES)
    _run(partial(imagetools.plan, Create(**given)), how)


@click.command("copy", cls=Command)
@click.argument("source", metavar="SOURCE", help="Image to copy.")
@click.argument("destinations", metavar="DESTINATION...", nargs=-1, required=True, help="REPOSITORY[:TAG[,TAG…]].")
@_creating()
@general.options
def copy_command(how: Creating, source: str, destinations: tuple[str, ...], environment: dict[str, str]) -> None:
    """Copy an image with its attestations to other repositories. Its digest stays; content is read once."""
    from bakery.app import imagetools

    _run(partial(imagetools.copy, source, destinations, environment), how)


@click.command("tag", cls=Command)
@click.argument("reference", metavar="REF", help="Image, by tag or digest.")
@click.argument("tags", metavar="TAG...", nargs=-1, required=True, help="Tags to set in its repository.")
@_creating()
@general.options
def tag_command(how: Creating, reference: str, tags: tuple[str, ...], environment: dict[str, str]) -> None:
    """Give an image further tags in its repository."""
    from bakery.app import imagetools

    _run(partial(imagetools.tag, reference, tags, environment), how)


def _run(planning: Callable[[], CreatePlan], how: Creating) -> None:
    """Plan, then publish or print what would be published. Ends the command with its exit code."""
    general.choose(how.progress)
    show = _print_event if how.progress == "rawjson" else None
    check_writable("--metadata-file", how.metadata_file)
    made = planning()
    if how.reporting.dry_run:
        raise click.exceptions.Exit(_dry_run(made, how, show))
    if not made.has_destination:
        raise UsageError("missing option --tag", hint="name a destination, or pass --dry-run")

    def report(outcome: Outcome, run: Run, options: PublishOptions, reporting: Reporting) -> None:
        report_outcome(outcome, run, options, reporting)
        if outcome.exit_code == ExitCode.DONE:
            _write_result(made, outcome, how)

    raise click.exceptions.Exit(carry_out(made.plan, how.options, how.reporting, report, show=show))


def _print_event(event: Event) -> None:
    from datetime import UTC, datetime

    from bakery.publish.journal import line_of

    sys.stderr.write(line_of(event, datetime.now(UTC)))


def _dry_run(made: CreatePlan, how: Creating, show: Emit | None) -> ExitCode:
    from bakery.app import imagetools
    from bakery.report.outcome import plan_table
    from bakery.report.printing import print_text

    if how.reporting.result != "text":
        from bakery.cli.dry_run import show_plan

        return show_plan(made.plan, how.options, how.reporting, emit=show or output.emit)
    if how.offline:
        print_text(plan_table(made.plan, width=look().width))
        return ExitCode.DONE
    found = imagetools.preview(made, how.options, emit=show or output.emit)
    for note in found.notes:
        (show or output.emit)(Noted(made.target.uid, note))
    print_text(_moves(found))
    output.write_bytes(found.image.index.raw)
    return ExitCode.DONE


def _moves(found: Preview) -> str:
    digest = found.image.digest
    lines = [
        f"{reference}: {digest} (unchanged)" if previous == digest else f"{reference}: {previous or 'new'} -> {digest}"
        for reference, previous in found.tags.items()
    ]
    return "".join(f"{line}\n" for line in lines)


def _write_result(made: CreatePlan, outcome: Outcome, how: Creating) -> None:
    from bakery.app.imagetools import metadata_document
    from bakery.files import write_text
    from bakery.report.summary import dump

    if how.metadata_file is not None:
        try:
            write_text(how.metadata_file, dump(metadata_document(made, outcome)))
        except OSError as error:
            raise BakeryError("cannot write", about=how.metadata_file, why=str(error.strerror)) from error
