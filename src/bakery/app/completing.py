"""What a shell may offer for the value of an option: names of the project, of faults, of metadata files and of errors.

A project that cannot be read offers nothing: a shell has no place for an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bakery.errors import BakeryError
from bakery.files import is_file

if TYPE_CHECKING:
    from bakery.config.project import Image


def project_names(kind: str, context: Path, image_name: str = "") -> list[str]:
    """Return the names of a project that a filter could have, in the order of bakery.yaml.

    kind: image, version, variant, os or platform. image_name: only of images that match this expression.
    """
    from bakery.app.selecting import open_project

    try:
        project = open_project(context)
        images = [image for image in project.images if kind == "image" or re.search(image_name, image.name)]
        return list(dict.fromkeys(name for image in images for name in _NAMES[kind](image)))
    except (BakeryError, OSError, re.error):
        return []


def metadata_keys(files: Iterable[Path]) -> list[str]:
    """Return the keys of build metadata files: uids of a project's targets, or names of bake targets."""
    from bakery.targets.metadata import read_metadata

    try:
        return list(read_metadata([file for file in files if is_file(file)]).uids)
    except (BakeryError, OSError):
        return []


def fault_profiles() -> list[str]:
    """Return the names that --faults understands."""
    from bakery.rehearsal.profiles import PROFILES

    return list(PROFILES)


def error_codes() -> list[str]:
    """Return the codes that `bakery explain` knows."""
    from bakery.catalogue.find import BY_CODE

    return list(BY_CODE)


def _versions(image: Image) -> Sequence[str]:
    from bakery.targets.expand import defined_versions

    return [version.name for version in defined_versions(image)]


def _systems(image: Image) -> Sequence[str]:
    from bakery.targets.expand import defined_versions

    return [system.name for version in defined_versions(image) for system in version.systems]


def _platforms(image: Image) -> Sequence[str]:
    from bakery.targets.expand import defined_versions

    return [
        name for version in defined_versions(image) for system in version.systems for name in system.platforms
    ]  # fmt: skip


_NAMES: Final[Mapping[str, Callable[[Image], Sequence[str]]]] = {
    "image": lambda image: [image.name],
    "version": _versions,
    "variant": lambda image: [variant.name for variant in image.variants],
    "os": _systems,
    "platform": _platforms,
}
