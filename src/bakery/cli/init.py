"""`bakery init`: start a project, by options or by questions on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bakery.cli import general, options, output
from bakery.cli.group import Command, Group
from bakery.cli.options import into
from bakery.errors import BakeryError, UsageError, message
from bakery.text import clean

if TYPE_CHECKING:
    from bakery.app.init import Answers

_starting = options.declaring(
    options.context,
    into(
        "given",
        "bakery.app.init:Answers",
        click.option(
            "--url", default="", show_default="the git remote", help="URL of the repository with the Containerfiles."
        ),
        click.option("--vendor", default="", show_default="git's user.name", help="Who distributes the images."),
        click.option(
            "--maintainer", metavar="'NAME <ADDRESS>'", default="", show_default="git's user.name and user.email",
            help="Who maintains the images.",
        ),
        click.option(
            "--registry", "registries", metavar="HOST/NAMESPACE", multiple=True, show_default="that of the git remote",
            help="Registry to publish to; repeatable.",
        ),
        click.option(
            "--image", metavar="NAME", default="", show_default="the repository's name", help="Name of the first image."
        ),
    ),
    click.option("-y", "--yes", is_flag=True, help="Ask no questions, also on a terminal."),
)  # fmt: skip


@click.command("init", cls=Command)
@_starting
@general.options
def command(context: Path, given: Answers, yes: bool) -> None:
    """Write a bakery.yaml, and a Containerfile if the folder has none.

    On a terminal, asks for what no option names. Never overwrites a file. Prints the paths of the files it wrote.
    """
    _start(context, given, yes=yes)


@click.group("create", cls=Group)
def group() -> None:
    """Old name of `init`."""


@group.command("project")
@_starting
@general.options
def project_command(context: Path, given: Answers, yes: bool) -> None:
    """Old name of `bakery init`."""
    _start(context, given, yes=yes)


def _start(context: Path, given: Answers, *, yes: bool) -> None:
    from bakery.app import init

    init.check_new(context)
    answers = init.suggestions(context, given)
    if not yes and sys.stdin.isatty() and sys.stderr.isatty():
        answers = _ask(context, given, answers)
    started = init.start_project(context, answers, emit=output.emit)
    for name in started.written:
        output.write(str(context / name))
    for text in started.open_ends:
        output.note(text)
    output.note("Run `bakery check`, then `bakery rehearse` to try it with registries inside the command.")


def _ask(context: Path, given: Answers, suggested: Answers) -> Answers:
    """Return the answers, asked for on the terminal if no option gives them."""
    from msgspec.structs import replace

    from bakery.app import init

    output.note("Press Enter to take the value in brackets.")
    if not given.url:
        url = _question("URL of the git repository", suggested.url, init.checked_url)
        suggested = init.suggestions(context, replace(given, url=url))
    vendor = given.vendor or _question("Vendor of the images", suggested.vendor, str)
    maintainer = given.maintainer or _question("Maintainer", suggested.maintainer, init.checked_person)
    registries = (
        given.registries
        or _question("Registries, separated by blanks", " ".join(suggested.registries), init.checked_registries).split()
    )
    image = given.image or _question("Name of the image", suggested.image, init.checked_image)
    return replace(
        suggested, vendor=vendor, maintainer=maintainer, registries=tuple(registries), image=image or suggested.image
    )


def _question(text: str, suggested: str, checked: Callable[[str], str]) -> str:
    """Return the answer to a question, or what is suggested. An invalid answer is asked for again."""
    while True:
        sys.stderr.write(f"{text}{f' [{clean(suggested)}]' if suggested else ''}: ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise BakeryError("stopped before the last question", why="no file was written")
        if not line.strip():
            return suggested
        try:
            return checked(line.strip())
        except UsageError as error:
            output.print_line(message(error))
