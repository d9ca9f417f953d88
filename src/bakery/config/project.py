"""A project as the tool understood it: every default filled in, every list inherited, nothing left to look up.

Frozen values only. They are made by `bakery.config.load` from what `bakery.config.schema.declarations` has read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from bakery.config.systems import BuildSystem, build_system
from bakery.config.yaml.problem import Keys
from bakery.values import repr_without

if TYPE_CHECKING:
    from bakery.config.schema.field_types import Person
    from bakery.config.yaml.document import Document
    from bakery.config.yaml.problem import Problem


class ProjectRepository(Struct, frozen=True):
    """Where the project comes from, for labels."""

    url: str
    vendor: str
    maintainer: Person
    authors: tuple[Person, ...]


class ProjectRegistry(Struct, frozen=True):
    """A registry, and perhaps a namespace and a repository name in it."""

    host: str
    namespace: str | None = None
    repository: str | None = None

    @property
    def base(self) -> str:
        """`host` or `host/namespace`."""
        return f"{self.host}/{self.namespace}" if self.namespace else self.host

    def destination(self, image: str) -> str:
        """The repository that an image's tags live in."""
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

    @property
    def build(self) -> BuildSystem:
        """What templates see of it."""
        return build_system(self.name)


class PatternGroup(Struct, frozen=True):
    """Patterns of tags, and the filters that must hold for them."""

    patterns: tuple[str, ...]
    only: tuple[str, ...] = ("all",)


class Variant(Struct, frozen=True):
    """A variant. `options` are the effective ones: its own over the image's."""

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
    """Which published versions of a dependency are wanted."""

    dependency: str
    latest: bool | None
    count: int | None
    max: str | None
    min: str | None
    prerelease: bool = False


class Secret(Struct, frozen=True):
    """A build secret that is read from an environment variable."""

    id: str
    variable: str


class Version(Struct, frozen=True):
    """A version of an image: written, found on a channel, or a row of a matrix.

    repositories: the destinations of its tags, sorted, each once. place: where it is written.
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
    """What the rows of an image's matrix are made of. `values` holds texts and lists of texts, as listed."""

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
    def written(self) -> bool:
        """Whether its rows are known without asking anybody."""
        return not self.constraints


class DevSource(Struct, frozen=True):
    """Where a development version is to be found: a channel of a product, or the newest version of a dependency."""

    product: str | None
    dependency: str | None
    channel: str | None
    prerelease: bool
    systems: tuple[System, ...]
    values: Mapping[str, str]
    repositories: tuple[str, ...]
    place: Keys


class Image(Struct, frozen=True):
    """An image with all that its targets need. `options` are those of targets without a variant."""

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
    build_target: str | None
    place: Keys


class Project(Struct, frozen=True):
    """A bakery.yaml and the directory that it speaks of. `problems` are warnings: an error makes no project."""

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
        """The image of exactly this name."""
        return next((image for image in self.images if image.name == name), None)
