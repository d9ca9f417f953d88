"""What an image consists of: platforms, attestations, SOCI indexes, referrers. Reads manifests and configs only.

Source: commands.md 9; attestations: https://docs.docker.com/build/metadata/attestations/attestation-storage/
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from bakery.errors import BakeryError, NotFound
from bakery.oci.manifest import RawManifest, is_attestation, parse
from bakery.oci.platform import Platform
from bakery.oci.reference import DigestReference, LayoutReference, SourceReference
from bakery.publish.choose import described
from bakery.publish.engine import Engine
from bakery.publish.image import Child
from bakery.publish.plan import PlannedTarget, Source
from bakery.publish.read import read_sources
from bakery.registry.client import Client
from bakery.soci.media import IMAGE_DIGEST, is_soci_index

_REFERRERS_S: Final = 10.0  # after that, their number is unknown
_PREDICATE: Final = "in-toto.io/predicate-type"


class InspectedImage(Struct, frozen=True):
    """An image that was read. content: the manifest or index, or that of the only platform that was asked for."""

    content: RawManifest
    document: dict[str, Any]


async def inspect_image(
    reference: SourceReference, engine: Engine, client: Client, *, platform: Platform | None = None
) -> InspectedImage:
    """Return an image as a JSON value: digest, platforms, annotations, attestations, SOCI indexes, referrers.

    platform: only its image and what describes it. Raises NotFound, and BakeryError for a platform that is not there.
    """
    root = await engine.find(reference)
    if root is None:
        raise NotFound("cannot read manifest", about=reference, status=404, why="not found", hint="check the name")
    children: Sequence[Child] = await _children(reference, root, engine)
    if platform is not None:
        children = _of_platform(children, platform, reference)
        root = next(child.content for child in children if child.is_image)
    view = parse(root.raw, media_type=root.descriptor.media_type, about=reference)
    document = {
        "name": str(reference),
        "kind": "image" if any(child.descriptor.digest == root.descriptor.digest for child in children) else "index",
        "mediaType": root.descriptor.media_type,
        "digest": str(root.descriptor.digest),
        "size": len(root.raw),
        "annotations": dict(view.annotations),
        "subject": str(view.subject.digest) if view.subject else None,
        "platforms": [_image(child) for child in children if child.is_image],
        "attestations": [_attestation(child) for child in children if is_attestation(child.descriptor)],
        "soci": [_artifact(child) for child in children if is_soci_index(child.descriptor)],
        "others": [
            _artifact(child)
            for child in children
            if not (child.is_image or is_attestation(child.descriptor) or is_soci_index(child.descriptor))
        ],
        "referrers": await _referrers(reference, root, client),
    }
    return InspectedImage(root, document)


async def _children(reference: SourceReference, root: RawManifest, engine: Engine) -> tuple[Child, ...]:
    target = PlannedTarget("", "", "", "", "", (Source(reference),), (), {}, ())
    (source,) = await read_sources(target, engine, {reference: root})
    return source.children


def _of_platform(children: Sequence[Child], wanted: Platform, about: SourceReference) -> list[Child]:
    images = [child for child in children if child.is_image and child.descriptor.platform is not None]
    exact = [child for child in images if _normal(child) == wanted.normalised()]
    found = exact or [child for child in images if _normal(child).loose() == wanted.normalised()]
    if not found:
        there = ", ".join(str(child.descriptor.platform) for child in images) or "none"
        raise BakeryError("cannot find platform", about=f"{wanted} in {about}", why=f"there are: {there}")
    digest = found[0].descriptor.digest
    return [found[0], *(child for child in children if not child.is_image and described(child) == digest)]


def _normal(child: Child) -> Platform:
    assert child.descriptor.platform is not None
    return child.descriptor.platform.normalised()


def _image(child: Child) -> dict[str, Any]:
    platform = child.descriptor.platform
    return {
        "platform": str(platform) if platform else None,
        "os.version": (platform.os_version if platform else "") or None,
        "digest": str(child.descriptor.digest),
        "mediaType": child.descriptor.media_type,
        "size": sum(blob.size for blob in child.manifest.blobs),
        "layers": len(child.manifest.layers),
        "annotations": dict(child.descriptor.annotations),
    }


def _attestation(child: Child) -> dict[str, Any]:
    subject = described(child)
    types = (layer.annotations.get(_PREDICATE, "") for layer in child.manifest.layers)
    return {
        "digest": str(child.descriptor.digest),
        "subject": str(subject) if subject else None,
        "types": list(dict.fromkeys(found for found in types if found)),
    }


def _artifact(child: Child) -> dict[str, Any]:
    descriptor = child.descriptor
    return {
        "digest": str(descriptor.digest),
        "artifactType": descriptor.artifact_type or child.manifest.artifact_type or None,
        "subject": descriptor.annotations.get(IMAGE_DIGEST) or str(described(child) or "") or None,
    }


async def _referrers(reference: SourceReference, root: RawManifest, client: Client) -> int | None:
    """Return how many manifests refer to the image; None for a layout, and if the registry does not say."""
    if isinstance(reference, LayoutReference):
        return None
    try:
        async with asyncio.timeout(_REFERRERS_S):
            return len(await client.manifests.referrers(DigestReference(reference.repository, root.descriptor.digest)))
    except (BakeryError, TimeoutError):
        return None
