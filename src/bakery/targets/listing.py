"""Targets and versions as reading commands show them: plain values for JSON, and a table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bakery.config.project import Project
from bakery.errors import NothingSelected
from bakery.targets.target import Target


def described(target: Target) -> dict[str, Any]:
    """A target with all that is known of it."""
    return {
        "uid": target.uid,
        "image": target.image,
        "version": target.version,
        "variant": target.variant,
        "os": target.os,
        "platforms": list(target.platforms),
        "tags": list(target.references),
        "containerfile": target.containerfile,
        "latest": target.latest,
        "primary": target.primary,
        "dev": target.development,
        "matrix": target.matrix,
        "channel": target.channel,
        "build_args": dict(target.build_args),
        "build_target": target.build_target,
        "secrets": [secret.id for secret in target.secrets],
        "labels": dict(sorted(target.labels.items())),
    }


def tags_by_uid(targets: Iterable[Target]) -> dict[str, Sequence[str]]:
    """Tags by uid, in target order."""
    return {target.uid: target.references for target in targets}


def tags_by_component(targets: Iterable[Target]) -> dict[str, Any]:
    """Tags nested by image, version, variant and system; a level that a target lacks is left out."""
    nested: dict[str, Any] = {}
    for target in targets:
        names = [name for name in (target.image, target.version, target.variant, target.os) if name is not None]
        level = nested
        for name in names[:-1]:
            level = level.setdefault(name, {})
        known = level.get(names[-1])
        # Two channels may have one version; what has the same names is shown together.
        level[names[-1]] = target.references if known is None else tuple(sorted({*known, *target.references}))
    return nested


def version_name(project: Project, name: str, subpath: str | None) -> str:
    """The name of an image's first latest version, or of the version with this subpath. Raises NothingSelected."""
    image = project.image(name)
    if image is None:
        known = ", ".join(one.name for one in project.images) or "none"
        raise NothingSelected("looking for an image", about=name, why="there is none", hint=f"there are: {known}")
    for version in image.versions:
        if version.latest if subpath is None else version.subpath == subpath:
            return version.name
    if subpath is not None:
        known = ", ".join(version.subpath for version in image.versions) or "none"
        raise NothingSelected(
            "looking for a version", about=f"{name} --subpath {subpath}", why="there is none",
            hint=f"there are: {known}",
        )  # fmt: skip
    raise NothingSelected(
        "looking for the latest version", about=name, why="none of its versions is latest",
        hint="write `latest: true` at one of them, or name it with --subpath",
    )  # fmt: skip
