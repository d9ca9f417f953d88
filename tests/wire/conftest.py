"""Fixtures of the tests on real sockets."""

from pathlib import Path

import pytest

from tests.wire.attacks import Tls


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    return Tls(tmp_path)
