"""The shape of bakery.yaml: its keys, types and defaults (config.md, sections 1 to 12). Nothing is inherited here.

Rules that compare several values (names that occur twice, two primaries) are in `bakery.config.rules`, so that they are
told even where a neighbour has the wrong type. Entries of `options` are read by `bakery.config.options`.
"""

# No `from __future__ import annotations`: pydantic would have to compile every annotation from its text.
from typing import Annotated, Any, Literal

from pydantic import AliasGenerator, BaseModel, ConfigDict, Discriminator, Field, Tag
from pydantic.alias_generators import to_camel

from bakery.config.values import (
    Axis,
    Bound,
    DownloadUrl,
    EnvironmentName,
    Extension,
    FilledText,
    HttpUrl,
    PersonField,
    SecretId,
    TagName,
    TagPatternText,
    Versions,
)
from bakery.config.values import Person as _Person

PLATFORMS = ("linux/amd64", "linux/arm64")
DEPENDENCIES = ("python", "R", "quarto", "positron")
PRODUCTS = ("connect", "package-manager", "workbench", "workbench-session")
CHANNELS = ("release", "preview", "daily")
PATTERN_FILTERS = ("all", "latest", "primaryOS", "primaryVariant", "latestPatch", "channelLatest")

DependencyName = Literal["python", "R", "quarto", "positron"]
_NO_ENTRIES: Any = ()


class Part(BaseModel):
    """A mapping of bakery.yaml. Keys are spelled in camelCase; unknown ones are found by `rules`, not here."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=AliasGenerator(alias=to_camel), defer_build=True
    )


class Strict(Part):
    """A mapping in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid")


class RepositoryPart(Part):
    """The repository the images are built from. Used for labels."""

    url: HttpUrl = Field(description="Where the repository is; https:// is added where no scheme is given.")
    vendor: str = Field("Posit Software, PBC", description="Label org.opencontainers.image.vendor.")
    maintainer: PersonField = Field(
        _Person("Posit Docker Team", "docker@posit.co"), description="Label co.posit.image.maintainer."
    )
    authors: tuple[PersonField, ...] = Field((), description="Label org.opencontainers.image.authors.")


class GlobalRegistryPart(Strict):
    """A registry that every image goes to."""

    host: str = Field(description="Host name, with a port where needed.")
    namespace: str | None = Field(None, description="What stands between host and repository; may contain /.")


class RegistryPart(GlobalRegistryPart):
    """A registry of one image or version."""

    repository: str | None = Field(None, description="The repository's name in place of the image's name.")


class TagPatternPart(Part):
    """Patterns for the part of a tag after the colon, and when they apply."""

    patterns: tuple[TagPatternText, ...] = Field(description="Text with {{ Version }}, {{ OS }}, {{ Variant }}, …")
    only: tuple[Literal["all", "latest", "primaryOS", "primaryVariant", "latestPatch", "channelLatest"], ...] = Field(
        ("all",), description="All of these must hold."
    )


class SystemPart(Part):
    """An operating system that a version is built on."""

    name: str = Field(description="Such as `Ubuntu 24.04`.")
    primary: bool = Field(False, description="Whether tags without a system's name mean this one.")
    platforms: tuple[Literal["linux/amd64", "linux/arm64"], ...] = Field(
        ("linux/amd64",), min_length=1, description="What is built."
    )
    extension: Extension = Field("", description="Ending of the Containerfile; made from the name by default.")
    tag_display_name: TagName = Field("", description="{{ OS }} in tags; made from the name by default.")
    artifact_download_url: DownloadUrl = Field(
        None, alias="artifactDownloadURL", description="Image.DownloadURL in templates."
    )


class VariantPart(Part):
    """A variant: the same versions built in another way."""

    name: str = Field(description="Such as `Standard`.")
    primary: bool = Field(False, description="Whether tags without a variant's name mean this one.")
    extension: Extension = Field("", description="Ending of the Containerfile; made from the name by default.")
    tag_display_name: TagName = Field("", description="{{ Variant }} in tags; made from the name by default.")
    options: tuple[dict[str, Any], ...] = Field((), description="Options of tools for this variant.")
    tag_patterns: tuple[TagPatternPart, ...] = Field((), description="Added to those of the image.")


class PinnedPart(Strict):
    """A dependency at fixed versions."""

    dependency: DependencyName
    version: Versions = Field(_NO_ENTRIES, description="One version, or several with commas.")
    versions: Versions = Field(_NO_ENTRIES, description="The same as a list.")
    prerelease: bool = Field(False, description="quarto and positron only.")


class ConstraintPart(Part):
    """Which published versions of a dependency are wanted."""

    latest: bool | None = Field(None, description="Start at the newest.")
    count: Annotated[int, Field(gt=0)] | None = Field(None, description="How many minor lines.")
    max: Bound | None = Field(None, description="Upper bound, inclusive.")
    min: Bound | None = Field(None, description="Lower bound, inclusive.")


class ConstrainedPart(Strict):
    """A dependency whose versions are looked up."""

    dependency: DependencyName
    constraint: ConstraintPart
    prerelease: bool = Field(False, description="quarto and positron only.")


class VersionPart(Part):
    """A version of an image."""

    name: str = Field(description="Any text, such as 2026.03.1.")
    subpath: FilledText = Field("", description="Its directory under the image's; made from the name by default.")
    latest: bool = Field(False, description="Whether `latest` means this version.")
    os: tuple[SystemPart, ...] = Field((), description="The systems it is built on.")
    dependencies: tuple[PinnedPart, ...] = Field((), description="For labels and templates.")
    values: dict[str, str] = Field({}, description="For templates.")
    extra_registries: tuple[RegistryPart, ...] = Field((), description="Besides the image's registries.")
    override_registries: tuple[RegistryPart, ...] = Field((), description="In place of the image's registries.")
    build_target: str | None = Field(None, description="The stage to build.")


class MatrixPart(Part):
    """One version per combination of dependency versions and values."""

    name_pattern: str | None = Field(None, description="Jinja2 text that names a row.")
    subpath: FilledText = Field("matrix", description="The directory that all rows share.")
    os: tuple[SystemPart, ...] = Field((), description="The systems they are built on.")
    dependencies: tuple[PinnedPart, ...] = Field((), description="Axes of fixed versions.")
    dependency_constraints: tuple[ConstrainedPart, ...] = Field((), description="Axes of versions that are looked up.")
    values: dict[str, Axis] = Field({}, description="A list is an axis; a text is a constant.")
    extra_registries: tuple[RegistryPart, ...] = Field((), description="Besides the image's registries.")
    override_registries: tuple[RegistryPart, ...] = Field((), description="In place of the image's registries.")
    build_target: str | None = Field(None, description="The stage to build.")


class DevPart(Part):
    """What every development version has."""

    os: tuple[SystemPart, ...] = Field((), description="The systems it is built on.")
    values: dict[str, str] = Field({}, description="For templates.")
    extra_registries: tuple[RegistryPart, ...] = Field((), description="Besides the image's registries.")
    override_registries: tuple[RegistryPart, ...] = Field((), description="In place of the image's registries.")


class ChannelPart(DevPart):
    """A development version found on a product's channel."""

    source_type: Literal["channel", "stream"] = Field(description="Where the version comes from.")
    product: Literal["connect", "package-manager", "workbench", "workbench-session"]
    channel: Literal["release", "preview", "daily"] | None = Field(None, description="Which builds of the product.")
    stream: Literal["release", "preview", "daily"] | None = Field(
        None, description="The old name of `channel`.", deprecated=True
    )


class NewestPart(DevPart):
    """A development version that is the newest version of a dependency."""

    source_type: Literal["dependency"] = Field(description="Where the version comes from.")
    dependency: DependencyName
    prerelease: bool = Field(False, description="Whether builds before a release count.")
    channel: Literal["preview", "daily"] | None = Field(None, description="The channel that tags name.")


def _dev_kind(value: Any) -> str | None:
    kind = value.get("sourceType") if isinstance(value, dict) else getattr(value, "source_type", None)
    kinds = {"channel": "<channel>", "stream": "<channel>", "dependency": "<dependency>"}
    return kinds.get(kind) if isinstance(kind, str) else None


DevVersionPart = Annotated[
    Annotated[ChannelPart, Tag("<channel>")] | Annotated[NewestPart, Tag("<dependency>")], Discriminator(_dev_kind)
]


class SecretPart(Part):
    """A secret for the build, read from an environment variable."""

    id: SecretId
    env_var: EnvironmentName


class ImagePart(Part):
    """An image: what is built, from which versions, and where it goes."""

    name: str = Field(description="The repository's name in tags.")
    display_name: str = Field("", description="For labels; made from the name by default.")
    description: str | None = Field(None, description="Label org.opencontainers.image.description.")
    documentation_url: HttpUrl | None = Field(None, description="Label org.opencontainers.image.documentation.")
    subpath: FilledText = Field("", description="Its directory; made from the name by default.")
    versions: tuple[VersionPart, ...] = ()
    variants: tuple[VariantPart, ...] = ()
    dependency_constraints: tuple[ConstrainedPart, ...] = Field(
        (), description="For `create version` and development versions."
    )
    dev_versions: tuple[DevVersionPart, ...] = Field((), description="Versions found when a command runs.")
    matrix: MatrixPart | None = None
    extra_registries: tuple[RegistryPart, ...] = Field((), description="Besides the project's registries.")
    override_registries: tuple[RegistryPart, ...] = Field((), description="In place of the project's registries.")
    build_secrets: tuple[SecretPart, ...] = ()
    options: tuple[dict[str, Any], ...] = Field((), description="Options of tools.")
    tag_patterns: tuple[TagPatternPart, ...] = Field((), description="In place of the default set; [] means no tags.")
    build_target: str | None = Field(None, description="The stage to build.")


class ProjectPart(Part):
    """bakery.yaml."""

    repository: RepositoryPart
    registries: tuple[GlobalRegistryPart, ...] = Field((), description="Where every image goes.")
    images: tuple[ImagePart, ...] = ()
