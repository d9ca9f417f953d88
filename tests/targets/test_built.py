"""Publishing finds a target by its uid, and queries product APIs only if no defined target has it."""

import pytest

from bakery.config.load import load_project
from bakery.products.catalog import ProductCatalog
from bakery.products.source import CachedPages, RecordedPages
from bakery.targets.built import find_built
from tests import projects

WRITTEN = "connect-2026-03-1-standard-ubuntu-24-04"
DEV = "connect-2026-04-0-dev-10-gbe0a4a3d31-standard-ubuntu-24-04-daily"
ROW = "session-r4-3-3-python3-12-12-ubuntu-24-04"


@pytest.fixture
def nightly():
    return load_project(projects.HERE / "nightly")


def never():
    raise AssertionError("no lookup is needed")


def test_nothing_is_queried_if_every_uid_is_defined(nightly):
    found = find_built(nightly, [WRITTEN], never)
    assert WRITTEN in {target.uid for target in found.targets}


def test_nothing_is_queried_for_a_uid_that_no_image_can_have(nightly):
    assert find_built(nightly, [WRITTEN, "buildx", "elsewhere-1-0-0"], never).problems == ()


@pytest.mark.parametrize("uid", [DEV, ROW])
def test_a_version_that_is_not_defined_is_looked_up(nightly, uid):
    found = find_built(nightly, [WRITTEN, uid], lambda: ProductCatalog(RecordedPages(projects.HTTP)))
    uids = [target.uid for target in found.targets]
    assert {WRITTEN, uid} <= set(uids)
    assert len(uids) == len(set(uids))


def test_only_the_image_that_a_uid_may_belong_to_is_looked_up(nightly):
    fetched = []

    class Counting(RecordedPages):
        def fetch(self, urls):
            fetched.extend(urls)
            return super().fetch(urls)

    find_built(nightly, [ROW], lambda: ProductCatalog(Counting(projects.HTTP)))
    assert len(fetched) == 2  # R and python
    assert not any("connect" in url or "positron" in url for url in fetched)


def test_a_failed_lookup_is_reported_and_the_defined_targets_remain(nightly):
    found = find_built(nightly, [WRITTEN, DEV, ROW], lambda: ProductCatalog(CachedPages()))
    assert WRITTEN in {target.uid for target in found.targets}
    assert found.failed
    assert all("--offline" in problem.message for problem in found.problems)
