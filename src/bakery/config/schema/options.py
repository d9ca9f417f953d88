"""The options of built-in tools in bakery.yaml, and the base class for those of plugins. Source: config.md 12.

A plugin adds a tool with a subclass of `ToolOptions` whose field `tool` is a literal, the discriminator
(pipeline.md 7). `options_registry` holds all classes and merges the entries of a variant and its image.
"""

# No `from __future__ import annotations`: every annotation would have to be compiled from its text at import.
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from msgspec import Struct
from msgspec.structs import fields

from bakery.config.schema.field_types import doc

HADOLINT_IGNORED = ("DL3008", "DL3018", "DL3033", "DL3037", "DL3041")


class ToolOptions(Struct, frozen=True, dict=True):
    """The options of one tool, as in bakery.yaml.

    spellings: alternative spellings of keys, each with the key that it stands for.
    """

    tool: str

    spellings: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return options in which these fields were set."""
        made = cls(**values)
        made.__dict__["written"] = frozenset(values)
        return made

    def update(self, other: Self) -> Self:
        """Return `other` with the fields that were set in these options, even those set to their default."""
        return type(self).of({**_written(other), **_written(self)})


def _written(options: ToolOptions) -> dict[str, Any]:
    """Return the fields that were set; for options that were not read from a file, those without their default."""
    names = options.__dict__.get("written")
    if names is None:
        names = [one.name for one in fields(options) if getattr(options, one.name) != one.default]
    return {name: getattr(options, name) for name in names}


class GossOptions(ToolOptions, frozen=True, rename="camel"):
    """How dgoss runs the tests of an image."""

    tool: Literal["goss"] = "goss"
    runtime_options: Annotated[str | None, doc("Additional options for `docker run`.")] = None
    command: Annotated[str, doc("Command that the container runs.")] = "sleep infinity"
    wait: Annotated[int, doc("Seconds to wait before the tests.")] = 0
    timeout: Annotated[int, doc("Time limit for the whole run, in seconds. 0 means no limit.")] = 900


class SociOptions(ToolOptions, frozen=True):
    """Whether and how an image gets a SOCI index. Keys are spelled like the options of `soci`, or in camelCase."""

    tool: Literal["soci"] = "soci"
    enabled: Annotated[bool, doc("Convert the image.")] = False
    span_size: Annotated[int | None, doc("Bytes between two checkpoints. Default: 4 MiB.")] = None
    min_layer_size: Annotated[int | None, doc("Bytes; smaller layers get no ztoc. Default: 10 MiB.")] = None
    prefetch_files: Annotated[tuple[str, ...], doc("Files to fetch first.")] = ()
    optimizations: Annotated[tuple[str, ...], doc("Supported: xattr.")] = ()
    platforms: Annotated[tuple[str, ...] | None, doc("Platforms to convert. Default: all.")] = None

    spellings: ClassVar[Mapping[str, str]] = {
        "spanSize": "span_size", "minLayerSize": "min_layer_size", "prefetchFiles": "prefetch_files",
    }  # fmt: skip


class HadolintOverride(Struct, frozen=True):
    """Rules whose severity is changed, by their new severity."""

    error: Annotated[tuple[str, ...], doc("Rules that become errors.")] = ()
    warning: Annotated[tuple[str, ...], doc("Rules that become warnings.")] = ()
    info: Annotated[tuple[str, ...], doc("Rules that become information.")] = ()
    style: Annotated[tuple[str, ...], doc("Rules that become matters of style.")] = ()


class HadolintOptions(ToolOptions, frozen=True, rename="camel"):
    """How hadolint checks a Containerfile. For plugins: no command of Bakery itself runs it."""

    tool: Literal["hadolint"] = "hadolint"
    failure_threshold: Annotated[str, doc("The lowest severity that fails.")] = "error"
    ignored: Annotated[tuple[str, ...], doc("Rules to ignore. [] clears the default.")] = HADOLINT_IGNORED
    label_schema: Annotated[dict[str, str] | None, doc("Labels that must exist, each with its format.")] = None
    no_fail: Annotated[bool, doc("Report findings, and do not fail.")] = False
    override: Annotated[HadolintOverride | None, doc("Rules with another severity.")] = None
    strict_labels: Annotated[bool, doc("Allow only the labels of `labelSchema`.")] = False
    disable_ignore_pragma: Annotated[bool, doc("Ignore comments that turn rules off.")] = False
    trusted_registries: Annotated[tuple[str, ...], doc("Registries that base images may come from.")] = ()


class WizcliOptions(ToolOptions, frozen=True, rename="camel"):
    """How wizcli scans an image. For plugins: no command of Bakery itself runs it."""

    tool: Literal["wizcli"] = "wizcli"
    projects: Annotated[tuple[str, ...], doc("Projects of the scan.")] = ()
    policies: Annotated[tuple[str, ...], doc("Policies that are applied.")] = ()
    tags: Annotated[tuple[str, ...], doc("Tags of the scan.")] = ()
    scan_os_managed_libraries: Annotated[bool | None, doc("Scan libraries that the system's packages own.")] = None
    scan_go_standard_library: Annotated[bool | None, doc("Scan the standard library of Go programs.")] = None


BUILT_IN: tuple[type[ToolOptions], ...] = (GossOptions, SociOptions, HadolintOptions, WizcliOptions)
