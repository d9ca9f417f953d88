"""Builds of many targets, loaded into a temporary registry as CI would leave them, and their project.

The content is pseudo-random (with a fixed seed, so every run has the same bytes) and does not compress. The loader has
its own HTTP code: neither our client nor a peer has contacted the registry before the clock starts.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import random
import ssl
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from tests.peers.registries import Certificate

from bench.layers import gzipped, system_tar

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
ARCHITECTURES = ("amd64", "arm64")
CREATED = "2026-11-01T12:00:00Z"
OS_TAG = "ubuntu-24.04"


@dataclass(frozen=True)
class Shape:
    """The amount of work."""

    images: int = 20
    versions: int = 1
    layers: int = 2
    layer_bytes: int = 512
    files: int = 1  # per layer; with several, the layer resembles a system's and layer_bytes is the size of its tar

    @property
    def targets(self) -> int:
        return self.images * self.versions


@dataclass(frozen=True)
class Blob:
    """Some content: its digest, and either its bytes or the seed to generate them again (for large layers)."""

    digest: str
    size: int
    seed: str
    size_of_file: int
    data: bytes | None
    files: int = 1

    def content(self) -> bytes:
        return self.data if self.data is not None else layer(self.seed, self.size_of_file, self.files)


@dataclass(frozen=True)
class Built:
    """The image of one platform in the temporary registry."""

    architecture: str
    manifest: bytes
    blobs: tuple[Blob, ...]

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)


@dataclass(frozen=True)
class BuiltTarget:
    """A target and its builds."""

    image: str
    version: str
    builds: tuple[Built, ...]

    @property
    def uid(self) -> str:
        return f"{self.image}-{self.version.replace('.', '-')}-ubuntu-24-04"

    @property
    def tags(self) -> tuple[str, ...]:
        return (self.version, f"{self.version}-a", f"{self.version}-b", f"{self.version}-{OS_TAG}")

    @property
    def source_repository(self) -> str:
        return f"tmp/{self.image}/tmp"

    @property
    def repository(self) -> str:
        return f"acme/{self.image}"


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(seed: str, size: int, files: int = 1) -> bytes:
    """Return a gzipped tar: one incompressible file of this size, or many compressible files of this total size."""
    if files > 1:
        return b"".join(gzipped(system_tar(seed, size, files)))
    data = random.Random(seed).randbytes(size)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        entry = tarfile.TarInfo("opt/content.bin")
        entry.size = size
        archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(tar.getvalue(), compresslevel=0 if size > 1 << 16 else 6, mtime=0)


def _blob(data: bytes, seed: str, size_of_file: int, files: int = 1) -> Blob:
    return Blob(
        digest_of(data), len(data), seed, size_of_file, data if len(data) < 1 << 16 or files > 1 else None, files
    )


def _built(name: str, architecture: str, shape: Shape) -> Built:
    layers = []
    for number in range(shape.layers):
        seed = f"{name}/{architecture}/{number}"
        content = layer(seed, shape.layer_bytes, shape.files)
        layers.append(_blob(content, seed, shape.layer_bytes, shape.files))
    config = {
        "created": CREATED,
        "architecture": architecture,
        "os": "linux",
        "config": {"Labels": {"org.opencontainers.image.title": name}},
        "rootfs": {"type": "layers", "diff_ids": [one.digest for one in layers]},
    }
    config_blob = _blob(json.dumps(config).encode(), "", 0)

    def describe(media_type: str, blob: Blob) -> dict[str, object]:
        return {"mediaType": media_type, "digest": blob.digest, "size": blob.size}

    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": describe(CONFIG, config_blob),
        "layers": [describe(LAYER, one) for one in layers],
    }
    return Built(architecture, json.dumps(manifest, indent=2).encode(), (config_blob, *layers))


def build(shape: Shape) -> Iterator[BuiltTarget]:
    """Yield the targets of a shape one by one: a thousand of them need not be in memory at once."""
    for image_number in range(shape.images):
        for version_number in range(shape.versions):
            image, version = f"app-{image_number:04}", f"1.{version_number}.0"
            name = f"{image}-{version}"
            yield BuiltTarget(image, version, tuple(_built(name, one, shape) for one in ARCHITECTURES))


async def load(
    host: str,
    targets: Sequence[BuiltTarget],
    *,
    headers: dict[str, str] | None = None,
    certificate: Certificate | None = None,
) -> None:
    """Push every build by digest to the temporary registry at `host`, as CI's build jobs do."""
    gate = asyncio.Semaphore(16)
    timeout = aiohttp.ClientTimeout(total=None, sock_read=120)
    context = True if certificate is None else ssl.create_default_context(cafile=certificate.authority)
    origin = f"{'http' if certificate is None else 'https'}://{host}"
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(
        headers=headers, timeout=timeout, auto_decompress=False, connector=connector
    ) as session:

        async def one(target: BuiltTarget, built: Built) -> None:
            async with gate:
                base = f"{origin}/v2/{target.source_repository}"
                for blob in built.blobs:
                    async with session.post(f"{base}/blobs/uploads/") as response:
                        response.raise_for_status()
                        location = response.headers["Location"]
                    url = location if location.startswith("http") else f"{origin}{location}"
                    url += ("&" if "?" in url else "?") + f"digest={blob.digest}"
                    async with session.put(url, data=io.BytesIO(blob.content())) as response:
                        response.raise_for_status()
                async with session.put(
                    f"{base}/manifests/{built.digest}", data=built.manifest, headers={"Content-Type": MANIFEST}
                ) as response:
                    response.raise_for_status()

        async with asyncio.TaskGroup() as group:
            for target in targets:
                for built in target.builds:
                    group.create_task(one(target, built))


def write_project(
    folder: Path, targets: Sequence[BuiltTarget], source_host: str, destinations: Sequence[str], *, soci: bool = False
) -> list[Path]:
    """Write bakery.yaml and one metadata file per platform. Return the paths of the metadata files."""
    options = {"options": [{"tool": "soci", "enabled": True}]} if soci else {}
    folder.mkdir(parents=True, exist_ok=True)
    images: dict[str, list[str]] = {}
    for target in targets:
        images.setdefault(target.image, []).append(target.version)
    project = {
        "repository": {
            "url": "https://example.org/acme/images",
            "vendor": "Acme",
            "maintainer": "Image Team <images@example.org>",
        },
        "registries": [{"host": host, "namespace": "acme"} for host in destinations],
        "images": [
            {
                "name": image,
                "tagPatterns": [
                    {"patterns": ["{{ Version }}", "{{ Version }}-a", "{{ Version }}-b", "{{ Version }}-{{ OS }}"]}
                ],
                "versions": [
                    {
                        "name": version,
                        "os": [{"name": "Ubuntu 24.04", "platforms": [f"linux/{one}" for one in ARCHITECTURES]}],
                    }
                    for version in versions
                ],
                **options,
            }
            for image, versions in images.items()
        ],
    }
    (folder / "bakery.yaml").write_text(json.dumps(project, indent=1))  # JSON is YAML
    files = []
    for number, architecture in enumerate(ARCHITECTURES):
        entries = {
            target.uid: {
                "image.name": f"{source_host}/{target.source_repository}",
                "containerimage.digest": target.builds[number].digest,
                "containerimage.descriptor": {
                    "mediaType": MANIFEST,
                    "digest": target.builds[number].digest,
                    "size": len(target.builds[number].manifest),
                    "platform": {"architecture": architecture, "os": "linux"},
                    "annotations": {"org.opencontainers.image.created": CREATED},
                },
            }
            for target in targets
        }
        file = folder / f"metadata-{architecture}.json"
        file.write_text(json.dumps(entries))
        files.append(file)
    return files


def write_plan(path: Path, targets: Sequence[BuiltTarget], source_host: str, destinations: Sequence[str]) -> None:
    """Write the same work for the scripts: one line per target, fields separated by tabs."""
    lines = [
        "\t".join(
            (
                target.uid,
                f"{source_host}/{target.source_repository}",
                ",".join(built.digest for built in target.builds),
                ",".join(f"{host}/{target.repository}" for host in destinations),
                ",".join(target.tags),
            )
        )
        for target in targets
    ]
    path.write_text("\n".join(lines) + "\n")
