"""The versions that some changed files affect. Pure. Source: config.md 16, "Only what changed".

Paths are relative to the context. If in doubt, a change affects everything: building too much costs time, building too
little ships an old image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from msgspec import Struct, field

from bakery.config.project import Image, Project, Version
from bakery.config.yaml.document import Document
from bakery.config.yaml.problem import InvalidProject

PROJECT_FILES = ("bakery.yaml", "bakery.yml")
_NO_EFFECT = (".gitignore", ".pre-commit-config.yaml")
_NO_EFFECT_UNDER = (".idea/", ".claude/", ".github/")


class _ImageChange(Struct):
    """What is affected of one image."""

    versions: set[str] = field(default_factory=set)
    releases: bool = False
    development: bool = False
    latest_row: bool = False


class _Everything(Exception):  # control flow, not an error
    """The change may affect every image."""


class AffectedVersions:
    """The versions that the changed files affect. everything: all of them."""

    def __init__(self) -> None:
        self.everything = False
        self._images: dict[str, _ImageChange] = {}

    def image(self, name: str) -> _ImageChange:
        """Return what is affected of an image, for the caller to add to."""
        return self._images.setdefault(name, _ImageChange())

    def includes(self, image: Image, version: Version) -> bool:
        """Return whether a version is affected."""
        if self.everything:
            return True
        change = self._images.get(image.name)
        if change is None:
            return False
        if version.development:
            return change.development
        if version.matrix:
            return change.latest_row and version.latest
        return change.releases or version.name in change.versions


def affected_versions(project: Project, paths: Iterable[str], old_text: str | None = None) -> AffectedVersions:
    """Return the versions that these files affect. old_text: bakery.yaml before the change, or None if unknown."""
    found = AffectedVersions()
    try:
        for path in paths:
            _apply(found, project, path.replace("\\", "/").removeprefix("./"), old_text)
    except _Everything:
        found.everything = True
    return found


def _apply(found: AffectedVersions, project: Project, path: str, old_text: str | None) -> None:
    if not path or path.lower().endswith(".md"):
        return
    if path in PROJECT_FILES:
        _project_file(found, project, old_text)
        return
    if path.startswith(".github/workflows/"):
        raise _Everything
    if path in _NO_EFFECT or path.startswith(_NO_EFFECT_UNDER):
        return
    for image in project.images:
        directory = PurePosixPath(image.subpath)
        if PurePosixPath(path).is_relative_to(directory):
            _image_file(found.image(image.name), image, PurePosixPath(path).relative_to(directory).as_posix())
            return
    raise _Everything


def _image_file(change: _ImageChange, image: Image, rest: str) -> None:
    if image.matrix is not None:
        change.latest_row = True
        change.development = change.development or bool(image.dev_sources)
        return
    first = rest.partition("/")[0]
    if first == "template":
        change.development = change.development or bool(image.dev_sources)
        return
    named = {version.name for version in image.versions if PurePosixPath(version.subpath).as_posix() == first}
    if named:
        change.versions |= named
    else:
        change.releases = True


def _project_file(found: AffectedVersions, project: Project, old_text: str | None) -> None:
    if old_text is None:
        raise _Everything
    try:
        old = Document(old_text, "old").value
    except InvalidProject as error:
        raise _Everything from error
    new = project.document.value
    old_images, new_images = _images(old), _images(new)
    if _without(old, "images") != _without(new, "images"):
        raise _Everything
    for image in project.images:
        before, after = old_images.get(image.name), new_images[image.name]
        if before is None or before == after:
            continue  # the files of a new image are in the list as well
        change = found.image(image.name)
        if image.matrix is not None:
            if not _only_pins_removed(before, after):
                change.latest_row = True
                change.development = change.development or bool(image.dev_sources)
        elif _without(before, "versions") != _without(after, "versions"):
            change.releases = True
        else:
            change.versions |= _changed_versions(before, after)


def _images(document: Any) -> dict[str, Mapping[str, Any]]:
    """Return the images by name. Raises _Everything if the document does not have the expected shape."""
    if not isinstance(document, dict) or not isinstance(document.get("images", []), list):
        raise _Everything
    return _named(document.get("images", []))


def _named(entries: Any) -> dict[str, Mapping[str, Any]]:
    named: dict[str, Mapping[str, Any]] = {}
    if not isinstance(entries, list):
        raise _Everything
    for entry in entries:
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name in named:
            raise _Everything
        named[name] = entry
    return named


def _without(mapping: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in keys}


def _changed_versions(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    old, new = _named(before.get("versions", [])), _named(after.get("versions", []))
    changed = set()
    for name, entry in new.items():
        was = old.get(name)
        if was == entry:
            continue
        lost_latest = was is not None and _latest(was) and not _latest(entry)
        if lost_latest and was is not None and _without(was, "latest") == _without(entry, "latest"):
            continue
        changed.add(name)
    return changed


def _latest(entry: Mapping[str, Any]) -> bool:
    return entry.get("latest") is True or str(entry.get("latest")).lower() in ("true", "yes", "on", "1")


def _only_pins_removed(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    old, new = before.get("matrix"), after.get("matrix")
    if (
        not isinstance(old, dict)
        or not isinstance(new, dict)
        or _without(before, "matrix") != _without(after, "matrix")
    ):
        return False
    if _without(old, "dependencies") != _without(new, "dependencies"):
        return False
    pins, kept = _pins(old), _pins(new)
    if pins is None or kept is None or list(pins) != list(kept):
        return False
    return all(set(kept[name]) <= set(pins[name]) for name in kept)


def _pins(matrix: Mapping[str, Any]) -> dict[str, list[str]] | None:
    """Return the pinned versions by dependency, or None if they cannot be compared."""
    pins: dict[str, list[str]] = {}
    for entry in matrix.get("dependencies", []):
        if not isinstance(entry, dict):
            return None
        versions = entry.get("versions", entry.get("version"))
        if isinstance(versions, str):
            versions = [part.strip() for part in versions.split(",")]
        if not isinstance(versions, list) or entry.get("dependency") in pins:
            return None
        pins[str(entry.get("dependency"))] = versions
    return pins
