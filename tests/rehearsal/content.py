"""Small images for these tests, and a plain HTTP client that knows nothing about registries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.rehearsal import EmbeddedRegistry

LAYER = b"a layer of an image, " * 50
CONFIG = b'{"architecture":"amd64","os":"linux"}'
REPO = "acme/app"


def descriptor(content: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(Digest.of(content)), "size": len(content)}


def image(layer: bytes = LAYER, config: bytes = CONFIG, **more: Any) -> bytes:
    layers = [descriptor(layer, "application/vnd.oci.image.layer.v1.tar")]
    parts = {"config": descriptor(config, mt.OCI_CONFIG), "layers": layers}
    return json.dumps({"schemaVersion": 2, "mediaType": mt.OCI_MANIFEST, **parts, **more}).encode()


def index(*manifests: bytes, **more: Any) -> bytes:
    entries = [descriptor(manifest, mt.OCI_MANIFEST) for manifest in manifests]
    return json.dumps({"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": entries, **more}).encode()


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def codes(self) -> list[str]:
        return [error["code"] for error in self.json["errors"]]


class Http:
    """Sends requests to one registry, without redirects and retries."""

    def __init__(self, session: aiohttp.ClientSession, registry: EmbeddedRegistry) -> None:
        self._session, self._base = session, registry.url

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        url = path if path.startswith("http") else self._base + path
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.request(
            method, URL(url, encoded=True), data=body, headers=named, allow_redirects=False
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    async def push_blob(self, content: bytes, repository: str = REPO) -> Digest:
        """Push a blob with POST and PUT."""
        digest = Digest.of(content)
        started = await self("POST", f"/v2/{repository}/blobs/uploads/")
        assert started.status == 202
        done = await self("PUT", finish(started.headers["Location"], digest), content)
        assert done.status == 201, done.body
        return digest

    async def push_image(self, *references: str, repository: str = REPO, **more: Any) -> Digest:
        """Push `image(**more)` and its blobs under these tags, or by digest."""
        await self.push_blob(CONFIG, repository)
        await self.push_blob(LAYER, repository)
        raw = image(**more)
        digest = Digest.of(raw)
        for reference in references or (str(digest),):
            path = f"/v2/{repository}/manifests/{reference}"
            response = await self("PUT", path, raw, Content_Type=mt.OCI_MANIFEST)
            assert response.status == 201, response.body
        return digest


def finish(location: str, digest: Digest | str) -> str:
    """Return the Location of an upload with the digest appended to its query."""
    return f"{location}{'&' if '?' in location else '?'}digest={quote(str(digest))}"
