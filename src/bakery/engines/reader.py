"""Reads registries for `publish.audit`, with the registry client."""

from __future__ import annotations

from typing import Final

from bakery.errors import NotFound
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import DigestReference, Repository, TagReference
from bakery.registry.client import Client

_SIGNATURES: Final = (
    "application/vnd.dev.cosign.artifact.sig.v1+json",
    "application/vnd.dev.sigstore.bundle",  # of any version
    "application/vnd.cncf.notary.signature",
)


class RegistryReader:
    """What `publish.audit` needs of a client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def read_tag(self, reference: TagReference) -> Digest | None:
        found = await self._client.manifests.head(reference)
        return found.digest if found is not None else None

    async def read_manifest(self, reference: DigestReference) -> RawManifest | None:
        try:
            return await self._client.manifests.get(reference)
        except NotFound:
            return None

    async def has_blob(self, repository: Repository, blob: Descriptor) -> bool:
        return await self._client.blobs(repository).has(blob)

    async def count_signatures(self, reference: DigestReference) -> int:
        tag = reference.repository.with_tag(f"{reference.digest.algorithm}-{reference.digest.hex[:64]}.sig")
        by_tag = await self._client.manifests.head(tag) is not None
        entries = await self._client.manifests.referrers(reference)
        return by_tag + sum(entry.artifact_type.startswith(_SIGNATURES) for entry in entries)
