"""Image layouts made in a test: content by digest, written as a folder or a tar."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor


def open_files() -> int:
    """Return how many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


class Content:
    """Blobs by digest, and what index.json lists."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.top: list[dict[str, Any]] = []

    def add(self, content: bytes, media_type: str = "application/octet-stream", **more: Any) -> dict[str, Any]:
        descriptor = Descriptor.of(content, media_type)
        self.blobs[descriptor.digest.hex] = content
        return {"mediaType": media_type, "digest": str(descriptor.digest), "size": len(content), **more}

    def json(self, document: dict[str, Any], media_type: str, **more: Any) -> dict[str, Any]:
        return self.add(json.dumps(document).encode(), media_type, **more)

    def image(self, *layers: dict[str, Any], platform: str = "linux/amd64", **more: Any) -> dict[str, Any]:
        system, architecture = platform.split("/")[:2]
        config = self.json({"architecture": architecture, "os": system, "layers": len(layers)}, mt.OCI_CONFIG)
        manifest = {"schemaVersion": 2, "mediaType": mt.OCI_MANIFEST, "config": config, "layers": list(layers)}
        return self.json(manifest, mt.OCI_MANIFEST, platform={"architecture": architecture, "os": system}, **more)

    def index(self, *manifests: dict[str, Any], **more: Any) -> dict[str, Any]:
        document = {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": list(manifests), **more}
        return self.json(document, mt.OCI_INDEX)

    def files(self) -> dict[str, bytes]:
        index = {"schemaVersion": 2, "manifests": self.top}
        return {
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
            "index.json": json.dumps(index).encode(),
            **{f"blobs/sha256/{name}": content for name, content in self.blobs.items()},
        }

    def folder(self, path: Path) -> Path:
        for name, content in self.files().items():
            file = path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return path

    def tar(self, path: Path, *, prefix: str = "") -> Path:
        with tarfile.open(path, "w") as archive:
            for name, content in self.files().items():
                member = tarfile.TarInfo(prefix + name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return path
