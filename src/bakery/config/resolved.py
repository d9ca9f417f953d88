"""A project as a tree of values, each with its origin: as written, or with defaults and inherited lists filled in.

It shows users why a tag is not what they expected. Pure. The keys are those of bakery.yaml, where it has them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from bakery.config.project import Constraint, Dependency, DevSource, Image, Matrix, PatternGroup, Project, System
from bakery.config.project import ProjectRegistry as Registry
from bakery.config.schema.options_registry import option_fields
from bakery.config.yaml.document import resolve
from bakery.config.yaml.problem import Keys

DEFAULT = "default"


class Leaf(Struct, frozen=True):
    """A value and its origin: `file:line`, or `default`."""

    value: Any
    origin: str


Tree = dict[str, Any]


class _Origins:
    """Attaches origins to values. The origin of a value is the first of its possible places that the file has."""

    def __init__(self, project: Project) -> None:
        self._file, self._document = project.file, project.document

    def leaf(self, value: Any, *places: Keys) -> Any:
        """Return a scalar with its origin, or a list or mapping of such scalars."""
        for place in places:
            if self._document.node(place) is not None:
                return self._at(value, place)
        return self._at(value, None)

    def leaves(self, at: Keys, **values: Any) -> Tree:
        """Return the values of a mapping's keys, each with its origin."""
        return {key: self.leaf(value, (*at, key)) for key, value in values.items()}

    def _at(self, value: Any, place: Keys | None) -> Any:
        if isinstance(value, Mapping):
            return {str(key): self._at(item, self._inner(place, key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._at(item, self._inner(place, index)) for index, item in enumerate(value)]
        if place is None:
            return Leaf(value, DEFAULT)
        return Leaf(value, f"{self._file}:{self._document.locate(place)[0]}")

    def _inner(self, place: Keys | None, part: Any) -> Keys | None:
        if place is None:
            return None
        inner = (*place, part)
        return inner if self._document.node(inner) is not None else place

    def written(self, path: Keys) -> Any:
        """Return the value at a path as the file has it, or None."""
        value = self._document.value
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def place_of(self, entries: Keys, name: str, index: int) -> Keys:
        """Return the place of the list entry with this name: lists are sorted after they are read."""
        for number, entry in enumerate(self.written(entries) or ()):
            if isinstance(entry, dict) and entry.get("name") == name:
                return (*entries, number)
        return (*entries, index)


def as_written(project: Project) -> Tree:
    """Return the document as written, each value with its line."""
    tree: Tree = _Origins(project).leaf(project.document.value or {}, ())
    return tree


def resolved(project: Project) -> Tree:
    """Return the project with defaults filled in and lists inherited."""
    tree = _Origins(project)
    repository = project.repository
    return {
        "repository": tree.leaves(
            ("repository",),
            url=repository.url,
            vendor=repository.vendor,
            maintainer=str(repository.maintainer) if repository.maintainer else None,
            authors=[str(author) for author in repository.authors],
            labelNamespace=repository.label_namespace,
        ),
        "registries": [
            tree.leaf(registry.base, ("registries", index)) for index, registry in enumerate(project.registries)
        ],
        "images": [_image(tree, image) for image in project.images],
    }


def _image(tree: _Origins, image: Image) -> Tree:
    at = image.place
    made: Tree = tree.leaves(
        at,
        name=image.name,
        displayName=image.display_name,
        description=image.description,
        documentationUrl=image.documentation_url,
        subpath=image.subpath,
        buildTarget=image.build_target,
    )
    made |= {
        "buildSecrets": [
            tree.leaf({"id": secret.id, "envVar": secret.variable}, (*at, "buildSecrets", index))
            for index, secret in enumerate(image.secrets)
        ],
        "tagPatterns": _patterns(tree, image.tag_patterns, at),
        "tagPolicy": _tag_policy(tree, image.tag_policy, at),
        "options": _options(tree, image.options, (at,)),
        "variants": [
            {
                **tree.leaves(
                    (*at, "variants", index),
                    name=variant.name,
                    primary=variant.primary,
                    extension=variant.extension,
                    tagDisplayName=variant.tag_name,
                ),
                "tagPatterns": _patterns(tree, variant.tag_patterns, (*at, "variants", index)),
                "options": _options(tree, variant.options, ((*at, "variants", index), at)),
            }
            for index, variant in enumerate(image.variants)
        ],
        "dependencyConstraints": _constraints(tree, image.constraints, at),
        "versions": [
            {
                **tree.leaves(version.place, name=version.name, subpath=version.subpath, latest=version.latest),
                "os": _systems(tree, version.systems, version.place),
                "dependencies": _dependencies(tree, version.dependencies, version.place),
                **tree.leaves(version.place, values=version.values),
                "destinations": _destinations(tree, version.repositories, version.place, image),
                "buildTarget": _build_target(tree, version.build_target, version.place, image),
            }
            for version in image.versions
        ],
        "devVersions": [_dev_source(tree, source, image) for source in image.dev_sources],
    }
    if image.matrix is not None:
        made["matrix"] = _matrix(tree, image.matrix, image)
    return made


def _patterns(tree: _Origins, groups: Sequence[PatternGroup], at: Keys) -> list[Tree]:
    return [
        tree.leaves((*at, "tagPatterns", index), patterns=group.patterns, only=group.only)
        for index, group in enumerate(groups)
    ]


def _tag_policy(tree: _Origins, rules: Mapping[str, str], at: Keys) -> Tree:
    """Return the rules by class of tags. A rule comes from the image, or else from the project."""
    return {name: tree.leaf(rule, (*at, "tagPolicy", name), ("tagPolicy", name)) for name, rule in rules.items()}


def _options(tree: _Origins, options: Mapping[str, Any], holders: Iterable[Keys]) -> Tree:
    """Return the effective options by tool. The origin of a field is the first holder that sets it."""
    made: Tree = {}
    for tool, effective in options.items():
        entries = [
            (*holder, "options", index)
            for holder in holders
            for index, entry in enumerate(tree.written((*holder, "options")) or ())
            if isinstance(entry, dict) and entry.get("tool") == tool
        ]
        made[tool] = {
            field.key: tree.leaf(field.value, *((*entry, key) for entry in entries for key in field.spellings))
            for field in option_fields(effective)
        }
    return made


def _systems(tree: _Origins, systems: Sequence[System], holder: Keys) -> list[Tree]:
    return [
        tree.leaves(
            tree.place_of((*holder, "os"), system.name, index),
            name=system.name,
            primary=system.primary,
            platforms=system.platforms,
            extension=system.extension,
            tagDisplayName=system.tag_name,
            artifactDownloadURL=system.download_url,
        )
        for index, system in enumerate(systems)
    ]


def _dependencies(tree: _Origins, dependencies: Sequence[Dependency], holder: Keys) -> list[Any]:
    return [
        tree.leaf({"dependency": one.name, "versions": one.versions}, (*holder, "dependencies", index))
        for index, one in enumerate(dependencies)
    ]


def _constraints(tree: _Origins, constraints: Sequence[Constraint], holder: Keys) -> list[Tree]:
    return [
        tree.leaves(
            (*holder, "dependencyConstraints", index),
            dependency=one.dependency,
            constraint=one.bounds,
            prerelease=one.prerelease,
        )
        for index, one in enumerate(constraints)
    ]


def _destinations(tree: _Origins, repositories: Sequence[str], holder: Keys, image: Image) -> list[Any]:
    """Return the repositories of a version's tags, each with the registry entry that it comes from."""
    lists = [(*at, key) for at in (holder, image.place) for key in ("overrideRegistries", "extraRegistries")]
    entries = [
        ((*path, index), Registry(str(entry.get("host")), entry.get("namespace"), entry.get("repository")))
        for path in (*lists, ("registries",))
        for index, entry in enumerate(tree.written(path) or ())
        if isinstance(entry, dict)
    ]
    return [
        tree.leaf(name, *(place for place, registry in entries if registry.destination(image.name) == name))
        for name in repositories or (image.name,)
    ]


def _build_target(tree: _Origins, build_target: str | None, holder: Keys, image: Image) -> Any:
    return tree.leaf(build_target, (*holder, "buildTarget"), (*image.place, "buildTarget"))


def _matrix(tree: _Origins, matrix: Matrix, image: Image) -> Tree:
    at = matrix.place
    return {
        **tree.leaves(at, namePattern=matrix.name_pattern, subpath=matrix.subpath),
        "os": _systems(tree, matrix.systems, at),
        "dependencies": _dependencies(tree, matrix.dependencies, at),
        "dependencyConstraints": _constraints(tree, matrix.constraints, at),
        **tree.leaves(at, values=matrix.values),
        "destinations": _destinations(tree, matrix.repositories, at, image),
        "buildTarget": _build_target(tree, matrix.build_target, at, image),
    }


def _dev_source(tree: _Origins, source: DevSource, image: Image) -> Tree:
    at = source.place
    if source.dependency:
        made = tree.leaves(at, sourceType="dependency", dependency=source.dependency, prerelease=source.prerelease)
    else:
        made = tree.leaves(at, sourceType="channel", product=source.product)
    return {
        **made,
        "channel": tree.leaf(source.channel, (*at, "channel"), (*at, "stream")),
        "os": _systems(tree, source.systems, at),
        **tree.leaves(at, values=source.values),
        "destinations": _destinations(tree, source.repositories, at, image),
    }


def only_images(tree: Tree, names: set[str]) -> Tree:
    """Return the tree with only these images."""
    images = [one for one in tree.get("images", ()) if isinstance(one, dict) and plain(one.get("name")) in names]
    return tree | {"images": images}


def plain(tree: Any, *, origins: bool = False) -> Any:
    """Return the tree as plain values; with `origins` every leaf is a mapping of value and origin."""
    if isinstance(tree, Leaf):
        return {"value": tree.value, "origin": tree.origin} if origins else tree.value
    if isinstance(tree, dict):
        return {key: plain(value, origins=origins) for key, value in tree.items()}
    if isinstance(tree, list):
        return [plain(value, origins=origins) for value in tree]
    return tree


def yaml_text(tree: Any, *, origins: bool = False) -> str:
    """Return the tree as YAML; with `origins` every value has its origin as a comment."""
    lines: list[str] = []
    _yaml(tree, "", "", lines, origins)
    return "\n".join(lines)


_PLAIN = re.compile(r"[A-Za-z0-9_/.$][A-Za-z0-9 _/.$@<>()+,-]*")


def _yaml(tree: Any, first: str, rest: str, lines: list[str], origins: bool) -> None:
    """Append the lines of a value: the first one starts with `first`, the others with `rest`."""
    if isinstance(tree, dict) and tree:
        for number, (key, value) in enumerate(tree.items()):
            start = (rest if number else first) + f"{scalar(key)}:"
            _nested(value, start, rest + "  ", lines, origins)
    elif isinstance(tree, list) and tree:
        for number, value in enumerate(tree):
            start = (rest if number else first) + "- "
            _yaml(value, start, rest + "  ", lines, origins)
    elif isinstance(tree, Leaf):
        lines.append(f"{first}{scalar(tree.value)}{f'  # {tree.origin}' if origins else ''}")
    else:
        lines.append(f"{first}{'[]' if isinstance(tree, list) else '{}'}")


def _nested(value: Any, start: str, indent: str, lines: list[str], origins: bool) -> None:
    if isinstance(value, dict | list) and value:
        lines.append(start)
        _yaml(value, indent, indent, lines, origins)
    else:
        _yaml(value, f"{start} ", indent, lines, origins)


def scalar(value: Any) -> str:
    """Return a scalar as YAML on one line: plain if it reads back as the same value, else in double quotes."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and resolve(value) == value and value.strip() == value:
        return value
    return json.dumps(value, ensure_ascii=False)
