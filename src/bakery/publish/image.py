"""An assembled image: the index, its children as bytes, and where their blobs lie. Values only."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import Manifest, RawManifest, is_attestation
from bakery.oci.reference import Repository
from bakery.values import repr_without


class Child(Struct, frozen=True):
    """One manifest of an image's index, with its bytes, its view, and the repository where its blobs can be read."""

    content: RawManifest
    manifest: Manifest
    origin: Repository

    @property
    def descriptor(self) -> Descriptor:
        """As it stands in the index: with platform and annotations."""
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


class Image(Struct, frozen=True):
    """What is published under a target's tags.

    made: blobs that exist nowhere yet, because we made them (ztocs, empty configs), by digest.
    notes: what a reader should know, such as "nothing to index".
    """

    index: RawManifest
    children: tuple[Child, ...]
    made: Mapping[Digest, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    __repr__ = repr_without("made")

    @property
    def digest(self) -> Digest:
        """The digest that every tag will name."""
        return self.index.descriptor.digest

    @property
    def blobs(self) -> tuple[tuple[Descriptor, Repository], ...]:
        """Every blob that exists somewhere, each once, with where it lies."""
        found = {blob.digest: (blob, child.origin) for child in self.children for blob in child.manifest.blobs}
        return tuple(found.values())
