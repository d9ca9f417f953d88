"""Builders for the wire tests: clients whose waits take no time, images, a clock that jumps."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from bakery.engines.credential_helper import run_helper
from bakery.events import Event
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.reference import Repository
from bakery.registry.client import Client
from bakery.registry.config import RegistryConfig
from bakery.retry import RetryPolicy
from tests.clock import JumpingClock
from tests.wire.script import ScriptedServer

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


def make_client(
    *,
    clock: JumpingClock | None = None,
    events: list[Event] | None = None,
    policy: RetryPolicy | None = None,
    **others: Any,
) -> Client:
    """Return a client without logins, whose waits take no time."""
    clock = clock or JumpingClock()
    config = others.pop("config", None) or RegistryConfig()
    others.setdefault("run_helper", run_helper)
    return Client(
        config=config,
        policy=policy or RetryPolicy(base_delay=0.5),
        clock=clock,
        emit=(lambda event: None) if events is None else events.append,
        **others,
    )


def expect_proof(server: ScriptedServer, path: str = "acme/app", source: str = "acme/app", status: int = 404) -> None:
    """Expect the mount of a digest that no registry has. Call it after other mounts were expected."""
    server.expect("POST", rf"/v2/{path}/blobs/uploads/\?mount=sha256:[0-9a-f]{{64}}&from={source}", status, regex=True)


def repository(server: ScriptedServer, path: str = "acme/app") -> Repository:
    return Repository(server.host, path)


def blob(content: bytes = b"some layer", media_type: str = LAYER_TYPE) -> tuple[Descriptor, bytes]:
    return Descriptor.of(content, media_type), content


def body_of(content: bytes, piece: int = 64 * 1024) -> Callable[[], AsyncIterator[bytes]]:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), piece):
            yield content[start : start + piece]

    return pieces


def image(*layers: bytes, **members: Any) -> tuple[Descriptor, bytes]:
    """Return an image manifest with these layers."""

    def pointer(content: bytes, media_type: str) -> dict[str, Any]:
        found = Descriptor.of(content, media_type)
        return {"mediaType": media_type, "digest": str(found.digest), "size": found.size}

    document = {
        "schemaVersion": 2,
        "mediaType": mt.OCI_MANIFEST,
        "config": pointer(b"{}", mt.OCI_CONFIG),
        "layers": [pointer(layer, LAYER_TYPE) for layer in layers],
        **members,
    }
    raw = json.dumps(document).encode()
    return Descriptor.of(raw, mt.OCI_MANIFEST), raw


def headers_of(descriptor: Descriptor) -> dict[str, str]:
    """Return the headers of a response with this manifest."""
    return {
        "Content-Type": descriptor.media_type,
        "Docker-Content-Digest": str(descriptor.digest),
        "Content-Length": str(descriptor.size),
    }


def errors(code: str, message: str = "", detail: Any = None) -> bytes:
    """Return the body of a refusal."""
    return json.dumps({"errors": [{"code": code, "message": message, "detail": detail}]}).encode()
