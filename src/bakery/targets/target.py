"""A target: one image to build and publish, with everything that bakery.yaml says about it. Source: config.md 14.

Created by `bakery.targets.expand`. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from bakery.config.filters import tag_safe
from bakery.targets.push_order import UNKNOWN, version_rank
from bakery.values import repr_without

if TYPE_CHECKING:
    from bakery.config.project import Secret, System


class Target(Struct, frozen=True):
    """One combination of image, version, variant and system of a project.

    references: `repository:tag`, sorted as text. platforms: as declared, such as `linux/amd64`.
    labels: without `created`, which publishing adds; they become the annotations of the index. options: the effective
    options of every tool. tag_policy: the rules that bakery.yaml sets, by class of tags. image_path and version_path
    are relative to the context.
    """

    uid: str
    image: str
    version: str
    variant: str | None
    os: str | None
    platforms: tuple[str, ...]
    references: tuple[str, ...]
    repositories: tuple[str, ...]
    tags: tuple[str, ...]
    containerfile: str
    image_path: str
    version_path: str
    latest: bool
    primary_os: bool
    primary_variant: bool
    development: bool
    matrix: bool
    channel: str | None
    channel_head: bool
    labels: Mapping[str, str]
    build_args: Mapping[str, str]
    build_target: str | None
    secrets: tuple[Secret, ...]
    options: Mapping[str, Any]
    system: System | None
    variant_tag_name: str | None
    tag_policy: Mapping[str, str]

    __repr__ = repr_without("labels", "options", "system", "variant_tag_name")

    def __hash__(self) -> int:
        return hash((self.uid, self.references))

    @property
    def primary(self) -> bool:
        """Whether both system and variant are primary. A missing one counts as primary."""
        return self.primary_os and self.primary_variant

    @property
    def destinations(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The repositories to publish to, sorted, each with its sorted tags."""
        return tuple((repository, self.tags) for repository in self.repositories) if self.tags else ()

    def option(self, tool: str) -> Any:
        """Return the effective options of a tool. Raises KeyError for an unknown tool."""
        return self.options[tool]

    def push_key(self) -> tuple[Any, ...]:
        """Return the sort key for pushing: the newest and primary targets are last (pipeline.md 1)."""
        return (
            self.image,
            self.latest,
            UNKNOWN if self.matrix else version_rank(self.version),
            self.primary_os + self.primary_variant,
            self.version,
            self.variant or "",
            self.os or "",
        )

    def temp_name(self, temp_registry: str) -> str:
        """Return the repository in the temporary registry that builds are pushed to by digest."""
        return f"{temp_registry.rstrip('/')}/{self.image}/tmp"  # noqa: S108  # a repository, not a directory

    def cache_name(self, cache_registry: str, platforms: Sequence[str] = ()) -> str:
        """Return the reference of the build cache. platforms: those that are built, by default all."""
        built = platforms or self.platforms
        parts = [tag_safe(self.version.partition("+")[0])]
        parts += [name for name in (self.system.tag_name if self.system else None, self.variant_tag_name) if name]
        if len(built) == 1:
            parts.append(built[0].rpartition("/")[2])
        return f"{cache_registry.rstrip('/')}/{self.image}/cache:{'-'.join(parts)}"
