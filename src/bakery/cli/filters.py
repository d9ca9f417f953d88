"""The options that say which images, versions and targets are meant, and from them a project and a selection.

Shared by every command that reads a project. Source: config.md 15.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import click
from msgspec import Struct

from bakery.cli import options
from bakery.errors import NothingSelected

if TYPE_CHECKING:
    from bakery.config.project import Project
    from bakery.config.yaml.problem import Problem
    from bakery.products.catalog import ProductCatalog
    from bakery.targets.select import Chosen, Selected, Selection

Mode = Literal["exclude", "include", "only"]  # whether some versions take part
Channel = Literal["release", "preview", "daily"]  # of development versions
Command = Callable[..., None]
_MODES, _CHANNELS = click.Choice(get_args(Mode)), click.Choice(get_args(Channel))


def _text(name: str, metavar: str, help: str) -> Callable[[options.F], options.F]:
    return click.option(name, metavar=metavar, default="", show_default=False, help=help)


image_name = _text("--image-name", "REGEX", "Only images with this in the name.")
image_version = _text("--image-version", "VERSION", "Only this version, or those that begin so: 2026.05, R4.5.")
image_variant = _text("--image-variant", "REGEX", "Only variants with this in the name.")
image_os = _text("--image-os", "REGEX", "Only systems with this in the name.")
image_platform = click.option(
    "--image-platform", metavar="REGEX", multiple=True, help="Only targets with such a platform; repeatable."
)
latest = click.option("--latest", is_flag=True, help="Only latest versions.")
dev_versions = click.option(
    "--dev-versions", type=_MODES, default="exclude", help="Whether development versions take part."
)
dev_channel = click.option("--dev-channel", type=_CHANNELS, help="Only development versions of this channel.")
dev_stream = click.option("--dev-stream", type=_CHANNELS, hidden=True)
dev_spec = click.option(
    "--dev-spec", metavar="JSON", envvar="BAKERY_DEV_SPEC", show_envvar=True, default="", show_default=False,
    help='Pins a development version: {"version", "channel", "release_branch"}.',
)  # fmt: skip
matrix_versions = click.option(
    "--matrix-versions", type=_MODES, default="exclude", help="Whether images with a matrix take part."
)
offline = click.option(
    "--offline", is_flag=True, help="Ask no product API; earlier answers are used whatever their age."
)
strict = click.option("--strict", is_flag=True, help="Refuse unknown keys and tags that two targets claim.")

ALL = (
    image_name, image_version, image_variant, image_os, image_platform, latest, dev_versions, dev_channel, dev_stream,
    dev_spec, matrix_versions, offline,
)  # fmt: skip


class Filters(Struct, frozen=True):
    """What was given on the command line. `catalog` and `selection` turn it into what `targets.select` takes."""

    image_name: str = ""
    image_version: str = ""
    image_variant: str = ""
    image_os: str = ""
    image_platform: tuple[str, ...] = ()
    latest: bool = False
    dev_versions: Mode = "exclude"
    dev_channel: Channel | None = None
    dev_stream: Channel | None = None
    dev_spec: str = ""
    matrix_versions: Mode = "exclude"
    offline: bool = False

    def selection(self) -> tuple[Selection, ProductCatalog]:
        """The filters, checked, and whoever answers for product APIs. Nothing is asked yet."""
        from bakery.products.catalog import ProductCatalog
        from bakery.products.fetch import source_from_environment
        from bakery.products.spec import DevSpec as Spec
        from bakery.targets.select import Selection

        channel: str | None = self.dev_channel
        if self.dev_stream is not None:
            warn("--dev-stream is the old name of --dev-channel")
            channel = channel or self.dev_stream
        spec = Spec.parse(self.dev_spec) if self.dev_spec else None
        if spec is not None:
            channel = spec.channel_filter(channel)
        selection = Selection(
            image_name=self.image_name,
            image_version=self.image_version,
            image_variant=self.image_variant,
            image_os=self.image_os,
            image_platforms=self.image_platform,
            latest=self.latest,
            dev_versions=self.dev_versions,
            dev_channel=channel,
            matrix_versions=self.matrix_versions,
        )
        return selection, ProductCatalog(source_from_environment(offline=self.offline), spec)

    def takes(self, image: str) -> bool:
        """Whether --image-name selects this image."""
        return re.search(self.selection()[0].image_name, image) is not None

    def choose(self, project: Project) -> Chosen:
        """The versions that are meant, in file order; warnings are said."""
        from bakery.targets.select import choose

        chosen = choose(project, *self.selection())
        say(chosen.problems)
        self._check(bool(chosen.pairs), chosen.failed)
        return chosen

    def select(self, project: Project, *, strict: bool = False) -> Selected:
        """The targets that are meant, in target order; warnings are said. strict: tags claimed twice are refused."""
        from bakery.targets.select import select

        selected = select(project, *self.selection(), strict=strict)
        say(selected.problems)
        self._check(bool(selected.targets), selected.failed)
        return selected

    def _check(self, any_left: bool, failed: int) -> None:
        if not any_left and failed and self.dev_versions == "only":
            raise NothingSelected(
                "selecting development versions",
                why="none could be found out; the warnings above say why",
                hint="run again later, or name the version with --dev-spec",
            )


def taking(*filters: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """These options, which the command takes together: as one value, `wanted`."""

    def decorate(function: Command) -> Command:
        @wraps(function)
        def command(**given: Any) -> None:
            wanted = Filters(**{name: given.pop(name) for name in Filters.__struct_fields__ if name in given})
            function(wanted=wanted, **given)

        made: Command = command
        for option in reversed(filters):
            made = option(made)
        return made

    return decorate


def open_project(context: Path, *, strict: bool = False) -> Project:
    """Read the project of a directory, and say its warnings."""
    from bakery.app.git import run_git
    from bakery.config.load import load_project
    from bakery.plugin_api import options_registry

    project = load_project(context, options=options_registry(), strict=strict, run_git=run_git)
    say(project.problems)
    return project


def say(problems: Iterable[Problem]) -> None:
    """Print warnings on stderr, unless only errors are wanted."""
    if not options.quiet_wanted():
        for problem in problems:
            print(problem, file=sys.stderr)


def warn(text: str) -> None:
    """Print one warning on stderr, unless only errors are wanted."""
    if not options.quiet_wanted():
        print(f"warning: {text}", file=sys.stderr)


def write(text: str) -> None:
    """Print a result: on stdout, in one piece, never folded."""
    sys.stdout.write(f"{text}\n")
