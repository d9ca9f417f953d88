"""The keys of bakery.yaml with their types and defaults. Nothing is inherited here. Source: config.md 1 to 12.

Read by `bakery.config.schema.reader`. Rules that compare several values (duplicate names, two primaries) are in
`bakery.config.rules`, so that they are checked even if a value next to them has the wrong type.
Entries of `options` are read by `options_registry`.
"""

# No `from __future__ import annotations`: every annotation would have to be compiled from its text at import.
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
    LabelNamespace,
    PersonField,
    PlatformText,
    SecretId,
    TagName,
    TagPatternText,
    Versions,
    doc,
    in_order,
)
from bakery.defaults import LABEL_NAMESPACE

_Dependencies = Literal["python", "R", "quarto", "positron"]
_Products = Literal["connect", "package-manager", "workbench", "workbench-session"]
_Channels = Literal["release", "preview", "daily"]
_UnreleasedChannels = Literal["preview", "daily"]
_TagRules = Literal["move", "warn", "no-downgrade", "if-newer", "immutable"]
_PatternFilters = Literal["all", "latest", "primaryOS", "primaryVariant", "latestPatch", "channelLatest"]
CHANNELS: tuple[str, ...] = get_args(_Channels)

DependencyName = Annotated[_Dependencies, in_order(_Dependencies), doc("The dependency.")]
ProductName = Annotated[_Products, in_order(_Products), doc("The product.")]
ChannelName = Annotated[_Channels, in_order(_Channels)]
UnreleasedChannelName = Annotated[_UnreleasedChannels, in_order(_UnreleasedChannels)]
TagRule = Annotated[_TagRules, in_order(_TagRules)]
PatternFilter = Annotated[_PatternFilters, in_order(_PatternFilters)]


class Part(Struct, frozen=True, rename="camel"):
    """A mapping of bakery.yaml. Keys are in camelCase. Unknown keys are reported by `rules`."""


class Strict(Part, frozen=True, forbid_unknown_fields=True):
    """A mapping in which an unknown key is an error."""


class RepositoryPart(Part, frozen=True):
    """The source repository that the images are built from. Used for labels."""

    url: Annotated[HttpUrl, doc("URL of the repository. Without a scheme, https:// is added.")]
    vendor: Annotated[str | None, doc("Label org.opencontainers.image.vendor. Default: no such label.")] = None
    maintainer: Annotated[PersonField | None, doc("Label <labelNamespace>.maintainer. Default: no such label.")] = None
    authors: Annotated[tuple[PersonField, ...], doc("Label org.opencontainers.image.authors.")] = ()
    label_namespace: Annotated[LabelNamespace, doc("Prefix of the labels that are not of OCI.")] = LABEL_NAMESPACE


class GlobalRegistryPart(Strict, frozen=True):
    """A registry that every image is published to."""

    host: Annotated[str, doc("Host name, with a port if needed.")]
    namespace: Annotated[str | None, doc("Path between the host and the repository name. May contain /.")] = None


class RegistryPart(GlobalRegistryPart, frozen=True):
    """A registry that one image or version is published to."""

    repository: Annotated[str | None, doc("Repository name, if it is not the image's name.")] = None


class TagPatternPart(Part, frozen=True):
    """Patterns for tags, and when they apply."""

    patterns: Annotated[tuple[TagPatternText, ...], doc("Text with {{ Version }}, {{ OS }}, {{ Variant }} and others.")]
    only: Annotated[tuple[PatternFilter, ...], doc("Conditions that must all hold.")] = ("all",)


class TagPolicyPart(Strict, frozen=True):
    """What may happen to tags that exist, by what they stand for."""

    latest: Annotated[TagRule | None, doc("`latest`. Default: warn.")] = None
    major: Annotated[TagRule | None, doc("A major version, such as `1`. Default: warn.")] = None
    minor: Annotated[TagRule | None, doc("A minor version, such as `1.2`. Default: warn.")] = None
    version: Annotated[TagRule | None, doc("The whole version, such as `1.2.3`. Default: move.")] = None
    other: Annotated[TagRule | None, doc("Any other tag, such as `edge`. Default: move.")] = None


class SystemPart(Part, frozen=True):
    """An operating system that a version is built on."""

    name: Annotated[str, doc("For example `Ubuntu 24.04`.")]
    primary: Annotated[bool, doc("Tags without the name of a system refer to this one.")] = False
    platforms: Annotated[
        tuple[PlatformText, ...], Meta(min_length=1), doc("Platforms to build, such as linux/arm64 or linux/arm/v7.")
    ] = ("linux/amd64",)
    extension: Annotated[Extension, doc("Suffix of the Containerfile. Default: derived from the name.")] = ""
    tag_display_name: Annotated[TagName, doc("Value of {{ OS }} in tags. Default: derived from the name.")] = ""
    artifact_download_url: Annotated[DownloadUrl | None, doc("Value of Image.DownloadURL in templates.")] = field(
        default=None, name="artifactDownloadURL"
    )


BuildTarget = Annotated[str | None, doc("Stage of the Containerfile to build.")]
ExtraRegistries = Annotated[tuple[RegistryPart, ...], doc("Registries in addition to the inherited ones.")]
OverrideRegistries = Annotated[tuple[RegistryPart, ...], doc("Registries instead of the inherited ones.")]
Systems = Annotated[tuple[SystemPart, ...], doc("Operating systems to build on.")]


class VariantPart(Part, frozen=True):
    """A variant of an image: the same versions, built differently."""

    name: Annotated[str, doc("For example `Standard`.")]
    primary: Annotated[bool, doc("Tags without the name of a variant refer to this one.")] = False
    extension: Annotated[Extension, doc("Suffix of the Containerfile. Default: derived from the name.")] = ""
    tag_display_name: Annotated[TagName, doc("Value of {{ Variant }} in tags. Default: derived from the name.")] = ""
    options: Annotated[tuple[dict[str, Any], ...], doc("Options for tools; a field overrides that of the image.")] = ()
    tag_patterns: Annotated[tuple[TagPatternPart, ...], doc("Added to the patterns of the image.")] = ()


class PinnedPart(Strict, frozen=True):
    """A dependency at fixed versions."""

    dependency: DependencyName
    version: Annotated[Versions, doc("One version, or several separated by commas.")] = ()
    versions: Annotated[Versions, doc("The same, as a list.")] = ()
    prerelease: Annotated[bool, doc("Only for quarto and positron.")] = False


class ConstraintPart(Part, frozen=True):
    """Which of the published versions of a dependency are used."""

    latest: Annotated[bool | None, doc("Start with the newest version.")] = None
    count: Annotated[Annotated[int, Meta(gt=0)] | None, doc("Number of minor versions.")] = None
    max: Annotated[Bound | None, doc("Upper bound, inclusive.")] = None
    min: Annotated[Bound | None, doc("Lower bound, inclusive.")] = None


class ConstrainedPart(Strict, frozen=True):
    """A dependency whose versions are looked up when a command runs."""

    dependency: DependencyName
    constraint: ConstraintPart
    prerelease: Annotated[bool, doc("Only for quarto and positron.")] = False


class VersionPart(Part, frozen=True):
    """A version of an image."""

    name: Annotated[str, doc("Any text, for example `2026.03.1`.")]
    subpath: Annotated[FilledText, doc("Directory in the image's directory. Default: derived from the name.")] = ""
    latest: Annotated[bool, doc("The tag `latest` refers to this version.")] = False
    os: Systems = ()
    dependencies: Annotated[tuple[PinnedPart, ...], doc("Dependencies, for labels and templates.")] = ()
    values: Annotated[dict[str, str], doc("Values for templates.")] = {}
    extra_registries: ExtraRegistries = ()
    override_registries: OverrideRegistries = ()
    build_target: BuildTarget = None


class MatrixPart(Part, frozen=True):
    """Versions made from every combination of dependency versions and values."""

    name_pattern: Annotated[str | None, doc("Jinja2 template for the name of a row.")] = None
    subpath: Annotated[FilledText, doc("Directory shared by all rows.")] = "matrix"
    os: Systems = ()
    dependencies: Annotated[tuple[PinnedPart, ...], doc("Axes with fixed versions.")] = ()
    dependency_constraints: Annotated[tuple[ConstrainedPart, ...], doc("Axes with versions that are looked up.")] = ()
    values: Annotated[dict[str, Axis], doc("A list is an axis, a text is a constant.")] = {}
    extra_registries: ExtraRegistries = ()
    override_registries: OverrideRegistries = ()
    build_target: BuildTarget = None


class DevPart(Part, frozen=True):
    """The keys that every development version has."""

    os: Systems = ()
    values: Annotated[dict[str, str], doc("Values for templates.")] = {}
    extra_registries: ExtraRegistries = ()
    override_registries: OverrideRegistries = ()


class ChannelPart(DevPart, frozen=True, kw_only=True, tag_field="sourceType", tag="channel"):
    """A development version from a channel of a product."""

    product: ProductName
    channel: Annotated[ChannelName | None, doc("Channel of the product.")] = None
    stream: Annotated[ChannelName | None, doc("Deprecated: use `channel`.", deprecated=True)] = None


class StreamPart(ChannelPart, frozen=True, tag="stream"):
    """A development version from a channel of a product, in the deprecated spelling."""


class NewestPart(DevPart, frozen=True, kw_only=True, tag_field="sourceType", tag="dependency"):
    """A development version that is the newest version of a dependency."""

    dependency: DependencyName
    prerelease: Annotated[bool, doc("Include prereleases.")] = False
    channel: Annotated[UnreleasedChannelName | None, doc("Channel for tags.")] = None


DevVersionPart = Annotated[ChannelPart | StreamPart | NewestPart, Meta(extra={"current": ("channel", "dependency")})]


class SecretPart(Part, frozen=True):
    """A build secret that is read from an environment variable."""

    id: Annotated[SecretId, doc("Name of the secret in the Containerfile: `RUN --mount=type=secret,id=…`.")]
    env_var: Annotated[EnvironmentName, doc("Variable with its value. Without one, the secret is left out.")]


class ImagePart(Part, frozen=True):
    """An image: its versions and variants, and the registries it is published to."""

    name: Annotated[str, doc("Name of the image and of its repository.")]
    display_name: Annotated[str | UnsetType, doc("Name in labels. Default: derived from the name.")] = UNSET
    description: Annotated[str | None, doc("Label org.opencontainers.image.description.")] = None
    documentation_url: Annotated[HttpUrl | None, doc("Label org.opencontainers.image.documentation.")] = None
    subpath: Annotated[FilledText, doc("Directory of the image. Default: derived from the name.")] = ""
    versions: tuple[VersionPart, ...] = ()
    variants: tuple[VariantPart, ...] = ()
    dependency_constraints: Annotated[
        tuple[ConstrainedPart, ...], doc("Versions of dependencies, for development versions.")
    ] = ()
    dev_versions: Annotated[tuple[DevVersionPart, ...], doc("Versions that are looked up when a command runs.")] = ()
    matrix: MatrixPart | None = None
    extra_registries: ExtraRegistries = ()
    override_registries: OverrideRegistries = ()
    build_secrets: tuple[SecretPart, ...] = ()
    options: Annotated[tuple[dict[str, Any], ...], doc("Options for tools.")] = ()
    tag_patterns: Annotated[
        tuple[TagPatternPart, ...] | UnsetType, doc("Patterns instead of the default ones. [] means no tags.")
    ] = UNSET
    tag_policy: Annotated[TagPolicyPart | None, doc("Which tags may move; a rule overrides the project's.")] = None
    build_target: BuildTarget = None


class ProjectPart(Part, frozen=True):
    """bakery.yaml."""

    repository: RepositoryPart
    registries: Annotated[tuple[GlobalRegistryPart, ...], doc("Registries that every image is published to.")] = ()
    tag_policy: Annotated[TagPolicyPart | None, doc("Which tags may move.")] = None
    images: tuple[ImagePart, ...] = ()
