"""The shape of bakery.yaml: its keys, types and defaults (config.md, sections 1 to 12). Nothing is inherited here.

Read by `bakery.config.schema.reader`. Rules that compare several values (names that occur twice, two primaries) are in
`bakery.config.rules`, so that they are told even where a neighbour has the wrong type. Entries of `options` are read by
`bakery.config.schema.options`.
"""

# No `from __future__ import annotations`: every annotation would have to be compiled from its text.
from typing import Annotated, Any, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType, field

from bakery.config.schema.field_types import (
    Axis,
    Bound,
    DownloadUrl,
    EnvironmentName,
    Extension,
    FilledText,
    HttpUrl,
    Person,
    PersonField,
    SecretId,
    TagName,
    TagPatternText,
    Versions,
    in_order,
    said,
)

_Platforms = Literal["linux/amd64", "linux/arm64"]
_Dependencies = Literal["python", "R", "quarto", "positron"]
_Products = Literal["connect", "package-manager", "workbench", "workbench-session"]
_Channels = Literal["release", "preview", "daily"]
_UnreleasedChannels = Literal["preview", "daily"]
_PatternFilters = Literal["all", "latest", "primaryOS", "primaryVariant", "latestPatch", "channelLatest"]
CHANNELS: tuple[str, ...] = get_args(_Channels)

Platform = Annotated[_Platforms, in_order(_Platforms)]
DependencyName = Annotated[_Dependencies, in_order(_Dependencies)]
ProductName = Annotated[_Products, in_order(_Products)]
ChannelName = Annotated[_Channels, in_order(_Channels)]
UnreleasedChannelName = Annotated[_UnreleasedChannels, in_order(_UnreleasedChannels)]
PatternFilter = Annotated[_PatternFilters, in_order(_PatternFilters)]


class Part(Struct, frozen=True, rename="camel"):
    """A mapping of bakery.yaml. Keys are spelled in camelCase; unknown ones are found by `rules`, not here."""


class Strict(Part, frozen=True, forbid_unknown_fields=True):
    """A mapping in which an unknown key is an error."""


class RepositoryPart(Part, frozen=True):
    """The repository the images are built from. Used for labels."""

    url: Annotated[HttpUrl, said("Where the repository is; https:// is added where no scheme is given.")]
    vendor: Annotated[str, said("Label org.opencontainers.image.vendor.")] = "Posit Software, PBC"
    maintainer: Annotated[PersonField, said("Label co.posit.image.maintainer.")] = Person(
        "Posit Docker Team", "docker@posit.co"
    )
    authors: Annotated[tuple[PersonField, ...], said("Label org.opencontainers.image.authors.")] = ()


class GlobalRegistryPart(Strict, frozen=True):
    """A registry that every image goes to."""

    host: Annotated[str, said("Host name, with a port where needed.")]
    namespace: Annotated[str | None, said("What stands between host and repository; may contain /.")] = None


class RegistryPart(GlobalRegistryPart, frozen=True):
    """A registry of one image or version."""

    repository: Annotated[str | None, said("The repository's name in place of the image's name.")] = None


class TagPatternPart(Part, frozen=True):
    """Patterns for the part of a tag after the colon, and when they apply."""

    patterns: Annotated[tuple[TagPatternText, ...], said("Text with {{ Version }}, {{ OS }}, {{ Variant }}, …")]
    only: Annotated[tuple[PatternFilter, ...], said("All of these must hold.")] = ("all",)


class SystemPart(Part, frozen=True):
    """An operating system that a version is built on."""

    name: Annotated[str, said("Such as `Ubuntu 24.04`.")]
    primary: Annotated[bool, said("Whether tags without a system's name mean this one.")] = False
    platforms: Annotated[tuple[Platform, ...], Meta(min_length=1), said("What is built.")] = ("linux/amd64",)
    extension: Annotated[Extension, said("Ending of the Containerfile; made from the name by default.")] = ""
    tag_display_name: Annotated[TagName, said("{{ OS }} in tags; made from the name by default.")] = ""
    artifact_download_url: Annotated[DownloadUrl | None, said("Image.DownloadURL in templates.")] = field(
        default=None, name="artifactDownloadURL"
    )


class VariantPart(Part, frozen=True):
    """A variant: the same versions built in another way."""

    name: Annotated[str, said("Such as `Standard`.")]
    primary: Annotated[bool, said("Whether tags without a variant's name mean this one.")] = False
    extension: Annotated[Extension, said("Ending of the Containerfile; made from the name by default.")] = ""
    tag_display_name: Annotated[TagName, said("{{ Variant }} in tags; made from the name by default.")] = ""
    options: Annotated[tuple[dict[str, Any], ...], said("Options of tools for this variant.")] = ()
    tag_patterns: Annotated[tuple[TagPatternPart, ...], said("Added to those of the image.")] = ()


class PinnedPart(Strict, frozen=True):
    """A dependency at fixed versions."""

    dependency: DependencyName
    version: Annotated[Versions, said("One version, or several with commas.")] = ()
    versions: Annotated[Versions, said("The same as a list.")] = ()
    prerelease: Annotated[bool, said("quarto and positron only.")] = False


class ConstraintPart(Part, frozen=True):
    """Which published versions of a dependency are wanted."""

    latest: Annotated[bool | None, said("Start at the newest.")] = None
    count: Annotated[Annotated[int, Meta(gt=0)] | None, said("How many minor lines.")] = None
    max: Annotated[Bound | None, said("Upper bound, inclusive.")] = None
    min: Annotated[Bound | None, said("Lower bound, inclusive.")] = None


class ConstrainedPart(Strict, frozen=True):
    """A dependency whose versions are looked up."""

    dependency: DependencyName
    constraint: ConstraintPart
    prerelease: Annotated[bool, said("quarto and positron only.")] = False


class VersionPart(Part, frozen=True):
    """A version of an image."""

    name: Annotated[str, said("Any text, such as 2026.03.1.")]
    subpath: Annotated[FilledText, said("Its directory under the image's; made from the name by default.")] = ""
    latest: Annotated[bool, said("Whether `latest` means this version.")] = False
    os: Annotated[tuple[SystemPart, ...], said("The systems it is built on.")] = ()
    dependencies: Annotated[tuple[PinnedPart, ...], said("For labels and templates.")] = ()
    values: Annotated[dict[str, str], said("For templates.")] = {}
    extra_registries: Annotated[tuple[RegistryPart, ...], said("Besides the image's registries.")] = ()
    override_registries: Annotated[tuple[RegistryPart, ...], said("In place of the image's registries.")] = ()
    build_target: Annotated[str | None, said("The stage to build.")] = None


class MatrixPart(Part, frozen=True):
    """One version per combination of dependency versions and values."""

    name_pattern: Annotated[str | None, said("Jinja2 text that names a row.")] = None
    subpath: Annotated[FilledText, said("The directory that all rows share.")] = "matrix"
    os: Annotated[tuple[SystemPart, ...], said("The systems they are built on.")] = ()
    dependencies: Annotated[tuple[PinnedPart, ...], said("Axes of fixed versions.")] = ()
    dependency_constraints: Annotated[tuple[ConstrainedPart, ...], said("Axes of versions that are looked up.")] = ()
    values: Annotated[dict[str, Axis], said("A list is an axis; a text is a constant.")] = {}
    extra_registries: Annotated[tuple[RegistryPart, ...], said("Besides the image's registries.")] = ()
    override_registries: Annotated[tuple[RegistryPart, ...], said("In place of the image's registries.")] = ()
    build_target: Annotated[str | None, said("The stage to build.")] = None


class DevPart(Part, frozen=True):
    """What every development version has."""

    os: Annotated[tuple[SystemPart, ...], said("The systems it is built on.")] = ()
    values: Annotated[dict[str, str], said("For templates.")] = {}
    extra_registries: Annotated[tuple[RegistryPart, ...], said("Besides the image's registries.")] = ()
    override_registries: Annotated[tuple[RegistryPart, ...], said("In place of the image's registries.")] = ()


class ChannelPart(DevPart, frozen=True, kw_only=True, tag_field="sourceType", tag="channel"):
    """A development version found on a product's channel."""

    product: ProductName
    channel: Annotated[ChannelName | None, said("Which builds of the product.")] = None
    stream: Annotated[ChannelName | None, said("The old name of `channel`.", deprecated=True)] = None


class StreamPart(ChannelPart, frozen=True, tag="stream"):
    """A development version found on a product's channel, in the old spelling."""


class NewestPart(DevPart, frozen=True, kw_only=True, tag_field="sourceType", tag="dependency"):
    """A development version that is the newest version of a dependency."""

    dependency: DependencyName
    prerelease: Annotated[bool, said("Whether builds before a release count.")] = False
    channel: Annotated[UnreleasedChannelName | None, said("The channel that tags name.")] = None


DevVersionPart = Annotated[ChannelPart | StreamPart | NewestPart, Meta(extra={"current": ("channel", "dependency")})]


class SecretPart(Part, frozen=True):
    """A secret for the build, read from an environment variable."""

    id: SecretId
    env_var: EnvironmentName


class ImagePart(Part, frozen=True):
    """An image: what is built, from which versions, and where it goes."""

    name: Annotated[str, said("The repository's name in tags.")]
    display_name: Annotated[str | UnsetType, said("For labels; made from the name by default.")] = UNSET
    description: Annotated[str | None, said("Label org.opencontainers.image.description.")] = None
    documentation_url: Annotated[HttpUrl | None, said("Label org.opencontainers.image.documentation.")] = None
    subpath: Annotated[FilledText, said("Its directory; made from the name by default.")] = ""
    versions: tuple[VersionPart, ...] = ()
    variants: tuple[VariantPart, ...] = ()
    dependency_constraints: Annotated[
        tuple[ConstrainedPart, ...], said("For `create version` and development versions.")
    ] = ()
    dev_versions: Annotated[tuple[DevVersionPart, ...], said("Versions found when a command runs.")] = ()
    matrix: MatrixPart | None = None
    extra_registries: Annotated[tuple[RegistryPart, ...], said("Besides the project's registries.")] = ()
    override_registries: Annotated[tuple[RegistryPart, ...], said("In place of the project's registries.")] = ()
    build_secrets: tuple[SecretPart, ...] = ()
    options: Annotated[tuple[dict[str, Any], ...], said("Options of tools.")] = ()
    tag_patterns: Annotated[
        tuple[TagPatternPart, ...] | UnsetType, said("In place of the default set; [] means no tags.")
    ] = UNSET
    build_target: Annotated[str | None, said("The stage to build.")] = None


class ProjectPart(Part, frozen=True):
    """bakery.yaml."""

    repository: RepositoryPart
    registries: Annotated[tuple[GlobalRegistryPart, ...], said("Where every image goes.")] = ()
    images: tuple[ImagePart, ...] = ()
