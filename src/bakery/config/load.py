"""From a directory with bakery.yaml to a frozen `Project`, or to every problem that the file has.

Reads one file and nothing else: no network, no git. Source: config.md 1 to 12.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from bakery.config.git import RunGit, revision
from bakery.config.project import (
    Constraint,
    Dependency,
    DevSource,
    Image,
    Matrix,
    PatternGroup,
    Project,
    ProjectRegistry,
    ProjectRepository,
    Secret,
    System,
    Variant,
    Version,
)
from bakery.config.references import check_references
from bakery.config.rules import Rules
from bakery.config.schema import declarations as schema
from bakery.config.schema import mismatch
from bakery.config.schema.field_types import default_extension, default_tag_name
from bakery.config.schema.options_registry import OptionsRegistry, effective
from bakery.config.schema.reader import read
from bakery.config.tags import check_patterns, default_patterns
from bakery.config.yaml.document import Document
from bakery.config.yaml.problem import Finding, InvalidProject, Keys, Problem
from bakery.errors import ConfigurationError

NAMES = ("bakery.yaml", "bakery.yml")
_LARGEST = 64 * 1024 * 1024  # bytes; a thousand times what a large project writes


def find_project(context: Path) -> Path:
    """The project file of a directory. Raises ConfigurationError where it has none; parents are not looked at."""
    for name in NAMES:
        if (context / name).is_file():
            return context / name
    raise ConfigurationError(
        f"cannot find {' or '.join(NAMES)} in", about=context.absolute(),
        hint="run in the directory of a project, or name it with --context",
    )  # fmt: skip


def load_project(
    context: Path, *, options: OptionsRegistry | None = None, strict: bool = False, run_git: RunGit | None = None
) -> Project:
    """Read and check the project of a directory.

    options: the tools whose options may be written; the built-in ones by default. strict: warnings that may hide a
    mistake (unknown keys) are errors. Raises InvalidProject with all problems, ConfigurationError without a file.
    """
    path = find_project(context)
    shown = str(path) if context != Path() else path.name
    project = parse_project(_text(path, shown), context, shown, options=options, strict=strict)
    return replace(project, revision=revision(context, run_git))


def parse_project(
    text: str, context: Path, file: str, *, options: OptionsRegistry | None = None, strict: bool = False
) -> Project:
    """The project that a text means. `file` is what messages call it."""
    registry = options if options is not None else OptionsRegistry()
    with _few_collections():
        document = Document(text, file)
        raw = {} if document.value is None else document.value
        if not isinstance(raw, dict):
            raise InvalidProject(file, [document.problem(Finding((), _not_a_project(raw)))])
        findings = [*document.findings, *Rules(registry).project(raw), *check_references(raw), *check_patterns(raw)]
        part, more = read(raw, schema.ProjectPart)
        findings += more
        entries, more = _option_entries(raw, registry)
        findings += more
        images: tuple[Image, ...] = ()
        if part is not None:
            images = tuple(_Builder(part, entries, registry).images())
        problems = _problems(document, findings, strict=strict)
        if part is None or any(not problem.warning for problem in problems):
            raise InvalidProject(file, problems)
        return Project(
            context,
            file,
            ProjectRepository(
                part.repository.url,
                part.repository.vendor,
                part.repository.maintainer,
                tuple(
                    sorted(
                        dict.fromkeys(part.repository.authors), key=lambda person: (str(person).lower(), str(person))
                    )
                ),
            ),
            tuple(_registries(part.registries)),
            images,
            problems,
            document,
        )


def _text(path: Path, shown: str) -> str:
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise ConfigurationError("reading", about=shown, why=f"{size:,} bytes are more than a project can have")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError("reading", about=shown, why=str(error.strerror or error)) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            "reading", about=shown, why=f"byte {error.start} is no UTF-8", hint="save the file as UTF-8"
        ) from error


def _not_a_project(raw: object) -> str:
    return f"{mismatch.shown(raw)} stands where a mapping is expected: `repository:`, `registries:`, `images:`"


@contextmanager
def _few_collections() -> Iterator[None]:
    """Reading makes many objects and no garbage; the collector would look at all of them again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _problems(document: Document, findings: Iterable[Finding], *, strict: bool) -> tuple[Problem, ...]:
    unique = dict.fromkeys(findings)
    problems = [document.problem(_strictly(found) if strict else found) for found in unique]
    return tuple(sorted(problems, key=lambda problem: (problem.line, problem.column, problem.path)))


def _strictly(found: Finding) -> Finding:
    if not found.strict:
        return found
    return Finding(found.path, found.message, found.hint, at_key=found.at_key, at=found.at)


Entries = dict[Keys, dict[str, Any]]
"""Options by the path of the image or variant that holds them, then by tool."""


def _option_entries(raw: dict[Any, Any], registry: OptionsRegistry) -> tuple[Entries, list[Finding]]:
    entries: Entries = {}
    findings: list[Finding] = []
    for holder, path in _option_holders(raw):
        for index, entry in enumerate(holder):
            place = (*path, "options", index)
            if not isinstance(entry, dict):
                continue  # told by the schema
            tool = entry.get("tool")
            if tool is None and "tool" not in entry:
                findings.append(Finding((*place, "tool"), f"`tool` is missing; allowed: {', '.join(registry)}"))
            elif not isinstance(tool, str) or tool not in registry:
                findings.append(Finding((*place, "tool"), *mismatch.unknown_choice(tool, list(registry))))
            else:
                options, more = registry[tool].read(entry, place)
                findings += more
                if options is not None:
                    entries.setdefault(path, {}).setdefault(tool, options)
    return entries, findings


def _option_holders(raw: dict[Any, Any]) -> Iterator[tuple[list[Any], Keys]]:
    images = raw.get("images")
    for number, image in enumerate(images if isinstance(images, list) else ()):
        if not isinstance(image, dict):
            continue
        path: Keys = ("images", number)
        if isinstance(image.get("options"), list):
            yield image["options"], path
        variants = image.get("variants")
        for index, variant in enumerate(variants if isinstance(variants, list) else ()):
            if isinstance(variant, dict) and isinstance(variant.get("options"), list):
                yield variant["options"], (*path, "variants", index)


def default_subpath(name: str) -> str:
    """The directory of an image or version that names none."""
    return name.replace(" ", "-").lower()


def _registries(parts: Sequence[schema.GlobalRegistryPart]) -> Iterator[ProjectRegistry]:
    for part in dict.fromkeys(parts):
        yield ProjectRegistry(part.host, part.namespace, getattr(part, "repository", None))


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


def _patterns(parts: Sequence[schema.TagPatternPart]) -> tuple[PatternGroup, ...]:
    return tuple(PatternGroup(part.patterns, part.only) for part in parts)


class _Builder:
    """Fills in defaults and inherits. Equal lists of systems are one object: a large project has few of them."""

    def __init__(self, part: schema.ProjectPart, entries: Entries, registry: OptionsRegistry) -> None:
        self._part, self._entries, self._registry = part, entries, registry
        self._global = tuple(_registries(part.registries))
        self._systems_seen: dict[tuple[System, ...], tuple[System, ...]] = {}
        self._repositories_seen: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._dependencies_seen: dict[tuple[Dependency, ...], tuple[Dependency, ...]] = {}

    def images(self) -> Iterator[Image]:
        """The images in file order."""
        for number, part in enumerate(self._part.images):
            yield self._image(part, ("images", number))

    def _image(self, part: schema.ImagePart, path: Keys) -> Image:
        inherited = tuple(_registries(part.override_registries)) or (
            *_registries(part.extra_registries), *self._global,
        )  # fmt: skip
        options = self._entries.get(path, {})
        plain_options = effective(self._registry, options, {})
        patterns = (
            default_patterns(matrix=part.matrix is not None)
            if part.tag_patterns is UNSET
            else _patterns(part.tag_patterns)
        )
        dev_sources = tuple(
            self._dev_source(entry, part.name, inherited, (*path, "devVersions", index))
            for index, entry in enumerate(part.dev_versions)
        )
        return Image(
            name=part.name,
            display_name=part.name.replace("-", " ").title() if part.display_name is UNSET else part.display_name,
            description=part.description,
            documentation_url=part.documentation_url,
            subpath=part.subpath or default_subpath(part.name),
            versions=tuple(
                self._version(entry, part, inherited, (*path, "versions", index))
                for index, entry in enumerate(part.versions)
            ),
            variants=tuple(
                Variant(
                    entry.name,
                    entry.primary,
                    entry.extension or default_extension(entry.name),
                    entry.tag_display_name or default_tag_name(entry.name),
                    _patterns(entry.tag_patterns),
                    effective(self._registry, options, self._entries.get((*path, "variants", index), {})),
                )
                for index, entry in enumerate(part.variants)
            ),
            # An image with a matrix does not read its own list; that is told where the file is checked.
            constraints=() if part.matrix else _constraints(part.dependency_constraints),
            dev_sources=dev_sources,
            matrix=self._matrix(part.matrix, part, inherited, (*path, "matrix")) if part.matrix else None,
            secrets=tuple(Secret(secret.id, secret.env_var) for secret in part.build_secrets),
            options=plain_options,
            tag_patterns=patterns,
            build_target=part.build_target,
            place=path,
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
        newest = part if isinstance(part, schema.NewestPart) else None
        channel = part.channel or part.stream if isinstance(part, schema.ChannelPart) else part.channel
        return DevSource(
            product=part.product if isinstance(part, schema.ChannelPart) else None,
            dependency=newest.dependency if newest else None,
            channel=channel,
            prerelease=newest.prerelease if newest else False,
            systems=self._systems(part.os),
            values=part.values,
            repositories=self._repositories(part, image, inherited),
            place=path,
        )

    def _systems(self, parts: Sequence[schema.SystemPart]) -> tuple[System, ...]:
        """The systems sorted by name, each once; the only one is primary whatever it says."""
        found: dict[tuple[str, str, str], System] = {}
        for part in parts:
            extension = part.extension or default_extension(part.name)
            tag_name = part.tag_display_name or default_tag_name(part.name)
            found.setdefault(
                (part.name, extension, tag_name),
                System(part.name, part.primary, part.platforms, extension, tag_name, part.artifact_download_url),
            )
        systems = tuple(sorted(found.values(), key=lambda system: system.name))
        if len(systems) == 1 and not systems[0].primary:
            only = systems[0]
            systems = (System(only.name, True, only.platforms, only.extension, only.tag_name, only.download_url),)
        return self._systems_seen.setdefault(systems, systems)

    def _repositories(
        self,
        part: schema.VersionPart | schema.MatrixPart | schema.DevPart,
        image: str,
        inherited: tuple[ProjectRegistry, ...],
    ) -> tuple[str, ...]:
        registries = tuple(_registries(part.override_registries)) or (*_registries(part.extra_registries), *inherited)
        names = tuple(sorted({registry.destination(image) for registry in registries}))
        return self._repositories_seen.setdefault(names, names)
