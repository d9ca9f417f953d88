"""One suite, two engines: `engine` is each of them, as a function that makes it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bakery.engines.cli import CliEngine
from bakery.engines.native import NativeEngine
from bakery.oci.reference import Repository
from bakery.publish.engine import Engine
from bakery.registry.client import Client
from bakery.registry.config import RegistryConfig
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.retry import RetryPolicy
from bakery.soci.options import SociSettings
from tests.peers.programs import need

MakeEngine = Callable[..., Engine]
ROOT = Path(__file__).parents[2]
REAL_IDENTIFIER = "AWS SOCI CLI v0.2"
QUICK = RetryPolicy(base_delay=0.01, jitter=False)


def native(*, towards: Iterable[Repository] = (), **_: object) -> Engine:
    client = Client(config=RegistryConfig.from_environment({}), policy=QUICK)
    client.announce_writes(towards)
    return NativeEngine(client, soci=SociSettings(build_tool_identifier=REAL_IDENTIFIER))


def cli(environment: dict[str, str] | None = None, *, needs_soci: bool = False, **_: object) -> Engine:
    variables = os.environ | {"ORAS_PATH": str(need("oras"))} | (environment or {})
    return CliEngine(
        ROOT, config=RegistryConfig.from_environment({}), environment=variables, needs_soci=needs_soci, policy=QUICK
    )


@pytest.fixture(params=[pytest.param(cli, marks=pytest.mark.peer, id="cli"), pytest.param(native, id="native")])
def engine(request: pytest.FixtureRequest) -> MakeEngine:
    make: MakeEngine = request.param
    return make


@pytest.fixture
async def registries() -> AsyncIterator[list[EmbeddedRegistry]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(EmbeddedRegistry()) for _ in range(3)]
