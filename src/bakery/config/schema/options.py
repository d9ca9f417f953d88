"""The options of tools that bakery.yaml may have, and the base of those that plugins add. Source: config.md 12.

A plugin adds a tool by offering a subclass of `ToolOptions` whose field `tool` is a literal: the discriminator
(pipeline.md 7). `options_registry` knows them all, and how a variant's entry goes over its image's.
"""

# No `from __future__ import annotations`: every annotation would have to be compiled from its text.
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from msgspec import Struct
from msgspec.structs import fields

from bakery.config.schema.field_types import said

HADOLINT_IGNORED = ("DL3008", "DL3018", "DL3033", "DL3037", "DL3041")


class ToolOptions(Struct, frozen=True, dict=True):
    """The options of one tool as bakery.yaml writes them.

    spellings: keys that are taken besides, and the key that each of them stands for.
    """

    tool: str

    spellings: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Options of which these fields are written."""
        made = cls(**values)
        made.__dict__["written"] = frozenset(values)
        return made

    def update(self, other: Self) -> Self:
        """These options over `other`: a field that was written here wins, even where it equals the default."""
        return type(self).of({**_written(other), **_written(self)})


def _written(options: ToolOptions) -> dict[str, Any]:
    """The fields that were written; of options that were not read from a file, those that are no defaults."""
    names = options.__dict__.get("written")
    if names is None:
        names = [one.name for one in fields(options) if getattr(options, one.name) != one.default]
    return {name: getattr(options, name) for name in names}


class GossOptions(ToolOptions, frozen=True, rename="camel"):
    """How dgoss runs the tests of an image."""

    tool: Literal["goss"] = "goss"
    runtime_options: Annotated[str | None, said("More options of `docker run`.")] = None
    command: Annotated[str, said("What the container runs.")] = "sleep infinity"
    wait: Annotated[int, said("Seconds to wait before the tests.")] = 0
    timeout: Annotated[int, said("Seconds for all of it; 0 means no limit.")] = 900


class SociOptions(ToolOptions, frozen=True):
    """Whether and how an image gets a SOCI index. Keys are spelled as the tool's own options, or in camelCase."""

    tool: Literal["soci"] = "soci"
    enabled: Annotated[bool, said("Whether to convert the image.")] = False
    span_size: Annotated[int | None, said("Bytes between two checkpoints; 4 MiB where not given.")] = None
    min_layer_size: Annotated[int | None, said("Smaller layers get no ztoc; 10 MiB where not given.")] = None
    prefetch_files: Annotated[tuple[str, ...], said("Files to fetch first.")] = ()
    optimizations: Annotated[tuple[str, ...], said("Known: xattr.")] = ()
    platforms: Annotated[tuple[str, ...] | None, said("Only these; all where not given.")] = None

    spellings: ClassVar[Mapping[str, str]] = {
        "spanSize": "span_size", "minLayerSize": "min_layer_size", "prefetchFiles": "prefetch_files",
    }  # fmt: skip


class HadolintOverride(Struct, frozen=True):
    """Rules by the severity they get."""

    error: tuple[str, ...] = ()
    warning: tuple[str, ...] = ()
    info: tuple[str, ...] = ()
    style: tuple[str, ...] = ()


class HadolintOptions(ToolOptions, frozen=True, rename="camel"):
    """How hadolint reads a Containerfile."""

    tool: Literal["hadolint"] = "hadolint"
    failure_threshold: str = "error"
    ignored: Annotated[tuple[str, ...], said("Rules that do not count; [] clears the default.")] = HADOLINT_IGNORED
    label_schema: dict[str, str] | None = None
    no_fail: bool = False
    override: HadolintOverride | None = None
    strict_labels: bool = False
    disable_ignore_pragma: bool = False
    trusted_registries: tuple[str, ...] = ()


class WizcliOptions(ToolOptions, frozen=True, rename="camel"):
    """How wizcli scans an image."""

    tool: Literal["wizcli"] = "wizcli"
    projects: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    scan_os_managed_libraries: bool | None = None
    scan_go_standard_library: bool | None = None


BUILT_IN: tuple[type[ToolOptions], ...] = (GossOptions, SociOptions, HadolintOptions, WizcliOptions)
