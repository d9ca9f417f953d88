"""Small real images in an embedded registry, and the plan that publishes them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Sequence

from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.reference import DigestReference, Repository
from bakery.publish.plan import Destination, Plan, PlannedTarget, Source
from bakery.rehearsal.embedded import EmbeddedRegistry


def layer(text: str) -> bytes:
    """A gzipped tar with one file; the same text makes the same bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("etc/motd")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text.encode()))
    return gzip.compress(out.getvalue(), mtime=0)


def add_image(
    registry: EmbeddedRegistry,
    repository: str,
    platform: str,
    *,
    layers: Sequence[bytes],
    salt: str = "",
    foreign: Sequence[Descriptor] = (),
) -> Descriptor:
    """Put an image of this platform into the registry, untagged; return the descriptor of its manifest.

    foreign: layers that the manifest names and no one pushed.
    """
    os_name, architecture = platform.split("/")
    config = json.dumps(
        {"os": os_name, "architecture": architecture, "created": "2026-11-01T00:00:00Z", "s": salt}
    ).encode()
    for blob in (config, *layers):
        registry.put_blob(repository, blob)
    manifest = {
        "schemaVersion": 2,
        "mediaType": mt.OCI_MANIFEST,
        "config": {"mediaType": mt.OCI_CONFIG, "digest": str(Digest.of(config)), "size": len(config)},
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": str(Digest.of(blob)),
                "size": len(blob),
            }
            for blob in layers
        ]
        + [{**blob.bare().to_json(), "urls": list(blob.urls)} for blob in foreign],
    }
    raw = json.dumps(manifest, indent=2).encode()
    registry.put_manifest(repository, raw)
    return Descriptor.of(raw, mt.OCI_MANIFEST)


def add_target(
    source: EmbeddedRegistry,
    destinations: Sequence[EmbeddedRegistry],
    uid: str,
    *,
    tags: tuple[str, ...] = ("1.0", "latest"),
    shared: Sequence[bytes] = (),
    repository: str = "tmp/app/tmp",
    path: str = "acme/app",
    foreign: Sequence[Descriptor] = (),
) -> PlannedTarget:
    """A target of two platforms, built and pushed by digest to `source`, to be published at `path` everywhere."""
    builds = []
    for platform in ("linux/amd64", "linux/arm64"):
        layers = (*shared, layer(f"{uid} {platform}"))
        descriptor = add_image(source, repository, platform, layers=layers, salt=f"{uid} {platform}", foreign=foreign)
        reference = Repository(source.address, repository).with_digest(descriptor.digest)
        builds.append(Source(reference))
    places = tuple(Destination(Repository(place.address, path), tags) for place in destinations)
    return PlannedTarget(
        uid, "app", "1.0", "", "", tuple(builds), places, {"org.opencontainers.image.title": "App"},
        ("linux/amd64", "linux/arm64"),
    )  # fmt: skip


def digest_of(source: Source) -> Digest:
    assert isinstance(source.reference, DigestReference)
    return source.reference.digest


def plan(*targets: PlannedTarget) -> Plan:
    return Plan(targets)
