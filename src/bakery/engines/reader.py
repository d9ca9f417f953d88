"""Reads registries for `publish.audit`, with the registry client."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from bakery.errors import NotFound
from bakery.oci import manifest as views
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import DigestReference, Repository, TagReference
from bakery.publish.audited import Attached
from bakery.registry.client import Client
from bakery.tasks import together

_SIGNATURES: Final = ("application/vnd.dev.cosign.artifact.sig.v1+json", "application/vnd.cncf.notary.signature")
_ATTESTATIONS: Final = ("application/vnd.dev.cosign.artifact.att.v1+json", "application/vnd.in-toto+json")
# A bundle is either. What it states is in an annotation, which entries of a list may lack. Source: cosign 3.1, "bundle
# specification" of sigstore.
_BUNDLE: Final = "application/vnd.dev.sigstore.bundle"  # of any version
_STATES: Final = "dev.sigstore.bundle.predicateType"
_SIGNS: Final = "https://sigstore.dev/cosign/sign/"
_MOST_READ: Final = 100  # bundles of one manifest


class _Kind(StrEnum):
    SIGNATURE = "signature"
    ATTESTATION = "attestation"
    OTHER = "other"


class RegistryReader:
    """What `publish.audit` needs of a client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def read_tag(self, reference: TagReference) -> Digest | None:
        found = await self._client.manifests.find(reference)
        return found.digest if found is not None else None

    async def read_manifest(self, reference: DigestReference) -> RawManifest | None:
        try:
            return await self._client.manifests.get(reference)
        except NotFound:
            return None

    async def has_blob(self, repository: Repository, blob: Descriptor) -> bool:
        return await self._client.blobs(repository).has(blob)

    async def attached(self, reference: DigestReference) -> Attached:
        signed, attested, entries = await asyncio.gather(
            self._has_tag(reference, ".sig"),
            self._has_tag(reference, ".att"),
            self._client.manifests.referrers(reference),
        )
        kinds = await together(self._kind(reference.repository, entry) for entry in entries[:_MOST_READ])
        kinds += [_kind_of(entry.artifact_type, entry.annotations) for entry in entries[_MOST_READ:]]
        return Attached(signed + kinds.count(_Kind.SIGNATURE), attested + kinds.count(_Kind.ATTESTATION))

    async def _has_tag(self, reference: DigestReference, suffix: str) -> bool:
        tag = reference.repository.with_tag(f"{reference.digest.algorithm}-{reference.digest.hex[:64]}{suffix}")
        return await self._client.manifests.head(tag) is not None

    async def _kind(self, repository: Repository, entry: Descriptor) -> _Kind:
        annotations = entry.annotations
        if entry.artifact_type.startswith(_BUNDLE) and _STATES not in annotations:
            raw = await self.read_manifest(repository.with_digest(entry.digest))
            if raw is None:
                return _Kind.OTHER  # only its entry is left
            annotations = views.parse(raw.raw, about=entry.digest).annotations
        return _kind_of(entry.artifact_type, annotations)


def _kind_of(artifact_type: str, annotations: Mapping[str, str]) -> _Kind:
    if artifact_type.startswith(_BUNDLE):
        return _Kind.SIGNATURE if annotations.get(_STATES, _SIGNS).startswith(_SIGNS) else _Kind.ATTESTATION
    if artifact_type.startswith(_SIGNATURES):
        return _Kind.SIGNATURE
    return _Kind.ATTESTATION if artifact_type.startswith(_ATTESTATIONS) else _Kind.OTHER
