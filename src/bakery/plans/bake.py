"""The plan of a bake file: every target with tags is a target, and metadata files say what was built of it.

A bake file is what `docker buildx bake --print` prints; `docker-bake.json` works too if it has no variables. Metadata
files are those of `docker buildx bake --metadata-file`, one or several per target. Pure.
Source: https://docs.docker.com/build/bake/reference/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from bakery.errors import BadDocument, BakeryError, ConfigurationError
from bakery.oci.canonical import parse_object
from bakery.oci.platform import Platform
from bakery.plans.annotations import annotations_of_build
from bakery.plans.image import RULES, image_target
from bakery.plans.project import source_of
from bakery.plans.tags import parse_destinations
from bakery.publish.plan import Destination, Plan, PlannedTarget, RefusedTarget, SkippedTarget, refuse_clashes
from bakery.targets.metadata import Metadata

MAX_BYTES: Final = 16 * 1024 * 1024
_MAX_DEPTH: Final = 10  # of `inherits` and groups
_PRINT: Final = "pass what `docker buildx bake --print` prints"


class BakeTarget(Struct, frozen=True):
    """A target of a bake file. expected: it belongs to the default group, so a build of it must be there."""

    name: str
    tags: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()
    expected: bool = True


def read_bake(raw: bytes, *, about: object) -> tuple[BakeTarget, ...]:
    """Return the targets of a bake file, in its order. Raises ConfigurationError for a file that cannot be used."""
    try:
        document = parse_object(raw, about=about, limit_bytes=MAX_BYTES)
    except BadDocument as error:
        hint = f"{_PRINT}: files in HCL cannot be read"
        raise ConfigurationError("cannot read bake file", about=about, why=error.why, hint=hint) from error
    targets, groups = _objects(document, "target", about), _objects(document, "group", about)
    if not targets:
        raise ConfigurationError("cannot read bake file", about=about, why="it has no `target`", hint=_PRINT)
    expected = _members("default", groups, targets, about) if "default" in groups else set(targets)
    return tuple(_target(name, targets, name in expected, about) for name in targets)


def plan_bake(targets: Sequence[BakeTarget], metadata: Metadata, *, file: str) -> Plan:
    """Return the plan for the targets that metadata files name.

    A target of the default group without a build is refused; the others are published. file: the bake file, for
    messages. Raises ConfigurationError for tags, platforms or annotations that are not valid.
    """
    planned: list[PlannedTarget] = []
    refused: list[RefusedTarget] = []
    skipped: list[SkippedTarget] = []
    warnings: list[str] = []
    for target in targets:
        builds, incomplete = metadata.results.get(target.name, ()), metadata.incomplete.get(target.name, ())
        if not target.tags:
            if builds:
                skipped.append(SkippedTarget(target.name, f"{file} lists no tags for it"))
            continue
        if not builds and not incomplete and not target.expected:
            continue
        warnings += [f"{target.name}: left out: {reason}" for reason in incomplete if builds]
        one = _planned(target, file)
        if builds:
            planned.append(replace(one, sources=tuple(source_of(build) for build in builds)))
        else:
            why = "; ".join(incomplete) or "no metadata file has a build of it"
            refused.append(RefusedTarget(one, BakeryError("cannot publish target", about=target.name, why=why)))
    names = {target.name for target in targets}
    warnings += [
        f"{uid} is in the metadata files but not a target of {file}" for uid in metadata.uids if uid not in names
    ]
    plan = refuse_clashes(planned, skipped=tuple(skipped), warnings=tuple(warnings), hint=f"change `tags` in {file}")
    return replace(plan, refused=(*refused, *plan.refused))


def _planned(target: BakeTarget, file: str) -> PlannedTarget:
    try:
        for platform in target.platforms:
            Platform.parse(platform)
        annotations = annotations_of_build(target.annotations)
        places = _destinations(target)
    except BakeryError as error:
        about = f"target {target.name} of {file}"
        raise ConfigurationError("invalid value in", about=about, why=f"{error.about}: {error.why}") from error
    rules = replace(RULES, declared_in=file)
    one = image_target((), places, annotations, uid=target.name, rules=rules)
    return replace(one, platforms=target.platforms)


def _destinations(target: BakeTarget) -> tuple[Destination, ...]:
    # As docker does it: a name without a tag means `latest`.
    return parse_destinations(tag if ":" in tag.rpartition("/")[2] else f"{tag}:latest" for tag in target.tags)


def _objects(document: Mapping[str, Any], key: str, about: object) -> Mapping[str, Mapping[str, Any]]:
    found = document.get(key) or {}
    if isinstance(found, Mapping):
        # In the JSON form of HCL, a block may be a list of one.
        found = {name: one[0] if isinstance(one, list) and len(one) == 1 else one for name, one in found.items()}
        if all(isinstance(one, Mapping) for one in found.values()):
            return found
    raise ConfigurationError("cannot read bake file", about=about, why=f"`{key}` must be an object of objects")


def _members(name: str, groups: Mapping[str, Mapping[str, Any]], targets: Mapping[str, Any], about: object) -> set[str]:
    """Return the targets of a group; groups may contain groups."""
    found, pending = {name}, [name]
    for one in pending:
        if one in groups and one not in targets:
            inner = [str(member) for member in _list(groups[one], "targets", f"group {one}", about)]
            pending += [member for member in dict.fromkeys(inner) if member not in found]
            found.update(inner)
    return {one for one in found if one in targets or one not in groups}


def _list(entry: Mapping[str, Any], key: str, owner: str, about: object) -> list[Any]:
    found = entry.get(key) or []
    if not isinstance(found, list):
        why = f"`{key}` of {owner} must be a list"
        raise ConfigurationError("cannot read bake file", about=about, why=why, hint=_PRINT)
    return found


def _target(name: str, targets: Mapping[str, Mapping[str, Any]], expected: bool, about: object) -> BakeTarget:
    def texts(key: str) -> tuple[str, ...]:
        found = _inherited(name, key, targets, 0, about)
        if found is None:
            return ()
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            why = f"`{key}` of target {name} must be a list of strings"
            raise ConfigurationError("cannot read bake file", about=about, why=why, hint=_PRINT)
        if variables := [one for one in found if "${" in one or "%{" in one]:
            why = f"`{key}` of target {name} has a variable: {variables[0]!r:.200}"
            raise ConfigurationError("cannot read bake file", about=about, why=why, hint=_PRINT)
        return tuple(found)

    return BakeTarget(name, texts("tags"), texts("platforms"), texts("annotations"), expected)


def _inherited(name: str, key: str, targets: Mapping[str, Mapping[str, Any]], depth: int, about: object) -> Any:
    """Return a list of a target, or the one that it inherits: of several parents, the last one's."""
    target = targets.get(name, {})
    if target.get(key) is not None or depth > _MAX_DEPTH:
        return target.get(key)
    for parent in reversed(_list(target, "inherits", f"target {name}", about)):
        found = _inherited(str(parent), key, targets, depth + 1, about)
        if found is not None:
            return found
    return None
