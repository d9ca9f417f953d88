"""From declarations to a `Project`: defaults are filled in, lists inherited. Pure. Source: config.md 2 to 12."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import UNSET

from bakery.config.names import default_display_name, default_extension, default_subpath, default_tag_name
from bakery.config.project import (
    Constraint,
    Dependency,
    DevSource,
    Image,
    Matrix,
    PatternGroup,
    ProjectRegistry,
    ProjectRepository,
    Secret,
    System,
    Variant,
    Version,
)
from bakery.config.schema import declarations as schema
from bakery.config.schema.options_registry import OptionsRegistry, effective
from bakery.config.tags import default_patterns
from bakery.config.yaml.problem import Keys


class ProjectBuilder:
    """Builds the parts of a project. Equal tuples become one object: a large project has few different ones.

    options: by the path of the image or variant that has them, then by tool.
    """

    def __init__(
        self, part: schema.ProjectPart, options: Mapping[Keys, Mapping[str, Any]], registry: OptionsRegistry
    ) -> None:
        self._part, self._options, self._registry = part, options, registry
        self.registries = _registries(part.registries)
        self._systems_seen: dict[tuple[System, ...], tuple[System, ...]] = {}
        self._repositories_seen: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._dependencies_seen: dict[tuple[Dependency, ...], tuple[Dependency, ...]] = {}

    def repository(self) -> ProjectRepository:
        """Return the source repository, with its authors sorted and each of them once."""
        part = self._part.repository
        authors = sorted(dict.fromkeys(part.authors), key=lambda person: (str(person).lower(), str(person)))
        return ProjectRepository(part.url, part.vendor, part.maintainer, tuple(authors), part.label_namespace)

    def images(self) -> Iterator[Image]:
        """Yield the images in file order."""
        for index, part in enumerate(self._part.images):
            yield self._image(part, ("images", index))

    def _image(self, part: schema.ImagePart, path: Keys) -> Image:
        inherited = _inherited(part, self.registries)
        options = self._options.get(path, {})
        return Image(
            name=part.name,
            display_name=default_display_name(part.name) if part.display_name is UNSET else part.display_name,
            description=part.description,
            documentation_url=part.documentation_url,
            subpath=part.subpath or default_subpath(part.name),
            versions=tuple(
                self._version(entry, part, inherited, (*path, "versions", index))
                for index, entry in enumerate(part.versions)
            ),
            variants=tuple(
                self._variant(entry, options, (*path, "variants", index)) for index, entry in enumerate(part.variants)
            ),
            # Not used by an image with a matrix; `rules` warns about that.
            constraints=() if part.matrix else _constraints(part.dependency_constraints),
            dev_sources=tuple(
                self._dev_source(entry, part.name, inherited, (*path, "devVersions", index))
                for index, entry in enumerate(part.dev_versions)
            ),
            matrix=self._matrix(part.matrix, part, inherited, (*path, "matrix")) if part.matrix else None,
            secrets=tuple(Secret(secret.id, secret.env_var) for secret in part.build_secrets),
            options=effective(self._registry, options, {}),
            tag_patterns=(
                default_patterns(matrix=part.matrix is not None)
                if part.tag_patterns is UNSET
                else _pattern_groups(part.tag_patterns)
            ),
            tag_policy=_tag_policy(self._part.tag_policy, part.tag_policy),
            build_target=part.build_target,
            place=path,
        )

    def _variant(self, part: schema.VariantPart, image_options: Mapping[str, Any], path: Keys) -> Variant:
        return Variant(
            part.name,
            part.primary,
            part.extension or default_extension(part.name),
            part.tag_display_name or default_tag_name(part.name),
            _pattern_groups(part.tag_patterns),
            effective(self._registry, image_options, self._options.get(path, {})),
        )

    def _version(
        self, part: schema.VersionPart, image: schema.ImagePart, inherited: tuple[ProjectRegistry, ...], path: Keys
    ) -> Version:
        dependencies = _dependencies(part.dependencies)
        return Version(
            name=part.name,
            subpath=part.subpath or default_subpath(part.name),
            latest=part.latest,
            systems=self._systems(part.os),
            dependencies=self._dependencies_seen.setdefault(dependencies, dependencies),
            values=part.values,
            repositories=self._repositories(part, image.name, inherited),
            build_target=part.build_target or image.build_target,
            place=path,
        )

    def _matrix(
        self, part: schema.MatrixPart, image: schema.ImagePart, inherited: tuple[ProjectRegistry, ...], path: Keys
    ) -> Matrix:
        return Matrix(
            name_pattern=part.name_pattern,
            subpath=part.subpath,
            systems=self._systems(part.os),
            dependencies=_dependencies(part.dependencies),
            constraints=_constraints(part.dependency_constraints),
            values=part.values,
            repositories=self._repositories(part, image.name, inherited),
            build_target=part.build_target or image.build_target,
            place=path,
        )

    def _dev_source(
        self,
        part: schema.ChannelPart | schema.NewestPart,
        image: str,
        inherited: tuple[ProjectRegistry, ...],
        path: Keys,
    ) -> DevSource:
        channel = part if isinstance(part, schema.ChannelPart) else None
        newest = part if isinstance(part, schema.NewestPart) else None
        return DevSource(
            product=channel.product if channel else None,
            dependency=newest.dependency if newest else None,
            channel=part.channel or (channel.stream if channel else None),
            prerelease=newest.prerelease if newest else False,
            systems=self._systems(part.os),
            values=part.values,
            repositories=self._repositories(part, image, inherited),
            place=path,
        )

    def _systems(self, parts: Sequence[schema.SystemPart]) -> tuple[System, ...]:
        """Return the systems sorted by name, each once. A single system is always primary."""
        found: dict[tuple[str, str, str], System] = {}
        for part in parts:
            extension = part.extension or default_extension(part.name)
            tag_name = part.tag_display_name or default_tag_name(part.name)
            found.setdefault(
                (part.name, extension, tag_name),
                System(part.name, part.primary, part.platforms, extension, tag_name, part.artifact_download_url),
            )
        systems = tuple(sorted(found.values(), key=lambda system: system.name))
        if len(systems) == 1:
            systems = (systems[0].as_primary(),)
        return self._systems_seen.setdefault(systems, systems)

    def _repositories(
        self,
        part: schema.VersionPart | schema.MatrixPart | schema.DevPart,
        image: str,
        inherited: tuple[ProjectRegistry, ...],
    ) -> tuple[str, ...]:
        names = tuple(sorted({registry.destination(image) for registry in _inherited(part, inherited)}))
        return self._repositories_seen.setdefault(names, names)


def _registries(parts: Sequence[schema.GlobalRegistryPart]) -> tuple[ProjectRegistry, ...]:
    return tuple(
        ProjectRegistry(part.host, part.namespace, getattr(part, "repository", None)) for part in dict.fromkeys(parts)
    )


def _tag_policy(*parts: schema.TagPolicyPart | None) -> dict[str, str]:
    """Return the rules that are set, by class of tags; those of later parts override."""
    written = [part for part in parts if part is not None]
    rules: dict[str, str | None] = {}
    for part in written:
        rules |= {name: rule for name in part.__struct_fields__ if (rule := getattr(part, name)) is not None}
    return {name: rule for name, rule in rules.items() if rule is not None}


def _inherited(
    part: schema.ImagePart | schema.VersionPart | schema.MatrixPart | schema.DevPart,
    inherited: tuple[ProjectRegistry, ...],
) -> tuple[ProjectRegistry, ...]:
    return _registries(part.override_registries) or (*_registries(part.extra_registries), *inherited)


def _dependencies(parts: Sequence[schema.PinnedPart]) -> tuple[Dependency, ...]:
    return tuple(Dependency(part.dependency, part.version or part.versions) for part in parts)


def _constraints(parts: Sequence[schema.ConstrainedPart]) -> tuple[Constraint, ...]:
    return tuple(
        Constraint(
            part.dependency,
            part.constraint.latest,
            part.constraint.count,
            part.constraint.max,
            part.constraint.min,
            part.prerelease,
        )
        for part in parts
    )


def _pattern_groups(parts: Sequence[schema.TagPatternPart]) -> tuple[PatternGroup, ...]:
    return tuple(PatternGroup(part.patterns, part.only) for part in parts)
