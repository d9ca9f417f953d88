"""What applies to every test: Hypothesis profiles, time limits and the signals that child processes inherit."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from bakery.config import apart
from bakery.text import forget_secrets
from tests import hypothesis_profiles as hypothesis_profiles  # registers the profiles
from tests import written

# A conversion by the real soci, or a publish to a real registry, takes minutes on a busy machine. Every other test has
# the limit in pyproject.toml.
_LONG_LIMIT_S = 600


def pytest_configure() -> None:
    """Restore the signals that a shell ignores for a background job, and `nohup` for its command.

    Children inherit an ignored signal, and `bakery` respects that: tests that send one would wait for nothing.
    """
    for signum in (signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(signum) is signal.SIG_IGN:
            signal.signal(signum, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests marked `slow` or `peer` a longer time limit."""
    for item in items:
        is_long = item.get_closest_marker("slow") is not None or item.get_closest_marker("peer") is not None
        if is_long and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_LONG_LIMIT_S))


@pytest.fixture(autouse=True)
def nothing_known_from_other_tests() -> Iterator[None]:
    """Mask no secret that another test made known, and render patterns in this process."""
    forget_secrets()
    apart.use(None)
    yield
    forget_secrets()
    apart.use(None)


@pytest.fixture(autouse=True, scope="session")
def summaries_and_journals_are_as_published() -> Iterator[None]:
    """Check every summary and journal that is written in this process against its schema."""
    with written.checking():
        yield


@pytest.fixture(autouse=True)
def summaries_and_journals_of_other_processes_are_as_published(request: pytest.FixtureRequest) -> Iterator[None]:
    """Check those that a test leaves in its temporary folder."""
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if folder is not None:
        written.check_files(folder)
