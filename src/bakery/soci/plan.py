"""Plan the conversion of an image: which layers to index, and what to do with every entry of its index. Pure.

The caller fetches what `missing_documents` returns until it returns nothing, then calls `plan_conversion`. After the
layers are indexed, convert.py builds the result. The rules are in soci.md, "Conversion", 1 to 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from bakery.errors import BadDocument, BakeryError, NothingSelected
from bakery.oci import manifest as oci
from bakery.oci import media_type as mt
from bakery.oci.canonical import parse_object
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import Index, Manifest
from bakery.oci.platform import Platform
from bakery.soci import media
from bakery.soci.options import SociSettings
from bakery.text import plural

Documents = Mapping[Digest, bytes | None]
"""Manifests, indexes and configs by digest. None: known to be missing, and left out."""

MAX_CONFIG_BYTES: Final = 16 * 1024 * 1024


class EntryKind(Enum):
    """How an entry of the index is treated."""

    KEPT = "kept"  # bytes and descriptor unchanged, but an attestation's link is updated
    IMAGE = "image"  # rewritten as an OCI manifest
    SOCI = "soci"  # a SOCI index of the input
    MISSING = "missing"  # its content is missing: left out


class IndexEntry(Struct, frozen=True):
    """One entry of the index (or the single manifest), and how it is treated."""

    descriptor: Descriptor
    kind: EntryKind
    manifest: Manifest | None = None
    platform: Platform | None = None  # of an image: from the descriptor, or else from the config


class ImageToIndex(Struct, frozen=True):
    """An image that gets a SOCI index: the number of its entry, and its platform as written in the new index."""

    entry: int
    platform: Platform


class LayerWork(Struct, frozen=True):
    """A layer to index. One per digest, even if several images have it."""

    descriptor: Descriptor
    compression: str


class ConversionPlan(Struct, frozen=True):
    """Everything that is decided before a layer is read.

    root and raw: the input. index: the parsed input, or None if it is a single manifest. images: those to index, in
    order. layers: those to index, each once. notes: messages for the user.
    """

    settings: SociSettings
    root: Descriptor
    raw: bytes
    index: Index | None
    entries: tuple[IndexEntry, ...]
    images: tuple[ImageToIndex, ...]
    layers: tuple[LayerWork, ...]
    notes: tuple[str, ...]


def missing_documents(root: Descriptor, documents: Documents) -> tuple[Descriptor, ...]:
    """Return the documents to fetch before `plan_conversion`. Call it again after every fetch, until it is empty.

    Entries that are not manifests are not included; if one of them is known to be missing, pass it as None.
    """
    raw = _have(documents, root)
    if raw is None:
        return (root,)
    top = oci.parse(raw, media_type=root.media_type, about=root.digest)
    if isinstance(top, Manifest):
        return () if not _is_image(top) or top.config.digest in documents else (top.config,)
    wanted: dict[Digest, Descriptor] = {}
    for entry in top.manifests:
        if entry.media_type not in mt.ALL_MANIFESTS:
            continue
        if entry.digest not in documents:
            wanted.setdefault(entry.digest, entry)
        elif entry.platform is None and mt.is_manifest(entry.media_type) and not media.is_soci_index(entry):
            content = documents[entry.digest]
            child = None if content is None else oci.parse(content, media_type=entry.media_type, about=entry.digest)
            if isinstance(child, Manifest) and _is_image(child) and child.config.digest not in documents:
                wanted.setdefault(child.config.digest, child.config)
    return tuple(wanted.values())


def plan_conversion(root: Descriptor, documents: Documents, settings: SociSettings) -> ConversionPlan:
    """Return the plan for this image. Raises BadDocument, and NothingSelected if a wanted platform is missing."""
    raw = _have(documents, root)
    if raw is None:
        raise BadDocument("cannot convert to SOCI", about=root.digest, why="the image is missing")
    top = oci.parse(raw, media_type=root.media_type, about=root.digest)
    index = top if isinstance(top, Index) else None
    notes: list[str] = []
    if isinstance(top, Manifest):
        entries = [_image_entry(root, top, documents, notes)]
    else:
        entries = [_entry(descriptor, documents, notes) for descriptor in top.manifests]
    images = _chosen(entries, settings.platforms, root)
    layers: dict[Digest, LayerWork] = {}
    for image in images:
        manifest = entries[image.entry].manifest
        large = [one for one in manifest.layers if one.size >= settings.min_layer_size] if manifest else []
        for layer in large:
            if compression := media.compression(layer.media_type):
                layers.setdefault(layer.digest, LayerWork(layer, compression))
        notes += _zstd_notes(large, image.platform)
    return ConversionPlan(
        settings, root, raw, index, tuple(entries), tuple(images), tuple(layers.values()), tuple(notes)
    )


def _zstd_notes(layers: list[Descriptor], platform: Platform) -> list[str]:
    """Return a note if layers are compressed with zstd: it has no checkpoints that a ztoc could list."""
    count = sum(media.is_zstd(layer.media_type) for layer in layers)
    if not count:
        return []
    shared = f"{count} of {plural(len(layers), 'layer')} for {platform} {'is' if count == 1 else 'are'} compressed"
    return [f"{shared} with zstd and cannot be indexed: nodes pull them whole; build with compression=gzip instead"]


def _have(documents: Documents, descriptor: Descriptor) -> bytes | None:
    return documents.get(descriptor.digest)


def _is_image(manifest: Manifest) -> bool:
    return all(media.is_layer(layer.media_type) for layer in manifest.layers)


def _entry(descriptor: Descriptor, documents: Documents, notes: list[str]) -> IndexEntry:
    if descriptor.digest in documents and documents[descriptor.digest] is None:
        notes.append(f"{_named(descriptor)} is missing: its entry is removed from the index")
        return IndexEntry(descriptor, EntryKind.MISSING)
    if media.is_soci_index(descriptor):
        return IndexEntry(descriptor, EntryKind.SOCI)
    unknown = descriptor.platform is not None and descriptor.platform.is_unknown
    if not mt.is_manifest(descriptor.media_type) or unknown or oci.is_attestation(descriptor):
        return IndexEntry(descriptor, EntryKind.KEPT)
    content = documents.get(descriptor.digest)
    if content is None:
        raise ValueError(f"{descriptor.digest} was not fetched: see missing_documents")
    manifest = oci.parse(content, media_type=descriptor.media_type, about=descriptor.digest)
    if not isinstance(manifest, Manifest):
        raise BadDocument("cannot convert to SOCI", about=descriptor.digest, why="expected an image, got an index")
    return _image_entry(descriptor, manifest, documents, notes)


def _image_entry(descriptor: Descriptor, manifest: Manifest, documents: Documents, notes: list[str]) -> IndexEntry:
    if not _is_image(manifest):
        notes.append(f"{_named(descriptor)} is not a container image: it is left unchanged")
        return IndexEntry(descriptor, EntryKind.KEPT, manifest)
    platform = descriptor.platform or _config_platform(manifest, documents)
    if platform is None:
        notes.append(f"{_named(descriptor)} has no platform: it gets no SOCI index")
    return IndexEntry(descriptor, EntryKind.IMAGE, manifest, platform)


def _config_platform(manifest: Manifest, documents: Documents) -> Platform | None:
    """The platform that the image config states, in its one spelling."""
    raw = documents.get(manifest.config.digest)
    if raw is None:
        return None
    try:
        found = Platform.from_json(parse_object(raw, about=manifest.config.digest, limit_bytes=MAX_CONFIG_BYTES))
    except BakeryError:
        return None  # the config of an artifact may be anything
    if not found.os or not found.architecture:
        return None
    return replace(found.normalised(), os_version=found.os_version)


def _chosen(entries: list[IndexEntry], wanted: tuple[Platform, ...], root: Descriptor) -> list[ImageToIndex]:
    """Return the images to index: the first of each platform, in the order of the index or of `wanted`."""
    images: list[tuple[int, Platform]] = [
        (number, entry.platform)
        for number, entry in enumerate(entries)
        if entry.kind is EntryKind.IMAGE and entry.platform is not None and not entry.platform.is_unknown
    ]
    if not wanted:
        first: list[ImageToIndex] = []
        builds: dict[Platform, set[str]] = {}  # Windows builds so far, by platform without version
        for number, platform in images:
            key, build = _key(platform), _windows_build(platform)
            known = builds.setdefault(key, set())
            # A Windows image without a version matches every image with one, and vice versa.
            if not known or not (build in known or not build or "" in known):
                known.add(build)
                first.append(ImageToIndex(number, platform))
        return first
    chosen: dict[int, ImageToIndex] = {}
    for platform in wanted:
        # Images without OS features first: a wanted platform cannot name features, so those are meant.
        matching = [(bool(p.os_features), n) for n, p in images if _matches(platform.normalised(), p.normalised())]
        if not matching:
            found = ", ".join(str(p) for _, p in images) or "none"
            raise NothingSelected(
                "cannot convert to SOCI",
                about=root.digest,
                why=f"the image has no manifest for {platform} (platforms: {found})",
            )
        chosen.setdefault(min(matching)[1], ImageToIndex(min(matching)[1], _spelled(platform)))
    return list(chosen.values())


def _key(platform: Platform) -> Platform:
    return replace(platform.normalised(), os_version="")


def _windows_build(platform: Platform) -> str:
    """Return `10.0.17763` of `10.0.17763.6189`: Windows hosts need the same build, but not the same revision."""
    return ".".join(platform.normalised().os_version.split(".")[:3])


def _spelled(wanted: Platform) -> Platform:
    """Return a wanted platform as the real tool writes it: aliases resolved, no variant added."""
    spelled = wanted.normalised()
    if not wanted.variant and (spelled.architecture, spelled.variant) == ("arm", "v7"):
        return replace(spelled, variant="")
    if wanted.variant and (spelled.architecture, spelled.variant) == ("arm64", ""):
        return replace(spelled, variant="v8")
    return spelled


def _matches(wanted: Platform, found: Platform) -> bool:
    same = (wanted.os, wanted.architecture, wanted.variant) == (found.os, found.architecture, found.variant)
    return same and wanted.os_version in ("", found.os_version)


def _named(descriptor: Descriptor) -> str:
    where = f" ({descriptor.platform})" if descriptor.platform else ""
    return f"manifest {descriptor.digest}{where}"
