"""Every example project expands to exactly the expected targets, with every filter."""

import pytest

from bakery.config.load import load_project
from bakery.targets.select import Selection, select
from tests import projects
from tests.targets.listing import described, selection

OFFLINE = ("atlas-app", "lab-matrix", "relay-registries")


@pytest.mark.parametrize("name", OFFLINE)
def test_every_target_of_an_example_is_as_expected(name):
    wanted = projects.expected(name)
    project = load_project(projects.HERE / name)
    found = select(project, Selection(matrix_versions="include"), environ=wanted.get("environment", {}))
    assert {target.uid: described(target) for target in found.targets} == wanted["targets"]


@pytest.mark.parametrize(
    ("name", "entry"),
    [pytest.param(name, entry, id=f"{name}-{case}") for name, case, entry in projects.cases("select", OFFLINE)],
)
def test_every_filter_selects_the_expected_targets_in_order(name, entry):
    project = load_project(projects.HERE / name)
    found = select(project, selection(entry["args"]), environ={})
    assert [target.uid for target in found.targets] == entry["uids"]
