"""Opening a project and selecting its images, versions and targets, for every command that reads one.

Warnings go to `emit`; nothing is printed. Source: config.md 15.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from bakery.errors import NothingSelected
from bakery.events import Emit, Noted, ProblemFound, ignore

if TYPE_CHECKING:
    from bakery.app.patterns import PatternProcess
    from bakery.config.project import Project
    from bakery.config.yaml.problem import Problem
    from bakery.products.catalog import ProductCatalog
    from bakery.targets.names import Unmatched
    from bakery.targets.select import SelectedTargets, SelectedVersions, Selection

Mode = Literal["exclude", "include", "only"]  # whether some versions take part
Channel = Literal["release", "preview", "daily"]  # of development versions


class Filters(Struct, frozen=True):
    """The images, versions and targets that a command is limited to. The default is everything that is released.

    image_name, image_variant, image_os, image_platform: regular expressions, searched for. image_version: a version or
    its beginning. dev_spec: JSON that pins a development version. offline: query no product API.
    """

    image_name: str = ""
    image_version: str = ""
    image_variant: str = ""
    image_os: str = ""
    image_platform: tuple[str, ...] = ()
    latest: bool = False
    dev_versions: Mode = "exclude"
    dev_channel: Channel | None = None
    dev_stream: Channel | None = None  # the old name of dev_channel
    dev_spec: str = ""
    matrix_versions: Mode = "exclude"
    offline: bool = False
    allow_empty: bool = False  # a filter that matches nothing in the project is a warning, not an error

    def selection(self, emit: Emit = ignore) -> tuple[Selection, ProductCatalog]:
        """Return the filters, checked, and the catalog that queries product APIs. Nothing is queried yet.

        Raises UsageError for a bad expression or a bad `dev_spec`.
        """
        from bakery.products.catalog import ProductCatalog
        from bakery.products.source import source_from_environment
        from bakery.products.spec import DevSpec
        from bakery.targets.select import Selection

        channel: str | None = self.dev_channel
        if self.dev_stream is not None:
            emit(Noted("", "--dev-stream is the old name of --dev-channel"))
            channel = channel or self.dev_stream
        spec = DevSpec.parse(self.dev_spec) if self.dev_spec else None
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

    def described(self) -> str:
        """Return the filters as written on a command line, for messages."""
        return self.selection()[0].described()


def open_project(context: Path, *, strict: bool = False, emit: Emit = ignore) -> Project:
    """Load the project of a folder. Its warnings go to `emit`.

    strict: unknown keys are errors. Raises InvalidProject with every error found.
    """
    from bakery.app.git import run_git
    from bakery.config import apart
    from bakery.config.load import load_project
    from bakery.plugin_api import options_registry

    apart.use(_render_apart)
    project = load_project(context, options=options_registry(), strict=strict, run_git=run_git)
    emit_problems(project.problems, emit)
    return project


def _render_apart(pattern: str, values: Mapping[str, Any]) -> str:
    return _pattern_process().render(pattern, values)


@cache
def _pattern_process() -> PatternProcess:
    from bakery.app.patterns import PatternProcess

    return PatternProcess()


def choose_versions(
    project: Project, filters: Filters, *, image_option: str = "--image-name", emit: Emit = ignore
) -> SelectedVersions:
    """Return the versions that pass the filters, in file order. image_option: of `image_name`; "" for an argument."""
    from bakery.targets.select import select_versions

    chosen = select_versions(project, *filters.selection(emit))
    emit_problems(chosen.problems, emit)
    _check_found(filters, bool(chosen.pairs), chosen.failed)
    missed = chosen.unmatched
    if missed is not None and missed.noun == "image":
        missed = replace(missed, option=image_option)
    check_matched(missed, allow_empty=filters.allow_empty, emit=emit)
    return chosen


def select_targets(project: Project, filters: Filters, *, strict: bool = False, emit: Emit = ignore) -> SelectedTargets:
    """Return the targets that pass the filters, in target order. strict: a tag that two targets claim is an error."""
    from bakery.targets.select import select

    selected = select(project, *filters.selection(emit), strict=strict)
    emit_problems(selected.problems, emit)
    _check_found(filters, bool(selected.targets), selected.failed)
    check_matched(selected.unmatched, allow_empty=filters.allow_empty, emit=emit)
    return selected


def check_matched(missed: Unmatched | None, *, allow_empty: bool = False, emit: Emit = ignore) -> None:
    """Raise NothingSelected for a filter that matches nothing in the project. allow_empty: emit a warning instead."""
    if missed is None:
        return
    from shlex import quote

    what = f"no {missed.noun} matches {f'{missed.option} {missed.text}' if missed.option else repr(missed.text)}"
    if allow_empty:
        emit(Noted("", what))
        return
    meant = f"pass {f'{missed.option} {quote(missed.nearest)}'.strip()}, or " if missed.nearest else ""
    hint = f"{meant or 'pass '}--allow-empty if that is expected"
    raise NothingSelected(what, why=missed.known(), hint=hint, error_code="project/no-match")


def emit_problems(problems: Iterable[Problem], emit: Emit) -> None:
    """Emit problems of bakery.yaml as events."""
    for problem in problems:
        emit(ProblemFound(problem.file, problem.line, problem.column, str(problem)))


def _check_found(filters: Filters, any_left: bool, failed: int) -> None:
    if not any_left and failed and filters.dev_versions == "only":
        raise NothingSelected(
            "cannot find any development version",
            why="every lookup failed; see the warnings above",
            hint="run again later, or name the version with --dev-spec",
        )
