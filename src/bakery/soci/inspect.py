"""The contents of an image's SOCI indexes: layers, numbers of spans and files, spans to prefetch. Pure.

As with plan.py, `missing_for` names the documents to fetch next; then `describe` returns values. ztocs are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from bakery.errors import BadDocument
from bakery.oci import manifest as oci
from bakery.oci.canonical import parse_object
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import Index, Manifest
from bakery.soci import media
from bakery.soci.plan import Documents
from bakery.soci.verify import WrongIndex
from bakery.soci.ztoc import Ztoc


class IndexedLayer(Struct, frozen=True):
    """A layer of an image and its artifacts in the SOCI index. ztoc: None if the layer is pulled whole."""

    layer: Descriptor
    ztoc: Descriptor | None = None
    prefetch: Descriptor | None = None


class SociImage(Struct, frozen=True):
    """One image with its SOCI index."""

    platform: str
    image: Descriptor
    soci: Descriptor
    build_tool_identifier: str
    layers: tuple[IndexedLayer, ...]
    wrong_links: tuple[str, ...] = field(default=())  # between the two, in words


def missing_for(root: Descriptor, documents: Documents) -> tuple[Descriptor, ...]:
    """Return the documents to fetch before `soci_images` can be called."""
    raw = documents.get(root.digest)
    if raw is None:
        return (root,)
    top = oci.parse(raw, media_type=root.media_type, about=root.digest)
    if not isinstance(top, Index):
        return ()
    wanted = {
        entry.digest: entry
        for soci in top.manifests
        if media.is_soci_index(soci)
        for entry in (soci, *(image for image in top.manifests if _is_image_of(soci, image)))
    }
    return tuple(entry for digest, entry in wanted.items() if digest not in documents)


def soci_images(root: Descriptor, documents: Documents) -> tuple[SociImage, ...]:
    """Return every SOCI index of this image, with the image that it is for. Raises WrongIndex if that is missing."""
    raw = documents.get(root.digest)
    if raw is None:
        raise BadDocument("cannot read image", about=root.digest, why="it is missing")
    top = oci.parse(raw, media_type=root.media_type, about=root.digest)
    if not isinstance(top, Index):
        return ()
    return tuple(_soci_image(soci, top, documents) for soci in top.manifests if media.is_soci_index(soci))


def _is_image_of(soci: Descriptor, image: Descriptor) -> bool:
    return soci.annotations.get(media.IMAGE_DIGEST) == str(image.digest)


def _soci_image(soci: Descriptor, top: Index, documents: Documents) -> SociImage:
    image = next((entry for entry in top.manifests if _is_image_of(soci, entry)), None)
    if image is None:
        raise WrongIndex(
            "wrong SOCI index",
            about=soci.digest,
            why=f"its image {soci.annotations.get(media.IMAGE_DIGEST)} is not in the image index",
        )
    manifest, index = _manifest(image, documents), _manifest(soci, documents)
    wrong: list[str] = []
    named = manifest.annotations.get(media.INDEX_DIGEST)
    if named != str(soci.digest):
        wrong.append(f"image {image.digest} names {named or 'no SOCI index'}, not {soci.digest}")
    if index.config.media_type != media.SOCI_INDEX:
        wrong.append(f"the config of {soci.digest} has the type {index.config.media_type}")
    ztocs: dict[str, Descriptor] = {}
    prefetch: dict[str, Descriptor] = {}
    for artifact in index.layers:
        layer = artifact.annotations.get(media.LAYER_DIGEST, "")
        (prefetch if artifact.media_type == media.PREFETCH else ztocs)[layer] = artifact
        if layer not in {str(known.digest) for known in manifest.layers}:
            wrong.append(f"{artifact.digest} is for {layer or 'no layer'}, which is not in the image")
    layers = tuple(
        IndexedLayer(layer, ztocs.get(str(layer.digest)), prefetch.get(str(layer.digest))) for layer in manifest.layers
    )
    return SociImage(
        str(soci.platform or image.platform or ""),
        image,
        soci,
        index.annotations.get(media.BUILD_TOOL, ""),
        layers,
        tuple(wrong),
    )


def _manifest(descriptor: Descriptor, documents: Documents) -> Manifest:
    raw = documents.get(descriptor.digest)
    if raw is None:
        raise WrongIndex("cannot read", about=descriptor.digest, why="it is missing")
    found = oci.parse(raw, media_type=descriptor.media_type, about=descriptor.digest)
    if not isinstance(found, Manifest):
        raise WrongIndex("cannot read", about=descriptor.digest, why="expected a manifest, got an image index")
    return found


def prefetch_spans(raw: bytes, about: object) -> tuple[tuple[int, int], ...]:
    """Return first and last of each run of spans in a prefetch artifact. Raises BadDocument if it is not valid."""
    document = parse_object(raw, about=about)
    spans = document.get("prefetch_spans")
    if not isinstance(spans, list):
        raise BadDocument("invalid prefetch artifact", about=about, why="prefetch_spans must be a list")
    found: list[tuple[int, int]] = []
    for span in spans:
        ends = (span.get("start_span", 0), span.get("end_span", 0)) if isinstance(span, dict) else ()
        if len(ends) != 2 or not all(isinstance(end, int) and not isinstance(end, bool) for end in ends):
            raise BadDocument("invalid prefetch artifact", about=about, why=f"expected a span, got {span!r:.100}")
        found.append((ends[0], ends[1]))
    return tuple(found)


def check_links(indexed: IndexedLayer, ztoc: Ztoc, spans: tuple[tuple[int, int], ...]) -> None:
    """Compare what an index says about a ztoc with the ztoc. Raises WrongIndex."""
    descriptor = indexed.ztoc
    if descriptor is None:
        return
    pairs = {
        media.SPAN_SIZE: (descriptor.annotations.get(media.SPAN_SIZE), str(ztoc.span_size)),
        media.LAYER_TYPE: (descriptor.annotations.get(media.LAYER_TYPE), indexed.layer.media_type),
    }
    for name, (found, expected) in pairs.items():
        if found != expected:
            raise WrongIndex("wrong ztoc", about=descriptor.digest, why=f"{name} is {found}, expected {expected}")
    for first, last in spans:
        if not 0 <= first <= last <= ztoc.max_span_id:
            raise WrongIndex(
                "wrong prefetch artifact",
                about=indexed.prefetch.digest if indexed.prefetch else descriptor.digest,
                why=f"it names spans {first} to {last}, but the layer has spans 0 to {ztoc.max_span_id}",
            )


def claims_no_xattrs(ztoc: Descriptor) -> bool:
    """Return whether the index says that no file of the layer has extended attributes."""
    return ztoc.annotations.get(media.NO_XATTRS) == "true"


def describe(
    image: SociImage, ztocs: Mapping[Digest, bytes], prefetch: Mapping[Digest, tuple[tuple[int, int], ...]]
) -> dict[str, Any]:
    """Return one image's SOCI index as plain values, for JSON or a table."""
    return {
        "platform": image.platform,
        "image": str(image.image.digest),
        "soci_index": str(image.soci.digest),
        "size": image.soci.size,
        "build_tool_identifier": image.build_tool_identifier,
        "layers": [_describe_layer(indexed, ztocs, prefetch) for indexed in image.layers],
    }


def _describe_layer(
    indexed: IndexedLayer, ztocs: Mapping[Digest, bytes], prefetch: Mapping[Digest, tuple[tuple[int, int], ...]]
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "digest": str(indexed.layer.digest),
        "media_type": indexed.layer.media_type,
        "size": indexed.layer.size,
        "ztoc": None,
    }
    if indexed.ztoc is not None:
        ztoc = Ztoc(ztocs[indexed.ztoc.digest], about=f"ztoc {indexed.ztoc.digest}")
        spans = prefetch[indexed.prefetch.digest] if indexed.prefetch else ()
        described["ztoc"] = {
            "digest": str(indexed.ztoc.digest),
            "size": indexed.ztoc.size,
            "version": ztoc.version.decode("utf-8", "replace"),
            "span_size": ztoc.span_size,
            "spans": ztoc.max_span_id + 1,
            "files": ztoc.file_count,
            "uncompressed_size": ztoc.archive_size,
            "disable_xattrs": claims_no_xattrs(indexed.ztoc),
            "prefetch_spans": [list(span) for span in spans],
        }
    return described
