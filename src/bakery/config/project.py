"""A project in frozen values: every default filled in, every list inherited.

Built by `bakery.config.inheritance` from `bakery.config.schema.declarations`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from bakery.config.systems import BuildSystem, build_system
from bakery.config.yaml.problem import Keys
from bakery.values import repr_without

if TYPE_CHECKING:
    from bakery.config.schema.person import Person
    from bakery.config.yaml.document import Document
    from bakery.config.yaml.problem import Problem


class ProjectRepository(Struct, frozen=True):
    """The source repository of a project, for labels. label_namespace: the prefix of labels that are not of OCI."""

    url: str
    vendor: str | None
    maintainer: Person | None
    authors: tuple[Person, ...]
    label_namespace: str


class ProjectRegistry(Struct, frozen=True):
    """A registry that images are published to, with an optional namespace and repository name."""

    host: str
    namespace: str | None = None
    repository: str | None = None

    @property
    def base(self) -> str:
        """`host` or `host/namespace`."""
        return f"{self.host}/{self.namespace}" if self.namespace else self.host

    def destination(self, image: str) -> str:
        """Return the repository for the tags of an image."""
        base = self.base
        return f"{base}{'' if base.endswith('/') else '/'}{self.repository or image}"


class System(Struct, frozen=True):
    """An operating system of a version."""

    name: str
    primary: bool
    platforms: tuple[str, ...]
    extension: str
    tag_name: str
    download_url: str | None = None

    def as_primary(self) -> System:
        """Return this system as a primary one."""
        return self if self.primary else replace(self, primary=True)

    @property
    def build(self) -> BuildSystem:
        """The known system that the name refers to, as templates and product APIs see it."""
        return build_system(self.name)


class PatternGroup(Struct, frozen=True):
    """Patterns of tags, and the conditions that must all hold for them to apply."""

    patterns: tuple[str, ...]
    only: tuple[str, ...] = ("all",)


class Variant(Struct, frozen=True):
    """A variant of an image. options: its fields, else the image's, else the defaults, by tool."""

    name: str
    primary: bool
    extension: str
    tag_name: str
    tag_patterns: tuple[PatternGroup, ...]
    options: Mapping[str, Any]


class Dependency(Struct, frozen=True):
    """A dependency at fixed versions."""

    name: str
    versions: tuple[str, ...]


class Constraint(Struct, frozen=True):
    """Which of the published versions of a dependency are used."""

    dependency: str
    latest: bool | None
    count: int | None
    max: str | None
    min: str | None
    prerelease: bool = False

    @property
    def bounds(self) -> dict[str, Any]:
        """What is set of `latest`, `count`, `max` and `min`."""
        given = {"latest": self.latest, "count": self.count, "max": self.max, "min": self.min}
        return {key: value for key, value in given.items() if value is not None}


class Secret(Struct, frozen=True):
    """A build secret that is read from an environment variable."""

    id: str
    variable: str


class Version(Struct, frozen=True):
    """A version of an image: listed in bakery.yaml, looked up, or a row of a matrix.

    repositories: for its tags, sorted, each once. place: its path in bakery.yaml.
    """

    name: str
    subpath: str
    latest: bool
    systems: tuple[System, ...]
    dependencies: tuple[Dependency, ...]
    values: Mapping[str, str]
    repositories: tuple[str, ...]
    build_target: str | None
    place: Keys
    development: bool = False
    matrix: bool = False
    channel: str | None = None
    channel_head: bool = True
    latest_patch: bool = False


class Matrix(Struct, frozen=True):
    """The axes of an image's matrix, and what all its rows share. values: a list is an axis, a text is a constant."""

    name_pattern: str | None
    subpath: str
    systems: tuple[System, ...]
    dependencies: tuple[Dependency, ...]
    constraints: tuple[Constraint, ...]
    values: Mapping[str, str | tuple[str, ...]]
    repositories: tuple[str, ...]
    build_target: str | None
    place: Keys

    @property
    def is_pinned(self) -> bool:
        """Whether its rows are known without querying a product API."""
        return not self.constraints


class DevSource(Struct, frozen=True):
    """Where a development version is looked up: a channel of a product, or the newest version of a dependency."""

    product: str | None
    dependency: str | None
    channel: str | None
    prerelease: bool
    systems: tuple[System, ...]
    values: Mapping[str, str]
    repositories: tuple[str, ...]
    place: Keys


class Image(Struct, frozen=True):
    """An image with everything that its targets need.

    options: those of targets without a variant, by tool. tag_policy: the rules that are set, by class of tags.
    """

    name: str
    display_name: str
    description: str | None
    documentation_url: str | None
    subpath: str
    versions: tuple[Version, ...]
    variants: tuple[Variant, ...]
    constraints: tuple[Constraint, ...]
    dev_sources: tuple[DevSource, ...]
    matrix: Matrix | None
    secrets: tuple[Secret, ...]
    options: Mapping[str, Any]
    tag_patterns: tuple[PatternGroup, ...]
    tag_policy: Mapping[str, str]
    build_target: str | None
    place: Keys


class Project(Struct, frozen=True):
    """A bakery.yaml and its directory.

    problems: warnings only; errors are raised as InvalidProject. revision: the commit of the git repository, if any.
    """

    context: Path
    file: str
    repository: ProjectRepository
    registries: tuple[ProjectRegistry, ...]
    images: tuple[Image, ...]
    problems: tuple[Problem, ...]
    document: Document
    revision: str | None = None

    __repr__ = repr_without("document")

    def image(self, name: str) -> Image | None:
        """Return the image of exactly this name, or None."""
        return next((image for image in self.images if image.name == name), None)
