"""Targets, tags and versions as the reading commands print them, as values for JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bakery.config.project import Project
from bakery.config.yaml.problem import alternatives, nearest
from bakery.errors import NothingSelected
from bakery.targets.target import Target


def described(target: Target) -> dict[str, Any]:
    """Return a target with all its fields."""
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
    """Return the tags by uid, in target order."""
    return {target.uid: target.references for target in targets}


def tags_by_component(targets: Iterable[Target]) -> dict[str, Any]:
    """Return the tags nested by image, version, variant and system. A level that a target does not have is left out."""
    nested: dict[str, Any] = {}
    for target in targets:
        names = [name for name in (target.image, target.version, target.variant, target.os) if name is not None]
        level = nested
        for name in names[:-1]:
            level = level.setdefault(name, {})
        known = level.get(names[-1])
        # Two channels may have the same version: their tags are merged.
        level[names[-1]] = target.references if known is None else tuple(sorted({*known, *target.references}))
    return nested


def version_name(project: Project, name: str, subpath: str | None) -> str:
    """Return the name of the first latest version of an image, or of its version with this subpath.

    Raises NothingSelected.
    """
    image = project.image(name)
    if image is None:
        names = [one.name for one in project.images]
        meant = nearest(name, names)
        hint = f"run 'bakery get version {meant}'" if meant else ""
        raise NothingSelected(
            "cannot find image", about=repr(name), why=_known(names), hint=hint, error_code="project/no-match"
        )
    for version in image.versions:
        if version.latest if subpath is None else version.subpath == subpath:
            return version.name
    if subpath is not None:
        raise NothingSelected(
            f"cannot find a version of {name} in", about=repr(subpath),
            why=_known([version.subpath for version in image.versions]),
        )  # fmt: skip
    raise NothingSelected(
        "cannot find the latest version of", about=name, why="no version is marked as latest",
        hint="set `latest: true` on one of them, or name a version with --subpath",
    )  # fmt: skip


def _known(names: Sequence[str]) -> str:
    return f"expected {alternatives(names)}" if names else "there are none"
