"""Uploads in chunks to real registries, through a proxy that fails once: the session decides where they go on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections import Counter

import pytest

from bakery.oci.reference import Repository
from bakery.registry.upload_plan import GHCR_CHUNK_BYTES
from tests.peers.registries import KINDS, RealRegistry
from tests.wire.making import blob, body_of, make_client
from tests.wire.script import raw_server

LAYER, CONTENT = blob(os.urandom(3 * GHCR_CHUNK_BYTES + 1))
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"


async def read_message(reader: asyncio.StreamReader, *, has_body: bool = True) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = LENGTH.search(head)
    return head + await reader.readexactly(int(length[1]) if length and has_body else 0)


class Proxy:
    """Passes requests on, refuses bodies larger than a chunk, and fails at the second chunk."""

    def __init__(self, registry: RealRegistry, fault: str) -> None:
        self.registry, self.fault, self.met = registry, fault, Counter[bytes]()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            message = await read_message(reader)
            method = message.partition(b" ")[0]
            self.met[method] += 1
            response = BAD_GATEWAY
            if len(message) > 2 * GHCR_CHUNK_BYTES:
                response = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"
            elif (method, self.met[method]) != (b"PATCH", 2):
                response = await self.passed_on(message)
            elif self.fault == "its response is lost":
                await self.passed_on(message)
            elif self.fault == "half of it arrives":
                with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                    await self.passed_on(message, GHCR_CHUNK_BYTES // 2)
            writer.write(response)
            await writer.drain()

    async def passed_on(self, message: bytes, size: int | None = None) -> bytes:
        """Return the response of the registry to the message, or to its first bytes."""
        host, _, port = self.registry.host.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(message[:size])
            if size is not None:
                writer.write_eof()
            return await read_message(reader, has_body=not message.startswith(b"HEAD"))
        finally:
            writer.close()


FAULTS = {  # how many chunks docker-registry 2.8 and distribution 3 receive; without a fault, 4
    "it does not arrive": (5, 5),
    "its response is lost": (6, 4),  # 2.8 does not know a session by an earlier URL: the upload begins again
    "half of it arrives": (6, 6),
}


@pytest.mark.parametrize(("fault", "chunks"), FAULTS.items(), ids=FAULTS)
async def test_a_chunk_that_fails_at_a_proxy_loses_nothing(
    real_registry: RealRegistry, fault: str, chunks: tuple[int, int]
):
    proxy = Proxy(real_registry, fault)
    async with raw_server(proxy.serve) as host, make_client() as client:
        await client.blobs(Repository(host, "acme/app")).write(LAYER, body_of(CONTENT))
    stored = real_registry.blobs / "sha256" / LAYER.digest.hex[:2] / LAYER.digest.hex / "data"
    assert stored.read_bytes() == CONTENT
    assert proxy.met[b"PATCH"] == chunks[KINDS.index(real_registry.kind)]
