"""Build the converted image: ztoc descriptors, SOCI indexes, rewritten manifests, the new index. Pure.

The result has the bytes of the real tool's, except where that is not sound: see soci.md, "Conversion" 5.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct, field

from bakery.errors import BakeryError
from bakery.oci import canonical
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.index import encode_index
from bakery.oci.manifest import ATTESTATION_OF, Manifest, RawManifest
from bakery.oci.platform import Platform
from bakery.soci import media
from bakery.soci.failure import LayerUnsupported
from bakery.soci.index import LayerIndex, merge_spans
from bakery.soci.options import SociSettings
from bakery.soci.plan import ConversionPlan, EntryKind, IndexEntry
from bakery.values import repr_without

_EMPTY: Final = b"{}"
_PREFETCH_VERSION: Final = "1.0"

LayerResults = Mapping[Digest, LayerIndex | BakeryError]
"""The index of each layer of the plan, or its error. After LayerUnsupported it gets no ztoc; others are raised."""


class MadeBlob(NamedTuple):
    """A blob that the conversion created, such as a ztoc, with its descriptor."""

    descriptor: Descriptor
    raw: bytes


class Converted(Struct, frozen=True):
    """The result. Upload `blobs`, then `soci_indexes` and `manifests`, then `root`.

    changed: False if nothing could be indexed; then `root` is the input and the rest is empty. manifests: the rewritten
    ones. kept: entries whose content is unchanged. notes: messages for the user.
    """

    changed: bool
    root: RawManifest
    manifests: tuple[RawManifest, ...] = ()
    soci_indexes: tuple[RawManifest, ...] = ()
    blobs: tuple[MadeBlob, ...] = field(default=())
    kept: tuple[Descriptor, ...] = ()
    notes: tuple[str, ...] = ()

    __repr__ = repr_without("blobs")

    @property
    def contents(self) -> dict[Descriptor, bytes]:
        """Return all contents with their bytes, in the order of upload."""
        found = {blob.descriptor: blob.raw for blob in self.blobs}
        return found | {one.descriptor: one.raw for one in (*self.soci_indexes, *self.manifests, self.root)}


class _SociIndex(Struct, frozen=True):
    content: RawManifest
    blobs: tuple[MadeBlob, ...]


def convert(plan: ConversionPlan, results: LayerResults) -> Converted:
    """Return the converted image. Raises the first error among `results` that is not LayerUnsupported."""
    notes = list(plan.notes)
    for work in plan.layers:
        found = results[work.descriptor.digest]
        if isinstance(found, LayerUnsupported):
            notes.append(f"layer {work.descriptor.digest} gets no ztoc: {found.why}")
        elif isinstance(found, BakeryError):
            raise found
    made: dict[int, _SociIndex] = {}
    for image in plan.images:
        manifest = plan.entries[image.entry].manifest
        built = None if manifest is None else _soci_index(manifest, plan, results, notes, str(image.platform))
        if built is not None:
            made[image.entry] = built
    if not made:
        notes.append("no layer of this image can be indexed: it is left unchanged")
        return Converted(False, RawManifest(plan.root, plan.raw), notes=tuple(notes))
    return _assemble(plan, made, notes)


def _assemble(plan: ConversionPlan, made: Mapping[int, _SociIndex], notes: list[str]) -> Converted:
    manifests: dict[Digest, RawManifest] = {}
    kept: dict[Digest, Descriptor] = {}
    descriptors: dict[int, dict[str, Any]] = {}  # by entry; missing ones are left out
    moved: dict[str, str] = {}  # digest of an image before and after; if it occurs twice, the one with a SOCI index
    replaced = _replaced(plan)
    removed = {str(plan.entries[old].descriptor.digest) for image, old in replaced.items() if image not in made}
    for number, entry in enumerate(plan.entries):
        if entry.kind is not EntryKind.IMAGE:
            continue
        content, members = _rewritten(plan, number, made.get(number), removed)
        descriptors[number] = members
        before = str(entry.descriptor.digest)
        if number in made or before not in moved:
            moved[before] = str(content.descriptor.digest)
        if content.descriptor.digest == entry.descriptor.digest:
            kept[content.descriptor.digest] = content.descriptor
        else:
            manifests[content.descriptor.digest] = content
    for number, entry in enumerate(plan.entries):
        if entry.kind is EntryKind.KEPT:
            descriptors[number] = _relinked(_members(plan, number), moved)
            kept[entry.descriptor.digest] = entry.descriptor
    listed = _with_soci_indexes(plan, made, descriptors, replaced, kept)
    root = encode_index(listed, plan.index.document if plan.index else {})
    blobs = {content.descriptor.digest: content for built in made.values() for content in built.blobs}
    soci = {built.content.descriptor.digest: built.content for built in made.values()}
    return Converted(
        True,
        root,
        tuple(manifests.values()),
        tuple(soci.values()),
        tuple(blobs.values()),
        tuple(kept.values()),
        tuple(notes),
    )


def _members(plan: ConversionPlan, number: int) -> dict[str, Any]:
    """Return the JSON of an entry's descriptor, including unknown members."""
    if plan.index is not None:
        return dict(plan.index.document["manifests"][number])
    # A single manifest becomes the only entry of a new index, without the annotations that index.json had for it.
    platform = plan.entries[number].platform
    return {"platform": platform.to_json()} if platform else {}


def _rewritten(
    plan: ConversionPlan, number: int, built: _SociIndex | None, removed: Collection[str]
) -> tuple[RawManifest, dict[str, Any]]:
    """Return an image's manifest as an OCI manifest, and its descriptor."""
    entry = plan.entries[number]
    if entry.manifest is None:
        raise ValueError("an image entry has its manifest")
    document = dict(entry.manifest.document)
    document["mediaType"] = mt.OCI_MANIFEST
    document["config"] = dict(document["config"]) | {"mediaType": mt.OCI_CONFIG}
    annotations = dict(entry.manifest.annotations)
    if built is not None:
        annotations[media.INDEX_DIGEST] = str(built.content.descriptor.digest)
    elif annotations.get(media.INDEX_DIGEST) in removed:
        del annotations[media.INDEX_DIGEST]
    document["annotations"] = annotations
    raw = canonical.encode(document, canonical.MANIFEST)
    descriptor = Descriptor.of(raw, mt.OCI_MANIFEST)
    members = _members(plan, number) | {
        "mediaType": mt.OCI_MANIFEST,
        "digest": str(descriptor.digest),
        "size": descriptor.size,
        "annotations": annotations,
    }
    if descriptor.digest != entry.descriptor.digest:
        # With inline data of the old manifest under the new digest, every reader would reject the index.
        members.pop("data", None)
    return RawManifest(descriptor, raw), members


def _relinked(members: dict[str, Any], moved: Mapping[str, str]) -> dict[str, Any]:
    """Return an attestation's descriptor, which refers to the new manifest of its image."""
    annotations = members.get("annotations") or {}
    target = moved.get(annotations.get(ATTESTATION_OF, ""))
    if target is not None:
        members["annotations"] = annotations | {ATTESTATION_OF: target}
    return members


def _with_soci_indexes(
    plan: ConversionPlan,
    made: Mapping[int, _SociIndex],
    descriptors: Mapping[int, dict[str, Any]],
    replaced: Mapping[int, int],
    kept: dict[Digest, Descriptor],
) -> list[dict[str, Any]]:
    """Return the entries of the new index: a SOCI index replaces the image's previous one, or is appended."""
    places = dict(descriptors)
    appended: list[dict[str, Any]] = []
    for image in plan.images:
        before = replaced.get(image.entry)
        built = made.get(image.entry)
        if built is None:
            continue
        descriptor = built.content.descriptor
        found = None if plan.settings.platforms else _members(plan, image.entry).get("platform")
        members = {
            "mediaType": mt.OCI_MANIFEST,
            "digest": str(descriptor.digest),
            "size": descriptor.size,
            "annotations": {media.IMAGE_DIGEST: descriptors[image.entry]["digest"]},
            "platform": found or image.platform.to_json(),
            "artifactType": media.SOCI_INDEX,
        }
        if before is None:
            appended.append(members)
        else:
            places[before] = members
    others = {number for number, entry in enumerate(plan.entries) if entry.kind is EntryKind.SOCI} - set(
        replaced.values()
    )
    for number in others:
        # For a platform that is not wanted, or an image that is not in this index.
        places[number] = _members(plan, number)
        kept[plan.entries[number].descriptor.digest] = plan.entries[number].descriptor
    return [places[number] for number in sorted(places)] + appended


def _replaced(plan: ConversionPlan) -> dict[int, int]:
    """Return, for each image that is indexed now, the entry of its SOCI index in the input."""
    old = [number for number, entry in enumerate(plan.entries) if entry.kind is EntryKind.SOCI]
    found: dict[int, int] = {}
    for image in plan.images:
        before = next((number for number in old if _belongs(plan.entries[number], plan.entries[image.entry])), None)
        if before is not None:
            old.remove(before)
            found[image.entry] = before
    return found


def _belongs(old: IndexEntry, image: IndexEntry) -> bool:
    """Return whether this SOCI index of the input belongs to the image."""
    if old.descriptor.annotations.get(media.IMAGE_DIGEST) == str(image.descriptor.digest):
        return _same_platform(old.descriptor.platform, image.platform) or old.descriptor.platform is None
    return _same_platform(old.descriptor.platform, image.platform)


def _same_platform(one: Platform | None, other: Platform | None) -> bool:
    return one is not None and other is not None and one.normalised() == other.normalised()


def _soci_index(
    manifest: Manifest, plan: ConversionPlan, results: LayerResults, notes: list[str], named: str
) -> _SociIndex | None:
    """Return the SOCI index of one image, or None if none of its layers has a ztoc."""
    settings = plan.settings
    planned = {work.descriptor.digest for work in plan.layers}
    indexed: list[tuple[Descriptor, LayerIndex]] = []
    for layer in manifest.layers:
        found = results[layer.digest] if layer.digest in planned else None
        if isinstance(found, LayerIndex) and media.compression(layer.media_type) is not None:
            indexed.append((layer, found))
    if not indexed:
        return None
    empty = MadeBlob(Descriptor.of(_EMPTY, media.SOCI_INDEX), _EMPTY)
    layers = [_ztoc(layer, found, settings) for layer, found in indexed]
    layers += _prefetch(indexed, settings, notes, named)
    raw = canonical.encode(
        {
            "schemaVersion": 2,
            "mediaType": mt.OCI_MANIFEST,
            "config": empty.descriptor.to_json(),
            "layers": [content.descriptor.to_json() for content in layers],
            "annotations": {media.BUILD_TOOL: settings.build_tool_identifier},
        },
        canonical.MANIFEST,
    )
    return _SociIndex(RawManifest.of(raw, mt.OCI_MANIFEST), (empty, *layers))


def _ztoc(layer: Descriptor, found: LayerIndex, settings: SociSettings) -> MadeBlob:
    annotations = {
        media.LAYER_TYPE: layer.media_type,
        media.LAYER_DIGEST: str(layer.digest),
        media.SPAN_SIZE: str(found.span_size),
    }
    if settings.marks_xattrs and not found.has_xattrs:
        annotations[media.NO_XATTRS] = "true"
    return MadeBlob(Descriptor(media.ZTOC, found.digest, len(found.ztoc), annotations), found.ztoc)


def _prefetch(
    indexed: Sequence[tuple[Descriptor, LayerIndex]], settings: SociSettings, notes: list[str], named: str
) -> list[MadeBlob]:
    """Return the prefetch artifacts in layer order: the spans of the configured files, each in its topmost layer."""
    wanted = list(dict.fromkeys(clean_path(path) for path in settings.prefetch_files))
    spans: dict[Digest, list[tuple[int, int]]] = {}
    for layer, found in reversed(indexed):
        for path, span in found.spans_of(wanted).items():
            spans.setdefault(layer.digest, []).append(span)
            wanted.remove(path)
    notes += [f"the file to prefetch {path!r} is in no indexed layer of {named}" for path in wanted]
    artifacts: list[MadeBlob] = []
    for layer, _ in indexed:
        if layer.digest in spans:
            merged = [{"start_span": first, "end_span": last} for first, last in merge_spans(spans[layer.digest])]
            document = {"version": _PREFETCH_VERSION, "prefetch_spans": merged}
            raw = json.dumps(document, separators=(",", ":")).encode()
            descriptor = Descriptor.of(raw, media.PREFETCH)
            annotations = {media.LAYER_DIGEST: str(layer.digest)}
            artifacts.append(MadeBlob(Descriptor(media.PREFETCH, descriptor.digest, len(raw), annotations), raw))
    return artifacts


def clean_path(path: str) -> str:
    """Return a configured path as in a layer: without `.`, `..`, repeated or leading slashes, or outer spaces."""
    return posixpath.normpath("/" + path.strip()).lstrip("/")
