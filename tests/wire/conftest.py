"""Fixtures of the tests on real sockets."""

from __future__ import annotations

import pytest

from tests.wire.attacks import Tls
from tests.wire.channel import Channel


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return Tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=["plain", "TLS"])
def channel(request: pytest.FixtureRequest, tls: Tls) -> Channel:
    """Run the test twice: over plain HTTP and over TLS."""
    return Channel(None if request.param == "plain" else tls)
