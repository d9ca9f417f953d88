"""Which layers of an image are to be indexed, and what becomes of every entry of its index. Pure.

The caller fetches: `missing_documents` says what is needed next, until nothing is; then `make_plan`. What is made of
the plan when the layers are indexed is in convert.py. The rules are soci.md, "Conversion", 1 to 5.
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

Documents = Mapping[Digest, bytes | None]
"""Manifests, indexes and configs by digest. None: it is known not to be there, and is left out."""

MAX_CONFIG_BYTES: Final = 16 * 1024 * 1024


class Fate(Enum):
    """What becomes of an entry of the index."""

    KEPT = "kept"  # bytes and descriptor as they are; an attestation's link may move
    IMAGE = "image"  # rewritten as an OCI manifest
    SOCI = "soci"  # a SOCI index that the input had
    GONE = "gone"  # names what is not there


class Entry(Struct, frozen=True):
    """One entry of the index (or the one manifest), and what becomes of it."""

    descriptor: Descriptor
    fate: Fate
    manifest: Manifest | None = None
    platform: Platform | None = None  # of an image: the descriptor's, else the config's


class Indexed(Struct, frozen=True):
    """An image that is to get a SOCI index: which entry, and the platform as it will be spelled beside it."""

    entry: int
    platform: Platform


class LayerWork(Struct, frozen=True):
    """A layer that is to be indexed. Once a digest, however many images have it."""

    descriptor: Descriptor
    compression: str


class Plan(Struct, frozen=True):
    """Everything that is known before a layer is read.

    root and raw: the input. index: its view, None where it is one manifest. images: what is to be indexed, in order.
    layers: the work, each once. notes: what a reader should know.
    """

    settings: SociSettings
    root: Descriptor
    raw: bytes
    index: Index | None
    entries: tuple[Entry, ...]
    images: tuple[Indexed, ...]
    layers: tuple[LayerWork, ...]
    notes: tuple[str, ...]


def missing_documents(root: Descriptor, documents: Documents) -> tuple[Descriptor, ...]:
    """What must be fetched before `make_plan` can answer; empty when it can. Ask again after every fetch.

    Entries of types that are no manifests are not asked for; a caller that knows one to be missing says so with None.
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


def make_plan(root: Descriptor, documents: Documents, settings: SociSettings) -> Plan:
    """The plan for this image. Raises BadDocument where a document is none, NothingSelected for a platform it lacks."""
    raw = _have(documents, root)
    if raw is None:
        raise BadDocument("converting to SOCI", about=root.digest, why="the image itself is not there")
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
        for layer in manifest.layers if manifest else ():
            compression = media.compression(layer.media_type)
            if compression and layer.size >= settings.min_layer_size:
                layers.setdefault(layer.digest, LayerWork(layer, compression))
    return Plan(settings, root, raw, index, tuple(entries), tuple(images), tuple(layers.values()), tuple(notes))


def _have(documents: Documents, descriptor: Descriptor) -> bytes | None:
    return documents.get(descriptor.digest)


def _is_image(manifest: Manifest) -> bool:
    return all(media.is_layer(layer.media_type) for layer in manifest.layers)


def _entry(descriptor: Descriptor, documents: Documents, notes: list[str]) -> Entry:
    if descriptor.digest in documents and documents[descriptor.digest] is None:
        notes.append(f"{_named(descriptor)} is not there: its entry is left out of the index")
        return Entry(descriptor, Fate.GONE)
    if media.is_soci_index(descriptor):
        return Entry(descriptor, Fate.SOCI)
    unknown = descriptor.platform is not None and descriptor.platform.is_unknown
    if not mt.is_manifest(descriptor.media_type) or unknown or oci.is_attestation(descriptor):
        return Entry(descriptor, Fate.KEPT)
    content = documents.get(descriptor.digest)
    if content is None:
        raise ValueError(f"{descriptor.digest} was not fetched: ask missing_documents first")
    manifest = oci.parse(content, media_type=descriptor.media_type, about=descriptor.digest)
    if not isinstance(manifest, Manifest):
        raise BadDocument("converting to SOCI", about=descriptor.digest, why="its descriptor says image, it is none")
    return _image_entry(descriptor, manifest, documents, notes)


def _image_entry(descriptor: Descriptor, manifest: Manifest, documents: Documents, notes: list[str]) -> Entry:
    if not _is_image(manifest):
        notes.append(f"{_named(descriptor)} is no container image: it stays as it is")
        return Entry(descriptor, Fate.KEPT, manifest)
    platform = descriptor.platform or _config_platform(manifest, documents)
    if platform is None:
        notes.append(f"{_named(descriptor)} says no platform: it gets no SOCI index")
    return Entry(descriptor, Fate.IMAGE, manifest, platform)


def _config_platform(manifest: Manifest, documents: Documents) -> Platform | None:
    """The platform that the image config states, in its one spelling."""
    raw = documents.get(manifest.config.digest)
    if raw is None:
        return None
    try:
        found = Platform.from_json(parse_object(raw, about=manifest.config.digest, limit_bytes=MAX_CONFIG_BYTES))
    except BakeryError:
        return None  # an artifact's config is any bytes
    if not found.os or not found.architecture:
        return None
    return replace(found.normalised(), os_version=found.os_version)


def _chosen(entries: list[Entry], asked: tuple[Platform, ...], root: Descriptor) -> list[Indexed]:
    """The images to index: of each platform the first, in the order of the index or of the request."""
    images: list[tuple[int, Platform]] = [
        (number, entry.platform)
        for number, entry in enumerate(entries)
        if entry.fate is Fate.IMAGE and entry.platform is not None and not entry.platform.is_unknown
    ]
    if not asked:
        first: list[Indexed] = []
        builds: dict[Platform, set[str]] = {}  # of the first ones, by platform without version
        for number, platform in images:
            key, build = _key(platform), _windows_build(platform)
            known = builds.setdefault(key, set())
            # A Windows image that says no version fits every one that does, and the other way round.
            if not known or not (build in known or not build or "" in known):
                known.add(build)
                first.append(Indexed(number, platform))
        return first
    chosen: dict[int, Indexed] = {}
    for wanted in asked:
        # Features are compared last: nobody can ask for them, and an image without them is what is meant.
        fitting = [(bool(p.os_features), n) for n, p in images if _fits(wanted.normalised(), p.normalised())]
        if not fitting:
            raise NothingSelected(
                "converting to SOCI",
                about=root.digest,
                why=f"the image has no manifest for {wanted}",
                hint=f"it has {', '.join(str(p) for _, p in images) or 'none with a platform'}",
            )
        chosen.setdefault(min(fitting)[1], Indexed(min(fitting)[1], _spelled(wanted)))
    return list(chosen.values())


def _key(platform: Platform) -> Platform:
    return replace(platform.normalised(), os_version="")


def _windows_build(platform: Platform) -> str:
    """`10.0.17763` of `10.0.17763.6189`: what has to fit on Windows; the revision does not. "" elsewhere."""
    return ".".join(platform.normalised().os_version.split(".")[:3])


def _spelled(wanted: Platform) -> Platform:
    """A platform that was asked for, as the real tool writes it: aliases resolved, no variant added."""
    spelled = wanted.normalised()
    if not wanted.variant and (spelled.architecture, spelled.variant) == ("arm", "v7"):
        return replace(spelled, variant="")
    if wanted.variant and (spelled.architecture, spelled.variant) == ("arm64", ""):
        return replace(spelled, variant="v8")
    return spelled


def _fits(wanted: Platform, found: Platform) -> bool:
    same = (wanted.os, wanted.architecture, wanted.variant) == (found.os, found.architecture, found.variant)
    return same and wanted.os_version in ("", found.os_version)


def _named(descriptor: Descriptor) -> str:
    where = f" ({descriptor.platform})" if descriptor.platform else ""
    return f"manifest {descriptor.digest}{where}"
