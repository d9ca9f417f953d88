"""Fixtures that start real registries; marks every test in this folder as `peer`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.peers.builder import BuildKit, build_kit
from tests.peers.programs import need
from tests.peers.registries import KINDS, Basic, RealRegistry, serve
from tests.peers.tokens import TokenService, token_service

HERE = Path(__file__).parent

StartRegistry = Callable[..., RealRegistry]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.peer)


@pytest.fixture
def start_registry(tmp_path: Path) -> Iterator[StartRegistry]:
    """Start any number of registries, such as `start_registry("distribution", auth=Basic())`; all end with the test."""
    with ExitStack() as stack:

        def start(kind: str, *, auth: Basic | TokenService | None = None) -> RealRegistry:
            number = len(list(tmp_path.glob("registry-*")))
            return stack.enter_context(serve(kind, need(kind), tmp_path / f"registry-{number}", auth=auth))

        yield start


@pytest.fixture
def docker_registry(start_registry: StartRegistry) -> RealRegistry:
    """Debian's docker-registry 2.8.2."""
    return start_registry("docker-registry")


@pytest.fixture
def distribution(start_registry: StartRegistry) -> RealRegistry:
    """distribution 3.1.2."""
    return start_registry("distribution")


@pytest.fixture(params=KINDS)
def real_registry(request: pytest.FixtureRequest, start_registry: StartRegistry) -> RealRegistry:
    """Run the test with each of the two."""
    return start_registry(request.param)


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[TokenService]:
    """Start a token service for `start_registry(kind, auth=tokens)`."""
    with token_service(tmp_path / "tokens") as service:
        yield service


@pytest.fixture(scope="session")
def buildkit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BuildKit]:
    """Start buildkitd for the whole session; buildx knows it as the builder `tests`."""
    with build_kit(tmp_path_factory.mktemp("buildkit")) as daemon:
        yield daemon
