"""The options that say which images, versions and targets are meant, and from them a project and a selection.

Shared by every command that reads a project. Source: config.md 15.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from bakery.cli import options
from bakery.errors import NothingSelected

if TYPE_CHECKING:
    from bakery.config.problem import Problem
    from bakery.config.project import Project
    from bakery.config.sources.catalog import Catalog
    from bakery.targets.select import Chosen, Selected, Selection


class Mode(StrEnum):
    """Whether some versions take part."""

    EXCLUDE = "exclude"
    INCLUDE = "include"
    ONLY = "only"


class Channel(StrEnum):
    """A channel of development versions."""

    RELEASE = "release"
    PREVIEW = "preview"
    DAILY = "daily"


ImageName = Annotated[
    str,
    typer.Option("--image-name", metavar="REGEX", help="Only images with this in the name.", show_default=False),
]
ImageVersion = Annotated[
    str,
    typer.Option(
        "--image-version", metavar="VERSION", help="Only this version, or those that begin so: 2026.05, R4.5.",
        show_default=False,
    ),
]  # fmt: skip
ImageVariant = Annotated[
    str,
    typer.Option("--image-variant", metavar="REGEX", help="Only variants with this in the name.", show_default=False),
]
ImageOs = Annotated[
    str, typer.Option("--image-os", metavar="REGEX", help="Only systems with this in the name.", show_default=False)
]
ImagePlatform = Annotated[
    list[str] | None,
    typer.Option(
        "--image-platform", metavar="REGEX", help="Only targets with such a platform; repeatable.", show_default=False
    ),
]
Latest = Annotated[bool, typer.Option("--latest", help="Only latest versions.")]
DevVersions = Annotated[Mode, typer.Option("--dev-versions", help="Whether development versions take part.")]
DevChannel = Annotated[
    Channel | None, typer.Option("--dev-channel", help="Only development versions of this channel.", show_default=False)
]
DevStream = Annotated[Channel | None, typer.Option("--dev-stream", hidden=True)]
DevSpec = Annotated[
    str,
    typer.Option(
        "--dev-spec", metavar="JSON", envvar="BAKERY_DEV_SPEC", show_default=False,
        help='Pins a development version: {"version", "channel", "release_branch"}.',
    ),
]  # fmt: skip
MatrixVersions = Annotated[Mode, typer.Option("--matrix-versions", help="Whether images with a matrix take part.")]
Offline = Annotated[
    bool, typer.Option("--offline", help="Ask no product API; earlier answers are used whatever their age.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse unknown keys and tags that two targets claim.")]


class Filters(Struct, frozen=True):
    """What was given on the command line. `catalog` and `selection` turn it into what `targets.select` takes."""

    image_name: str = ""
    image_version: str = ""
    image_variant: str = ""
    image_os: str = ""
    image_platform: tuple[str, ...] = ()
    latest: bool = False
    dev_versions: Mode = Mode.EXCLUDE
    dev_channel: Channel | None = None
    dev_stream: Channel | None = None
    dev_spec: str = ""
    matrix_versions: Mode = Mode.EXCLUDE
    offline: bool = False

    def selection(self) -> tuple[Selection, Catalog]:
        """The filters, checked, and whoever answers for product APIs. Nothing is asked yet."""
        from bakery.config.sources.catalog import Catalog
        from bakery.config.sources.fetch import source_from_environment
        from bakery.config.sources.spec import DevSpec as Spec
        from bakery.targets.select import Selection

        channel = self.dev_channel.value if self.dev_channel else None
        if self.dev_stream is not None:
            warn("--dev-stream is the old name of --dev-channel")
            channel = channel or self.dev_stream.value
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
            dev_versions=self.dev_versions.value,
            dev_channel=channel,
            matrix_versions=self.matrix_versions.value,
        )
        return selection, Catalog(source_from_environment(offline=self.offline), spec)

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
        if not any_left and failed and self.dev_versions is Mode.ONLY:
            raise NothingSelected(
                "selecting development versions",
                answer="none could be found out; the warnings above say why",
                hint="run again later, or name the version with --dev-spec",
            )


def open_project(context: Path, *, strict: bool = False) -> Project:
    """Read the project of a directory, and say its warnings."""
    from bakery.config.load import load_project
    from bakery.plugin_api import options_registry

    project = load_project(context, options=options_registry(), strict=strict)
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
