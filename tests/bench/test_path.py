"""The number of functions between the engine and the socket is bounded."""

from __future__ import annotations

import asyncio

from bench.path import functions


async def test_a_blob_passes_fewer_than_30_functions_from_the_engine_to_the_socket_and_back():
    found = await asyncio.to_thread(functions)
    assert "engines/native.py: NativeEngine.stage" in found
    assert "registry/http/wire.py: Wire.send" in found
    assert len(found) < 30, "\n".join(found)
