"""Media types of images, in the OCI and the Docker form, and what each of them is."""

from __future__ import annotations

from typing import Final

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
EMPTY: Final = "application/vnd.oci.empty.v1+json"  # of a config that says nothing: `{}`
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"

IMAGE_CONFIGS: Final = frozenset({OCI_CONFIG, DOCKER_CONFIG})
INDEXES: Final = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFESTS: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
ALL_MANIFESTS: Final = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)

NONDISTRIBUTABLE: Final = frozenset(
    {
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    }
)


def is_index(media_type: str) -> bool:
    """Return whether this is the type of an index, that is, of a list of manifests."""
    return media_type in INDEXES


def is_manifest(media_type: str) -> bool:
    """Return whether this is the type of an image (or artifact) manifest."""
    return media_type in MANIFESTS


def essence(content_type: str) -> str:
    """Return a Content-Type without its parameters, in lower case: `a/b` for `a/B; charset=x`."""
    return content_type.partition(";")[0].strip().lower()
