"""What the tool understood of a project, as a tree of plain values, each with the place that it comes from.

This is what people read when a tag is not what they thought: defaults are filled in, registries and patterns inherited.
Rendering is pure. The keys are those of bakery.yaml where it has them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from bakery.config.project import (
    Constraint,
    Dependency,
    DevSource,
    Image,
    Matrix,
    PatternGroup,
    Project,
    System,
    Variant,
)
from bakery.config.schema.options_registry import option_fields
from bakery.config.yaml.document import resolve
from bakery.config.yaml.problem import Keys

DEFAULT = "default"


class Leaf(Struct, frozen=True):
    """A value and its origin: `file:line`, or `default`."""

    value: Any
    origin: str


Tree = dict[str, Any]


class _Tree:
    """Makes leaves. A value's origin is the first of its possible places that the file has."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._document = project.document

    def leaf(self, value: Any, *places: Keys) -> Any:
        """A scalar with its origin; a list or mapping of them."""
        for place in places:
            if self._document.node(place) is not None:
                return self._at(value, place)
        return self._at(value, None)

    def _at(self, value: Any, place: Keys | None) -> Any:
        if isinstance(value, Mapping):
            return {str(key): self._at(item, self._inner(place, key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._at(item, self._inner(place, index)) for index, item in enumerate(value)]
        if place is None:
            return Leaf(value, DEFAULT)
        return Leaf(value, f"{self._project.file}:{self._document.locate(place)[0]}")

    def _inner(self, place: Keys | None, part: Any) -> Keys | None:
        if place is None:
            return None
        inner = (*place, part)
        return inner if self._document.node(inner) is not None else place

    def place_of(self, entries: Keys, name: str, index: int) -> Keys:
        """The place of the list entry that has this name: lists are sorted after they were read."""
        node = self._document.node(entries)
        children = node.children if node is not None and isinstance(node.children, list) else []
        raw = _dig(self._document.value, entries)
        for number in range(len(children)):
            if isinstance(raw, list) and isinstance(raw[number], dict) and raw[number].get("name") == name:
                return (*entries, number)
        return (*entries, index)


def _dig(value: Any, path: Keys) -> Any:
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def as_written(project: Project) -> Tree:
    """The document as people wrote it, each value with its line."""
    written: Tree = _Tree(project).leaf(project.document.value or {}, ())
    return written


def resolved(project: Project) -> Tree:
    """The project as the tool understood it."""
    tree = _Tree(project)
    repository = project.repository
    at = "repository"
    return {
        "repository": {
            "url": tree.leaf(repository.url, (at, "url")),
            "vendor": tree.leaf(repository.vendor, (at, "vendor")),
            "maintainer": tree.leaf(str(repository.maintainer), (at, "maintainer")),
            "authors": tree.leaf([str(author) for author in repository.authors], (at, "authors")),
        },
        "registries": [
            tree.leaf(registry.base, ("registries", index)) for index, registry in enumerate(project.registries)
        ],
        "images": [_image(tree, image) for image in project.images],
    }


def _image(tree: _Tree, image: Image) -> Tree:
    at = image.place
    made: Tree = {
        "name": tree.leaf(image.name, (*at, "name")),
        "displayName": tree.leaf(image.display_name, (*at, "displayName")),
        "description": tree.leaf(image.description, (*at, "description")),
        "documentationUrl": tree.leaf(image.documentation_url, (*at, "documentationUrl")),
        "subpath": tree.leaf(image.subpath, (*at, "subpath")),
        "buildTarget": tree.leaf(image.build_target, (*at, "buildTarget")),
        "buildSecrets": [
            tree.leaf({"id": secret.id, "envVar": secret.variable}, (*at, "buildSecrets", index))
            for index, secret in enumerate(image.secrets)
        ],
        "tagPatterns": _patterns(tree, image.tag_patterns, at),
        "options": _options(tree, image.options, (at,)),
        "variants": [_variant(tree, one, at, index) for index, one in enumerate(image.variants)],
        "dependencyConstraints": _constraints(tree, image.constraints, at),
        "versions": [
            {
                "name": tree.leaf(version.name, (*version.place, "name")),
                "subpath": tree.leaf(version.subpath, (*version.place, "subpath")),
                "latest": tree.leaf(version.latest, (*version.place, "latest")),
                "os": _systems(tree, version.systems, version.place),
                "dependencies": _dependencies(tree, version.dependencies, version.place),
                "values": tree.leaf(version.values, (*version.place, "values")),
                "destinations": _destinations(tree, version.repositories or (image.name,), version.place, at),
                "buildTarget": tree.leaf(version.build_target, (*version.place, "buildTarget"), (*at, "buildTarget")),
            }
            for version in image.versions
        ],
        "devVersions": [_dev_source(tree, source, image) for source in image.dev_sources],
    }
    if image.matrix is not None:
        made["matrix"] = _matrix(tree, image.matrix, image)
    return made


def _patterns(tree: _Tree, groups: Sequence[PatternGroup], at: Keys) -> list[Any]:
    return [
        {
            "patterns": tree.leaf(group.patterns, (*at, "tagPatterns", index, "patterns")),
            "only": tree.leaf(group.only, (*at, "tagPatterns", index, "only")),
        }
        for index, group in enumerate(groups)
    ]


def _options(tree: _Tree, options: Mapping[str, Any], holders: Iterable[Keys]) -> Tree:
    """The effective options by tool. Each field comes from the first holder that writes it."""
    made: Tree = {}
    for tool, effective in options.items():
        entries = [
            (*holder, "options", index)
            for holder in holders
            for index, entry in enumerate(_dig(tree._document.value, (*holder, "options")) or ())
            if isinstance(entry, dict) and entry.get("tool") == tool
        ]
        made[tool] = {
            field.key: tree.leaf(field.value, *((*entry, key) for entry in entries for key in field.spellings))
            for field in option_fields(effective)
        }
    return made


def _variant(tree: _Tree, variant: Variant, image: Keys, index: int) -> Tree:
    at = (*image, "variants", index)
    return {
        "name": tree.leaf(variant.name, (*at, "name")),
        "primary": tree.leaf(variant.primary, (*at, "primary")),
        "extension": tree.leaf(variant.extension, (*at, "extension")),
        "tagDisplayName": tree.leaf(variant.tag_name, (*at, "tagDisplayName")),
        "tagPatterns": _patterns(tree, variant.tag_patterns, at),
        "options": _options(tree, variant.options, (at, image)),
    }


def _systems(tree: _Tree, systems: Sequence[System], holder: Keys) -> list[Any]:
    made = []
    for index, system in enumerate(systems):
        at = tree.place_of((*holder, "os"), system.name, index)
        made.append(
            {
                "name": tree.leaf(system.name, (*at, "name")),
                "primary": tree.leaf(system.primary, (*at, "primary")),
                "platforms": tree.leaf(system.platforms, (*at, "platforms")),
                "extension": tree.leaf(system.extension, (*at, "extension")),
                "tagDisplayName": tree.leaf(system.tag_name, (*at, "tagDisplayName")),
                "artifactDownloadURL": tree.leaf(system.download_url, (*at, "artifactDownloadURL")),
            }
        )
    return made


def _dependencies(tree: _Tree, dependencies: Sequence[Dependency], holder: Keys) -> list[Any]:
    return [
        tree.leaf({"dependency": one.name, "versions": one.versions}, (*holder, "dependencies", index))
        for index, one in enumerate(dependencies)
    ]


def _constraints(tree: _Tree, constraints: Sequence[Constraint], holder: Keys) -> list[Any]:
    made = []
    for index, one in enumerate(constraints):
        at = (*holder, "dependencyConstraints", index)
        given = {"latest": one.latest, "count": one.count, "max": one.max, "min": one.min}
        made.append(
            {
                "dependency": tree.leaf(one.dependency, (*at, "dependency")),
                "constraint": tree.leaf({k: v for k, v in given.items() if v is not None}, (*at, "constraint")),
                "prerelease": tree.leaf(one.prerelease, (*at, "prerelease")),
            }
        )
    return made


def _destinations(tree: _Tree, repositories: Sequence[str], holder: Keys, image: Keys) -> list[Any]:
    """The repositories of a version's tags, each with the registry entry that brings it."""
    places = _registry_places(tree, holder, image)
    made = []
    name = _dig(tree._document.value, (*image, "name"))
    for repository in repositories:
        found = [place for place, base, own in places if _destination(base, own or name) == repository]
        made.append(tree.leaf(repository, *found))
    return made


def _registry_places(tree: _Tree, holder: Keys, image: Keys) -> list[tuple[Keys, str, Any]]:
    lists: list[Keys] = [(*at, key) for at in (holder, image) for key in ("overrideRegistries", "extraRegistries")]
    lists.append(("registries",))
    found = []
    for path in lists:
        for index, entry in enumerate(_dig(tree._document.value, path) or ()):
            if isinstance(entry, dict):
                namespace = entry.get("namespace")
                base = f"{entry.get('host')}/{namespace}" if namespace else str(entry.get("host"))
                found.append(((*path, index), base, entry.get("repository")))
    return found


def _destination(base: str, name: Any) -> str:
    return f"{base}{'' if base.endswith('/') else '/'}{name}"


def _matrix(tree: _Tree, matrix: Matrix, image: Image) -> Tree:
    at = matrix.place
    return {
        "namePattern": tree.leaf(matrix.name_pattern, (*at, "namePattern")),
        "subpath": tree.leaf(matrix.subpath, (*at, "subpath")),
        "os": _systems(tree, matrix.systems, at),
        "dependencies": _dependencies(tree, matrix.dependencies, at),
        "dependencyConstraints": _constraints(tree, matrix.constraints, at),
        "values": tree.leaf(matrix.values, (*at, "values")),
        "destinations": _destinations(tree, matrix.repositories or (image.name,), at, image.place),
        "buildTarget": tree.leaf(matrix.build_target, (*at, "buildTarget"), (*image.place, "buildTarget")),
    }


def _dev_source(tree: _Tree, source: DevSource, image: Image) -> Tree:
    at = source.place
    kind = "dependency" if source.dependency else "channel"
    return {
        "sourceType": tree.leaf(kind, (*at, "sourceType")),
        kind if source.dependency else "product": tree.leaf(
            source.dependency or source.product, (*at, "dependency" if source.dependency else "product")
        ),
        **({"prerelease": tree.leaf(source.prerelease, (*at, "prerelease"))} if source.dependency else {}),
        "channel": tree.leaf(source.channel, (*at, "channel"), (*at, "stream")),
        "os": _systems(tree, source.systems, at),
        "values": tree.leaf(source.values, (*at, "values")),
        "destinations": _destinations(tree, source.repositories or (image.name,), at, image.place),
    }


def only_images(tree: Tree, names: set[str]) -> Tree:
    """The tree with these images only."""
    images = [one for one in tree.get("images", ()) if isinstance(one, dict) and plain(one.get("name")) in names]
    return tree | {"images": images}


def plain(tree: Any, *, origins: bool = False) -> Any:
    """The tree as plain values; with `origins` each leaf is a mapping of value and origin."""
    if isinstance(tree, Leaf):
        return {"value": tree.value, "origin": tree.origin} if origins else tree.value
    if isinstance(tree, dict):
        return {key: plain(value, origins=origins) for key, value in tree.items()}
    if isinstance(tree, list):
        return [plain(value, origins=origins) for value in tree]
    return tree


def yaml_text(tree: Any, *, origins: bool = False) -> str:
    """The tree as YAML; with `origins` each value has its origin as a comment."""
    lines: list[str] = []
    _yaml(tree, "", "", lines, origins)
    return "\n".join(lines)


_PLAIN = re.compile(r"[A-Za-z0-9_/.$][A-Za-z0-9 _/.$@<>()+,-]*")


def _yaml(tree: Any, first: str, rest: str, lines: list[str], origins: bool) -> None:
    """Lines of a value: the first one begins with `first`, the others with `rest`."""
    if isinstance(tree, dict) and tree:
        for number, (key, value) in enumerate(tree.items()):
            start = (rest if number else first) + f"{_scalar(key)}:"
            _nested(value, start, rest + "  ", lines, origins)
    elif isinstance(tree, list) and tree:
        for number, value in enumerate(tree):
            start = (rest if number else first) + "- "
            _yaml(value, start, rest + "  ", lines, origins)
    elif isinstance(tree, Leaf):
        lines.append(f"{first}{_scalar(tree.value)}{f'  # {tree.origin}' if origins else ''}")
    else:
        lines.append(f"{first}{'[]' if isinstance(tree, list) else '{}'}")


def _nested(value: Any, start: str, indent: str, lines: list[str], origins: bool) -> None:
    if isinstance(value, dict | list) and value:
        lines.append(start)
        _yaml(value, indent, indent, lines, origins)
    else:
        _yaml(value, f"{start} ", indent, lines, origins)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and resolve(value) == value and value.strip() == value:
        return value
    return json.dumps(value, ensure_ascii=False)
