"""Media types and annotations of SOCI, and which layers can be indexed (soci.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bakery.oci.descriptor import Descriptor
from bakery.soci.index import GZIP, PLAIN

SOCI_INDEX: Final = "application/vnd.amazon.soci.index.v2+json"
ZTOC: Final = "application/octet-stream"
PREFETCH: Final = "application/vnd.amazon.soci.prefetch.v1+json"

INDEX_DIGEST: Final = "com.amazon.soci.index-digest"
IMAGE_DIGEST: Final = "com.amazon.soci.image-manifest-digest"
BUILD_TOOL: Final = "com.amazon.soci.build-tool-identifier"
LAYER_TYPE: Final = "com.amazon.soci.image-layer-mediaType"
LAYER_DIGEST: Final = "com.amazon.soci.image-layer-digest"
SPAN_SIZE: Final = "com.amazon.soci.span-size"
NO_XATTRS: Final = "com.amazon.soci.disable-xattrs"

_OCI: Final = "application/vnd.oci.image.layer."
_DOCKER: Final = "application/vnd.docker.image.rootfs."
_COMPRESSION: Final[Mapping[str, str]] = {
    f"{_OCI}v1.tar+gzip": GZIP,
    f"{_OCI}nondistributable.v1.tar+gzip": GZIP,
    f"{_DOCKER}diff.tar.gzip": GZIP,
    f"{_DOCKER}foreign.diff.tar.gzip": GZIP,
    f"{_OCI}v1.tar": PLAIN,
    f"{_DOCKER}diff.tar": PLAIN,
    f"{_DOCKER}foreign.diff.tar": PLAIN,
}


def compression(media_type: str) -> str | None:
    """Return how a layer of this type is indexed: GZIP, PLAIN, or None if it cannot be."""
    return _COMPRESSION.get(media_type)


def is_layer(media_type: str) -> bool:
    """Return whether this is the type of a layer, including layers that cannot be indexed, such as zstd."""
    return media_type.startswith((_OCI, _DOCKER))


def is_zstd(media_type: str) -> bool:
    """Return whether this is the type of a layer that is compressed with zstd."""
    return is_layer(media_type) and media_type.endswith("+zstd")


def is_soci_index(entry: Descriptor) -> bool:
    """Return whether an index entry is a SOCI index."""
    return entry.artifact_type == SOCI_INDEX
