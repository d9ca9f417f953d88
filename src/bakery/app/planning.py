"""From a project and the metadata files of its builds to a plan. Local, except for product APIs if they are needed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from bakery.app.selecting import Channel, check_matched, emit_problems, open_project
from bakery.errors import NothingSelected, UsageError
from bakery.events import Emit, Noted, ignore
from bakery.text import plural

if TYPE_CHECKING:
    from bakery.config.project import Project
    from bakery.products.catalog import ProductCatalog
    from bakery.products.spec import DevSpec
    from bakery.publish.plan import Plan
    from bakery.targets.metadata import Metadata
    from bakery.targets.target import Target

MOST_UNKNOWN: Final = 20  # uids of the metadata files that get a warning of their own


class PublishRequest(Struct, frozen=True):
    """What to publish: the targets of a project that these build metadata files name.

    metadata: files and glob patterns. image_name: a regular expression, searched for. with_soci: convert targets whose
    options say so. only_soci: convert, and publish nothing. allow_empty: nothing to publish is not an error. dev_spec:
    JSON that pins a development version. offline: query no product API. shard: "I/N", one of N parts of the images.
    """

    metadata: tuple[str, ...]
    context: Path = Path()
    image_name: str = ""
    with_soci: bool = True
    only_soci: bool = False
    allow_empty: bool = False
    dev_channel: Channel | None = None
    dev_spec: str = ""
    offline: bool = False
    shard: str = ""
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


def plan(request: PublishRequest, *, emit: Emit = ignore) -> Plan | None:
    """Return the plan, or None if there is nothing to publish and that is not an error.

    Raises BakeryError for files that cannot be used, and NothingSelected if there is nothing to publish.
    """
    from bakery.plans.project import conversion_only, plan_project

    metadata = _read_metadata(request, emit)
    if metadata is None:
        return None
    selected = _selected(request, metadata, emit)
    if not selected:
        return None
    uids = set(metadata.uids)
    built = sum(target.uid in uids for target in selected)
    emit(Noted("", f"Found {plural(built, 'target')} in {plural(len(metadata.files), 'file')}", warning=False))
    made = plan_project(selected, metadata, with_soci=request.with_soci, needs_tags=not request.only_soci)
    if not made.targets and not made.refused:
        _nothing_to_publish(request, "; ".join(f"{item.uid}: {item.reason}" for item in made.skipped), emit)
        return None
    return conversion_only(made) if request.only_soci else made


def project_targets(
    context: Path, image_name: str = "", *, allow_empty: bool = False, emit: Emit = ignore
) -> Sequence[Target]:
    """Return every target that a project writes out, of the images that match.

    Raises NothingSelected for none, unless `allow_empty` is set.
    """
    from bakery.targets.expand import defined_targets
    from bakery.targets.names import unmatched_image

    expression = _expression("--image-name", image_name)
    project = open_project(context, emit=emit)
    defined = defined_targets(project)
    targets = [target for target in defined if expression.search(target.image)]
    if defined:
        check_matched(unmatched_image(project, image_name), allow_empty=allow_empty, emit=emit)
    if not targets and not allow_empty:
        which = f" that matches --image-name {image_name}" if defined else ""
        why = f"the project has no image with a version{which}"
        raise NothingSelected("cannot find a target", about=f"in {context}", why=why)
    return targets


def _read_metadata(request: PublishRequest, emit: Emit) -> Metadata | None:
    from bakery.app.sources import refuse_misnamed
    from bakery.targets.metadata import find_files, read_metadata, unmatched

    _expression("--image-name", request.image_name)  # a bad expression is reported before any file is read
    refuse_misnamed(request.metadata, Path.cwd())
    files = find_files(request.metadata, Path.cwd())
    empty = " ".join(unmatched(request.metadata, Path.cwd()))
    if empty and files and request.allow_empty:
        emit(Noted("", f"no file matches {empty}"))
    elif empty:
        _nothing_to_publish(request, f"no file matches {empty}", emit)
    return read_metadata(files) if files else None


def _selected(request: PublishRequest, metadata: Metadata, emit: Emit) -> Sequence[Target]:
    """The targets that the request selects, with those that have no build; none if no build is selected.

    Targets without a build are of a kind (development, matrix) that the files have builds of.
    """
    from bakery.targets.names import unmatched_image

    project = open_project(request.context, emit=emit)
    check_matched(unmatched_image(project, request.image_name), allow_empty=request.allow_empty, emit=emit)
    targets = _find_targets(project, request, metadata.uids, emit)
    uids = set(metadata.uids)
    named = [target for target in targets if target.uid in uids]
    _emit_unknown(sorted(uids - {target.uid for target in targets}), emit)
    if not named:
        entries = plural(len(uids), "entry", "entries")
        _nothing_to_publish(request, f"the files name no target of bakery.yaml ({entries} read)", emit)
        return ()
    kinds = {(target.development, target.matrix) for target in named}
    expression = _expression("--image-name", request.image_name)
    selected = [
        target for target in targets if (target.development, target.matrix) in kinds and expression.search(target.image)
    ]
    if uids.isdisjoint(target.uid for target in selected):
        built = plural(len(named), "built target")
        emit(Noted("", f"--image-name {request.image_name} matches none of the {built}"))
        return ()
    if request.shard:
        selected = _in_shard(project, selected, request.shard)
        if uids.isdisjoint(target.uid for target in selected):
            emit(Noted("", f"no image of the built targets is in shard {request.shard}"))
            return ()
    return selected


def _emit_unknown(uids: Sequence[str], emit: Emit) -> None:
    for uid in uids[:MOST_UNKNOWN]:
        emit(Noted("", f"{uid} is in the metadata files but not a target of bakery.yaml"))
    if len(uids) > MOST_UNKNOWN:
        emit(Noted("", f"{len(uids) - MOST_UNKNOWN:,} more are not targets of bakery.yaml either"))


def _in_shard(project: Project, targets: Sequence[Target], text: str) -> list[Target]:
    from bakery.targets.shards import Shard, split_images, target_counts

    shard = Shard.parse(text)
    images = split_images(target_counts(project), shard.count)[shard.index - 1]
    return [target for target in targets if target.image in images]


def _find_targets(project: Project, request: PublishRequest, uids: Sequence[str], emit: Emit) -> Sequence[Target]:
    """The targets that bakery.yaml writes out, and those that product APIs know if a uid is not among the first.

    Product APIs are queried only in the second case (pipeline.md 10).
    """
    from bakery.targets.built import find_built

    spec = _dev_spec(request.dev_spec)

    def catalog() -> ProductCatalog:
        from bakery.products.catalog import ProductCatalog
        from bakery.products.source import source_from_environment

        return ProductCatalog(source_from_environment(offline=request.offline, environ=request.environment), spec)

    found = find_built(
        project,
        uids,
        catalog,
        dev_channel=spec.channel_filter(request.dev_channel) if spec else request.dev_channel,
        environ=request.environment,
    )
    emit_problems(found.problems, emit)
    if found.failed and not set(uids) <= {target.uid for target in found.targets}:
        raise NothingSelected(
            "cannot find the targets that the metadata files name",
            why="product APIs could not be queried; see the warnings above",
            hint="run again later, or name the version with --dev-spec",
        )
    return found.targets


def _dev_spec(text: str) -> DevSpec | None:
    if not text:
        return None
    from bakery.products.spec import DevSpec

    return DevSpec.parse(text)


def _nothing_to_publish(request: PublishRequest, reason: str, emit: Emit) -> None:
    """Emit a warning if `allow_empty` is set, else raise NothingSelected."""
    if not request.allow_empty:
        raise NothingSelected("nothing to publish", why=reason, hint="pass --allow-empty if that is expected")
    emit(Noted("", f"nothing to publish: {reason}"))


def _expression(option: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(
            f"invalid value for {option}", about=repr(text), why=f"not a regular expression: {error}"
        ) from None
