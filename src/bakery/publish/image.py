"""An assembled image: its index, its children as bytes, and where their blobs are. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct, field

from bakery.errors import NotFound
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import Manifest, RawManifest, is_attestation
from bakery.oci.platform import Platform
from bakery.oci.reference import SourcePlace
from bakery.values import repr_without


class ConfigFacts(Struct, frozen=True):
    """What an image config says about its image. A config of another kind says nothing. version: its label, or ""."""

    platform: Platform | None = None
    created: datetime | None = None
    version: str = ""


def deleted(error: NotFound, named_by: str) -> NotFound:
    """Return the error for content that does not appear although something names it. named_by: what does."""
    return NotFound(
        error.what,
        about=error.about,
        status=error.status,
        code=error.code,
        why=f"{error.why}; {named_by} names it, so it was probably deleted",
        hint="build and push the image again, and check whether a clean-up deletes untagged images",
        error_code="publish/source-missing",
    )


class Child(Struct, frozen=True):
    """One manifest of an image's index: its bytes, its view, and the place from which its blobs can be read."""

    content: RawManifest
    manifest: Manifest
    origin: SourcePlace
    config: ConfigFacts = ConfigFacts()  # a frozen value

    @property
    def descriptor(self) -> Descriptor:
        """The entry of the index: with platform and annotations."""
        return self.content.descriptor

    @property
    def is_image(self) -> bool:
        """Whether it runs on a platform. An attestation, a signature bundle or a SOCI index does not."""
        descriptor, platform = self.content.descriptor, self.content.descriptor.platform
        if is_attestation(descriptor) or (platform is not None and platform.is_unknown):
            return False
        if self.manifest.config.media_type in mt.IMAGE_CONFIGS:
            return True
        return platform is not None and not (descriptor.artifact_type or self.manifest.artifact_type)


class AssembledImage(Struct, frozen=True):
    """What is published under the tags of a target.

    index: what the tags will name; of a single image that is published as it is, its manifest. nested: indexes between
    the index and its children, innermost first; only an index whose bytes are kept has them.
    made: blobs that are in no registry yet, because this run made them (ztocs, empty configs), by digest.
    notes: what the user should know, such as "nothing to index".
    """

    index: RawManifest
    children: tuple[Child, ...]
    made: Mapping[Digest, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    nested: tuple[RawManifest, ...] = ()

    __repr__ = repr_without("made")

    @property
    def digest(self) -> Digest:
        """The digest that every tag will name."""
        return self.index.descriptor.digest

    @property
    def is_single(self) -> bool:
        """Whether the tags name the manifest of an image itself, not an index."""
        return any(child.descriptor.digest == self.digest for child in self.children)

    @property
    def blobs(self) -> tuple[tuple[Descriptor, SourcePlace], ...]:
        """Every blob that is somewhere already, each once, with its place."""
        found = {blob.digest: (blob, child.origin) for child in self.children for blob in child.manifest.blobs}
        return tuple(found.values())


class Lacking(Struct, frozen=True):
    """What a repository does not have of an image: blobs, and how many manifests."""

    blobs: tuple[Descriptor, ...] = ()
    manifests: int = 0
