"""A registry and a client for it. `registry` runs in memory and in a folder; every test must pass with both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from bakery.rehearsal import EmbeddedRegistry
from tests.rehearsal.content import Http


@pytest.fixture(params=["memory", "folder"])
async def registry(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EmbeddedRegistry]:
    async with EmbeddedRegistry(tmp_path / "store" if request.param == "folder" else None) as running:
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as opened:
        # aiohttp retries an idempotent request once if the connection drops; these tests must see the drop.
        opened._retry_connection = False
        yield opened


@pytest.fixture
def http(session: aiohttp.ClientSession, registry: EmbeddedRegistry) -> Http:
    return Http(session, registry)
