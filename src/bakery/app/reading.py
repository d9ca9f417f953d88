"""The commands that read a project and change nothing: `get`, `check`, `ci matrix`.

Each function returns values; a caller prints them. Warnings go to `emit`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from bakery.app.selecting import Filters, check_matched, choose_versions, emit_problems, open_project, select_targets
from bakery.errors import NothingSelected, one_line
from bakery.events import Emit, Noted, ignore
from bakery.files import is_file

if TYPE_CHECKING:
    from bakery.config.project import Project
    from bakery.targets.changes import AffectedVersions
    from bakery.targets.target import Target

JobField = Literal["version", "dev", "platform"]  # what a job of the matrix has besides its image


def targets(
    context: Path, filters: Filters, *, strict: bool = False, check_secrets: bool = True, emit: Emit = ignore
) -> tuple[Target, ...]:
    """Return the selected targets, in target order. check_secrets: warn about build secrets that are not set."""
    from bakery.targets.expand import secret_findings

    project = open_project(context, strict=strict, emit=emit)
    selected = select_targets(project, filters, strict=strict, emit=emit)
    if check_secrets:
        findings = secret_findings(project, selected.targets)
        emit_problems((project.document.problem(found) for found in findings), emit)
    return selected.targets


def version(context: Path, image: str, subpath: str | None = None, *, emit: Emit = ignore) -> str:
    """Return the name of an image's latest version, or of its version in the folder `subpath`."""
    from bakery.targets.listing import version_name

    return version_name(open_project(context, emit=emit), image, subpath)


def configuration(
    context: Path,
    *,
    resolved: bool = False,
    image_name: str = "",
    strict: bool = False,
    allow_empty: bool = False,
    emit: Emit = ignore,
) -> Any:
    """Return the configuration as a tree (config.resolved): as written, or with defaults and inherited values.

    Raises NothingSelected if no image's name matches `image_name`, unless `allow_empty` is set.
    """
    from bakery.config import resolved as tree
    from bakery.targets.names import unmatched_image
    from bakery.targets.select import Selection

    Selection(image_name=image_name)  # a bad expression is reported before the project is read
    project = open_project(context, strict=strict, emit=emit)
    made: Any = tree.resolved(project) if resolved else tree.as_written(project)
    if not image_name:
        return made
    names = {image.name for image in project.images if re.search(image_name, image.name)}
    check_matched(unmatched_image(project, image_name), allow_empty=allow_empty, emit=emit)
    return tree.only_images(made, names)


def schema(what: str = "project") -> Mapping[str, Any]:
    """Return a JSON Schema: of bakery.yaml with the options of every installed plugin, of one line of a journal, or of
    a document, by its name in `report.schemas.FORMATS`.
    """
    if what != "project":
        from bakery.report import schemas

        return schemas.journal_schema() if what == "journal" else schemas.document_schema(what)
    from bakery.config.schema.json_schema import project_schema
    from bakery.plugin_api import options_registry

    return project_schema(options_registry())


def check(context: Path, *, strict: bool = False, emit: Emit = ignore) -> str:
    """Load and expand a project, and return a line of counts. Nothing is queried. Raises InvalidProject."""
    from bakery.targets.expand import check_expansion

    project = open_project(context, strict=strict, emit=emit)
    checked = check_expansion(project, lambda path: is_file(context / path), strict=strict)
    emit_problems(checked.problems, emit)
    return checked.summary


class MatrixRequest(Struct, frozen=True):
    """The jobs that `matrix` is to list. exclude: fields to leave out of each job.

    changed_files: paths relative to the context; only what they affect is listed. base_ref: a commit; only what changed
    since the merge base with it is listed. Without either, everything is listed.
    """

    context: Path
    filters: Filters = Filters()
    exclude: tuple[JobField, ...] = ()
    base_ref: str = ""
    changed_files: Sequence[str] | None = None
    strict: bool = False


def matrix(request: MatrixRequest, *, emit: Emit = ignore) -> list[dict[str, Any]]:
    """Return the jobs of a CI run: one per version and platform."""
    from bakery.targets.jobs import jobs

    project = open_project(request.context, strict=request.strict, emit=emit)
    pairs = choose_versions(project, request.filters, image_option="", emit=emit).pairs
    if request.filters.image_version and not pairs and not request.filters.allow_empty:
        raise NothingSelected("cannot find a version to build", why=f"no version passes {request.filters.described()}")
    changes = _affected(project, request, emit)
    if changes is not None:
        pairs = tuple(pair for pair in pairs if changes.includes(*pair))
    return jobs(pairs, request.exclude)


def shards(
    context: Path, filters: Filters, count: int, *, strict: bool = False, emit: Emit = ignore
) -> list[dict[str, Any]]:
    """Return the project's images in `count` shards of about equal numbers of targets, for `ci publish --shard`."""
    from bakery.targets.names import unmatched_image
    from bakery.targets.shards import split_images, target_counts

    project = open_project(context, strict=strict, emit=emit)
    images = target_counts(project)
    expression = re.compile(filters.selection(emit)[0].image_name)
    missed = unmatched_image(project, filters.image_name)
    if missed is not None:
        check_matched(replace(missed, option=""), allow_empty=filters.allow_empty, emit=emit)
    named = {image.name for image in project.images if expression.search(image.name)}
    return [
        {
            "shard": f"{index}/{count}",
            "images": [name for name in share if name in named],
            "targets": sum(images[name] for name in share if name in named),
        }
        for index, share in enumerate(split_images(images, count), start=1)
    ]


def _affected(project: Project, request: MatrixRequest, emit: Emit) -> AffectedVersions | None:
    """Return what the changed files affect, or None if everything is to be listed."""
    from bakery.app.git import run_git
    from bakery.config.git import GitFailed, changed_files, old_text
    from bakery.targets.changes import affected_versions

    if request.changed_files is not None:
        return affected_versions(project, request.changed_files)
    if not request.base_ref:
        return None
    try:
        changes = changed_files(request.context, request.base_ref, run_git)
    except GitFailed as error:
        emit(Noted("", f"listing every job: {one_line(error)}"))
        return None
    name = Path(project.file).name
    return affected_versions(project, changes.paths, old_text(request.context, changes.base, name, run_git))
