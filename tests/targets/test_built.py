"""Publishing finds a target by its uid, and asks product APIs only when no written target has it."""

import pytest

from bakery.config.load import load_project
from bakery.products.catalog import ProductCatalog
from bakery.products.fetch import Offline, Replay
from bakery.targets.built import find_built
from tests import projects

WRITTEN = "connect-2026-03-1-standard-ubuntu-24-04"
DEV = "connect-2026-04-0-dev-10-gbe0a4a3d31-standard-ubuntu-24-04-daily"
ROW = "session-r4-3-3-python3-12-12-ubuntu-24-04"


@pytest.fixture
def nightly():
    return load_project(projects.HERE / "nightly")


def never():
    raise AssertionError("nothing needed to be asked")


def test_nobody_is_asked_when_every_uid_is_written(nightly):
    found = find_built(nightly, [WRITTEN], never)
    assert WRITTEN in {target.uid for target in found.targets}


def test_a_uid_of_no_image_that_could_have_it_asks_nobody(nightly):
    assert find_built(nightly, [WRITTEN, "buildx", "elsewhere-1-0-0"], never).problems == ()


@pytest.mark.parametrize("uid", [DEV, ROW])
def test_a_version_that_is_not_written_is_looked_up(nightly, uid):
    found = find_built(nightly, [WRITTEN, uid], lambda: ProductCatalog(Replay(projects.HTTP)))
    uids = [target.uid for target in found.targets]
    assert {WRITTEN, uid} <= set(uids)
    assert len(uids) == len(set(uids))


def test_only_the_image_that_a_uid_may_belong_to_is_asked_about(nightly):
    asked = []

    class Counting(Replay):
        def get(self, url):
            asked.append(url)
            return super().get(url)

    find_built(nightly, [ROW], lambda: ProductCatalog(Counting(projects.HTTP)))
    assert len(asked) == 2  # R and python
    assert not any("connect" in url or "positron" in url for url in asked)


def test_what_cannot_be_looked_up_is_told_and_the_written_targets_stay(nightly):
    found = find_built(nightly, [WRITTEN, DEV, ROW], lambda: ProductCatalog(Offline()))
    assert WRITTEN in {target.uid for target in found.targets}
    assert found.failed
    assert all("--offline" in problem.message for problem in found.problems)
