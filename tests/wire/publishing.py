"""One publication, pushed and pulled as a publisher does: two images, their index, two tags."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass

from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import Repository
from bakery.registry.client import Client
from bakery.registry.failure import ContentMissing
from tests.wire.making import LAYER_TYPE, body_of, image

SHARED = bytes(range(256)) * 1200  # larger than one piece


@dataclass(frozen=True)
class Publication:
    """The content to push: blobs, image manifests, their index."""

    blobs: tuple[bytes, ...]
    images: tuple[tuple[Descriptor, bytes], ...]
    index: tuple[Descriptor, bytes]


def publication(salt: bytes = b"") -> Publication:
    own = (b"layer one" + salt, b"layer two" + salt)
    images = tuple(image(SHARED, layer) for layer in own)
    entries = [
        {"mediaType": found.media_type, "digest": str(found.digest), "size": found.size, "platform": platform}
        for (found, _), platform in zip(
            images, ({"os": "linux", "architecture": name} for name in ("amd64", "arm64")), strict=True
        )
    ]
    raw = json.dumps({"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": entries}).encode()
    return Publication((b"{}", SHARED, *own), images, (Descriptor.of(raw, mt.OCI_INDEX), raw))


async def push(
    client: Client, where: Repository, wanted: Publication, tags: tuple[str, ...] = ("v1", "latest")
) -> None:
    """Push missing content as a publisher does: children before parents, tags last."""
    client.announce_writes([where])

    async def blob(content: bytes, *, again: bool = False) -> None:
        descriptor = Descriptor.of(content, LAYER_TYPE)
        if again or not await client.blobs(where).has(descriptor, else_write=True):
            await client.blobs(where).write(descriptor, body_of(content))

    async def manifest(descriptor: Descriptor, raw: bytes) -> None:
        for _ in range(3):
            try:
                return await client.manifests.put(where.with_digest(descriptor.digest), RawManifest(descriptor, raw))
            except ContentMissing as missing:
                for content in wanted.blobs:
                    if Descriptor.of(content, LAYER_TYPE).digest in missing.digests:
                        await blob(content, again=True)
        raise AssertionError("the content is still missing")

    config, *layers = wanted.blobs
    await blob(config)
    async with asyncio.TaskGroup() as group:
        for content in layers:
            group.create_task(blob(content))
    async with asyncio.TaskGroup() as group:
        for descriptor, raw in wanted.images:
            group.create_task(manifest(descriptor, raw))
    await manifest(*wanted.index)
    for tag in tags:
        before = await client.manifests.head(where.with_tag(tag))
        if before is not None and before.digest == wanted.index[0].digest:
            continue
        await client.manifests.put(where.with_tag(tag), RawManifest(*wanted.index))
        await client.manifests.await_tag(
            where.with_tag(tag), wanted.index[0].digest, previous=before.digest if before else None
        )


async def pull(client: Client, where: Repository, wanted: Publication, tag: str = "v1") -> None:
    assert await client.manifests.get(where.with_tag(tag), must_exist=True) == RawManifest(*wanted.index)
    for descriptor, raw in wanted.images:
        reference = where.with_digest(descriptor.digest)
        assert await client.manifests.get(reference, must_exist=True, expected=descriptor) == RawManifest(
            descriptor, raw
        )
    for content in wanted.blobs:
        received = bytearray()
        descriptor = Descriptor.of(content, LAYER_TYPE)
        async with contextlib.aclosing(client.blobs(where).read(descriptor, must_exist=True)) as chunks:
            async for chunk in chunks:
                received += chunk
        assert received == content
