"""Manifests and indexes as views of their bytes. A view is derived from the bytes and never written back.

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
_SCHEMA_1: Final = frozenset({"fsLayers", "history", "signatures"})
MAX_ENTRIES: Final = 10_000  # layers of a manifest, manifests of an index; only hostile documents have more in 4 MiB


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
    """One image (or artifact): config and layers. document: the whole JSON, unknown members included."""

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
        """Config and layers: they must be readable before this manifest is pushed."""
        return (self.config, *self.layers)


class Index(Struct, frozen=True):
    """A list of manifests, usually one per platform. document: the whole JSON, unknown members included."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    subject: Descriptor | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)

    __repr__ = repr_without("document")


def is_attestation(entry: Descriptor) -> bool:
    """Return whether an index entry is an attestation manifest of BuildKit, which describes another entry."""
    return entry.annotations.get(ATTESTATION_TYPE) == "attestation-manifest"


def sniff_media_type(document: Mapping[str, Any], content_type: str = "") -> str:
    """Return the media type of a manifest: from the body, else the Content-Type, else by its members."""
    stated = document.get("mediaType")
    if isinstance(stated, str) and stated:
        return stated
    if mt.essence(content_type) in mt.ALL_MANIFESTS:
        return mt.essence(content_type)
    return mt.OCI_INDEX if "manifests" in document else mt.OCI_MANIFEST


def parse(raw: bytes, *, media_type: str = "", about: object = "") -> Manifest | Index:
    """Return the view of these bytes.

    media_type: from the descriptor or the Content-Type, "" if unknown. Raises BadDocument if the body contradicts it,
    could be read both as a manifest and as an index, is malformed, or is larger than 4 MiB.
    """

    def invalid(why: str) -> BadDocument:
        return _invalid(why, about)

    document = parse_object(raw, about=about, limit_bytes=MAX_MANIFEST_BYTES)
    found = _unambiguous_type(document, mt.essence(media_type), about)

    def descriptors(member: str) -> tuple[Descriptor, ...]:
        items = document.get(member)
        if not isinstance(items, list):
            raise invalid(f"{member} must be a list")
        if len(items) > MAX_ENTRIES:
            raise invalid(f"{member} has {len(items)} entries, more than the {MAX_ENTRIES} allowed")
        return tuple(Descriptor.from_json(item, about=f"{about} {member}[{n}]".strip()) for n, item in enumerate(items))

    annotations = document.get("annotations") or {}
    if not isinstance(annotations, Mapping) or not all(isinstance(text, str) for text in annotations.values()):
        raise invalid("annotations must be an object of strings")
    subject_value = document.get("subject")
    subject = None if subject_value is None else Descriptor.from_json(subject_value, about=f"{about} subject".strip())
    artifact_type = document.get("artifactType", "")
    if not isinstance(artifact_type, str):
        raise invalid("artifactType must be a string")
    if mt.is_index(found):
        return Index(found, descriptors("manifests"), subject, annotations, artifact_type, document)
    config = Descriptor.from_json(document.get("config"), about=f"{about} config".strip())
    layers = descriptors("layers")
    for blob in (config, *layers):
        if mt.essence(blob.media_type) in mt.ALL_MANIFESTS:
            raise invalid(f"it names a manifest as a blob: {blob.digest} with media type {blob.media_type!r:.100}")
    return Manifest(found, config, layers, subject, annotations, artifact_type, document)


def _unambiguous_type(document: Mapping[str, Any], expected: str, about: object) -> str:
    """Return the media type of a document that can be read in one way only. expected: from elsewhere, or ""."""

    def invalid(why: str) -> BadDocument:
        return _invalid(why, about)

    stated = document.get("mediaType", "")
    if not isinstance(stated, str):
        raise invalid(f"mediaType must be a string, got {stated!r:.100}")
    found = sniff_media_type(document, expected)
    if expected in mt.ALL_MANIFESTS and found != expected:
        raise invalid(f"its media type is {found!r:.100}, but its descriptor or Content-Type says {expected!r}")
    if found not in mt.ALL_MANIFESTS:
        hint = " (schema 1 is not supported: rebuild the image)" if document.get("schemaVersion") == 1 else ""
        raise invalid(f"{found!r:.100} is not the media type of a manifest{hint}")
    if document.get("schemaVersion") != 2:
        raise invalid(f"schemaVersion must be 2, got {document.get('schemaVersion')!r:.20}")
    has_list, has_image = "manifests" in document, bool({"config", "layers"} & document.keys())
    if has_list and has_image:
        raise invalid("it is ambiguous: it has the members of an index and of an image")
    if older := sorted(_SCHEMA_1 & document.keys()):
        raise invalid(f"it is ambiguous: it also has {', '.join(older)} of schema 1")
    if mt.is_index(found) != has_list:
        raise invalid(f"media type {found} does not fit its members")
    return found


def _invalid(why: str, about: object) -> BadDocument:
    return BadDocument("invalid manifest", about=about, why=why)
