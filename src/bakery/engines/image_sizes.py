"""How large an image or a build cache in a registry is. Reads manifests only. Source: commands.md 2.3."""

from __future__ import annotations

from collections.abc import Iterable

from bakery.build.sizes import Size
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.manifest import Index, Manifest, is_attestation, parse
from bakery.oci.reference import DigestReference, Reference
from bakery.registry.client import Client
from bakery.tasks import together

_MAX_CHILDREN = 100  # platforms of an index that are measured; a build has a handful


async def image_size(client: Client, reference: Reference) -> Size | None:
    """Return the bytes of all layers of all platforms, and the number of layers of the first; None without a platform.

    Attestations count for nothing. Raises BakeryError if a manifest cannot be read.
    """
    root = await client.manifests.get(reference)
    view = parse(root.raw, media_type=root.descriptor.media_type, about=reference)
    if isinstance(view, Manifest):
        return _of([view])
    entries = [one for one in view.manifests if _is_platform(one)][:_MAX_CHILDREN]
    return _of(await together(_child(client, reference, entry) for entry in entries))


async def cache_size(client: Client, reference: Reference) -> Size:
    """Return the bytes of the layers of a build cache, in either of BuildKit's forms: a manifest, or an index of blobs.

    Raises BakeryError if it cannot be read.
    """
    root = await client.manifests.get(reference)
    view = parse(root.raw, media_type=root.descriptor.media_type, about=reference)
    blobs = view.layers if isinstance(view, Manifest) else _layers_in(view)
    return Size(sum(blob.size for blob in blobs), len(blobs))


async def _child(client: Client, parent: Reference, entry: Descriptor) -> Manifest:
    reference = DigestReference(parent.repository, entry.digest)
    found = await client.manifests.get(reference, expected=entry)
    view = parse(found.raw, media_type=found.descriptor.media_type, about=reference)
    assert isinstance(view, Manifest)  # `_is_platform`, and `expected` compares the media types
    return view


def _of(images: Iterable[Manifest]) -> Size | None:
    images = list(images)
    if not images:
        return None
    return Size(sum(layer.size for image in images for layer in image.layers), len(images[0].layers))


def _is_platform(entry: Descriptor) -> bool:
    unknown = entry.platform is not None and entry.platform.architecture == "unknown"
    return mt.is_manifest(entry.media_type) and not unknown and not is_attestation(entry)


def _layers_in(index: Index) -> list[Descriptor]:
    return [entry for entry in index.manifests if ".layer." in entry.media_type or ".rootfs." in entry.media_type]
