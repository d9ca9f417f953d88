"""Repositories for the tests of cleaning: images, indexes, referrers and signatures in an embedded registry."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bakery.clean.criteria import Criteria
from bakery.clean.distribution import DistributionPlace
from bakery.clean.known import Known
from bakery.clean.outcome import RepositoryOutcome
from bakery.clean.place import Place
from bakery.clean.survey import Surveyor
from bakery.clean.sweep import Sweep
from bakery.events import Emit, ignore
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.registry.client import Client
from bakery.rehearsal.embedded import EmbeddedRegistry
from tests.wire.making import LAYER_TYPE, make_client

NAME = "acme/app"
NOW = datetime(2026, 8, 1, tzinfo=UTC)


def pointer(raw: bytes, media_type: str) -> dict[str, Any]:
    found = Descriptor.of(raw, media_type)
    return {"mediaType": media_type, "digest": str(found.digest), "size": found.size}


def image_of(salt: str, created: str = "", subject: dict[str, Any] | None = None, **members: Any) -> tuple[bytes, ...]:
    """Return an image: manifest, config, layer."""
    config = json.dumps({"salt": salt, **({"created": created} if created else {})}).encode()
    layer = f"layer {salt}".encode()
    document = {
        "schemaVersion": 2,
        "mediaType": mt.OCI_MANIFEST,
        "config": pointer(config, mt.OCI_CONFIG),
        "layers": [pointer(layer, LAYER_TYPE)],
        **({"subject": subject} if subject else {}),
        **members,
    }
    return json.dumps(document).encode(), config, layer


def index_of(children: Sequence[bytes], subject: dict[str, Any] | None = None, **members: Any) -> bytes:
    entries = [pointer(child, json.loads(child)["mediaType"]) for child in children]
    document = {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": entries, **members}
    return json.dumps({**document, **({"subject": subject} if subject else {})}).encode()


def push(registry: EmbeddedRegistry, raw: bytes, *more: bytes | str, name: str = NAME) -> Digest:
    """Store a manifest with its blobs (bytes) and tags (text)."""
    for one in more:
        if isinstance(one, bytes):
            registry.put_blob(name, one)
    return registry.put_manifest(name, raw, *(one for one in more if isinstance(one, str)))


def push_image(
    registry: EmbeddedRegistry, salt: str, *tags: str, name: str = NAME, **members: Any
) -> tuple[Digest, bytes]:
    raw, *blobs = image_of(salt, **members)
    return push(registry, raw, *blobs, *tags, name=name), raw


def signature_tag(digest: Digest, suffix: str = ".sig") -> str:
    return f"sha256-{digest.hex}{suffix}"


def sweep_of(
    client: Client, place: Place, criteria: Criteria, named: Sequence[Digest] = (), emit: Emit = ignore
) -> Sweep:
    surveyor = Surveyor(place, client, criteria, Known({place.repository: dict.fromkeys(named)}))
    return Sweep(surveyor, criteria, now=lambda: NOW, emit=emit)


async def swept(registry: EmbeddedRegistry, criteria: Criteria, *named: Digest, name: str = NAME) -> RepositoryOutcome:
    """Clean a repository of an embedded registry, and return the outcome."""
    async with make_client() as client:
        repository = Repository.parse(f"{registry.address}/{name}")
        sweep = sweep_of(client, DistributionPlace(client, repository, named), criteria, named)
        await sweep.plan()
        await sweep.delete()
        return sweep.outcome()
