"""Manifests and indexes as views of bytes. The bytes are the truth; a view is derived and never written back.

Source: OCI image-spec 1.1, manifest.md and image-index.md; ambiguity: GHSA-77vh-xpmg-72qh (registry.md 7, row 12).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

from msgspec import Struct, field

from bakery.errors import BadDocument
from bakery.oci import media_type as mt
from bakery.oci.canonical import MAX_MANIFEST_BYTES, parse_object
from bakery.oci.descriptor import Descriptor
from bakery.values import repr_without

ATTESTATION_TYPE: Final = "vnd.docker.reference.type"
ATTESTATION_OF: Final = "vnd.docker.reference.digest"
MAX_ENTRIES: Final = 10_000  # layers of a manifest, manifests of an index; 4 MiB hold more only when hostile


class RawManifest(Struct, frozen=True):
    """A manifest or index: its exact bytes, and the descriptor that names them. The bytes are never re-encoded."""

    descriptor: Descriptor
    raw: bytes

    __repr__ = repr_without("raw")

    @classmethod
    def of(cls, raw: bytes, media_type: str) -> Self:
        """Return these bytes with their descriptor."""
        return cls(Descriptor.of(raw, media_type), raw)


class Manifest(Struct, frozen=True):
    """One image (or artifact): config and layers. `document` is the whole JSON, unknown members included."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    subject: Descriptor | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)

    __repr__ = repr_without("document")

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Config and layers: what must be readable before this manifest is put."""
        return (self.config, *self.layers)


class Index(Struct, frozen=True):
    """A list of manifests, usually one a platform. `document` is the whole JSON, unknown members included."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    subject: Descriptor | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)

    __repr__ = repr_without("document")


def is_attestation(entry: Descriptor) -> bool:
    """Whether an index entry is a BuildKit attestation manifest, which describes another entry."""
    return entry.annotations.get(ATTESTATION_TYPE) == "attestation-manifest"


def sniff_media_type(document: Mapping[str, Any], content_type: str = "") -> str:
    """The media type of a manifest: what the body says, else the Content-Type, else what its members show."""
    stated = document.get("mediaType")
    if isinstance(stated, str) and stated:
        return stated
    if mt.essence(content_type) in mt.ALL_MANIFESTS:
        return mt.essence(content_type)
    return mt.OCI_INDEX if "manifests" in document else mt.OCI_MANIFEST


def parse(raw: bytes, *, media_type: str = "", about: object = "") -> Manifest | Index:
    """The view of these bytes.

    media_type: what the descriptor or the Content-Type says, "" where nothing does. Raises BadDocument where the
    body contradicts it, could be read both as manifest and as index, or is malformed or larger than 4 MiB.
    """

    def refuse(answer: str) -> BadDocument:
        return BadDocument("reading a manifest", about=about, why=answer)

    document = parse_object(raw, about=about, limit_bytes=MAX_MANIFEST_BYTES)
    found = sniff_media_type(document, media_type)
    expected = mt.essence(media_type)
    if expected in mt.ALL_MANIFESTS and found != expected:
        raise refuse(f"the body says {found!r:.100}, its descriptor or Content-Type says {expected!r}")
    if found not in mt.ALL_MANIFESTS:
        hint = " (schema 1 is not supported: build the image anew)" if document.get("schemaVersion") == 1 else ""
        raise refuse(f"media type {found!r:.100} is no manifest{hint}")
    if document.get("schemaVersion") != 2:
        raise refuse(f"schemaVersion must be 2, found {document.get('schemaVersion')!r:.20}")
    has_list, has_image = "manifests" in document, bool({"config", "layers", "fsLayers"} & document.keys())
    if has_list and has_image:
        raise refuse("it has the members of an index and of an image: ambiguous")
    if mt.is_index(found) != has_list:
        raise refuse(f"media type {found} does not fit its members")

    def descriptors(member: str) -> tuple[Descriptor, ...]:
        items = document.get(member)
        if not isinstance(items, list):
            raise refuse(f"{member} must be a list")
        if len(items) > MAX_ENTRIES:
            raise refuse(f"{member} has {len(items)} entries, more than the {MAX_ENTRIES} allowed")
        return tuple(Descriptor.from_json(item, about=f"{about} {member}[{n}]".strip()) for n, item in enumerate(items))

    annotations = document.get("annotations") or {}
    if not isinstance(annotations, Mapping) or not all(isinstance(text, str) for text in annotations.values()):
        raise refuse("annotations must map text to text")
    subject_value = document.get("subject")
    subject = None if subject_value is None else Descriptor.from_json(subject_value, about=f"{about} subject".strip())
    artifact_type = document.get("artifactType", "")
    if not isinstance(artifact_type, str):
        raise refuse("artifactType must be text")
    if has_list:
        return Index(found, descriptors("manifests"), subject, annotations, artifact_type, document)
    config = Descriptor.from_json(document.get("config"), about=f"{about} config".strip())
    return Manifest(found, config, descriptors("layers"), subject, annotations, artifact_type, document)
