"""Plans: the order of tags, one destination per repository, and targets that claim the same tag."""

import pytest
from msgspec.structs import replace

from bakery.oci.reference import LayoutPath, LayoutReference, Repository
from bakery.publish.plan import Plan, PlannedTarget, Source, destinations, push_order, refuse_clashes
from tests.publish.fakes import target

ONE, TWO = Repository.parse("one.example/app"), Repository.parse("two.example/app")


def test_latest_is_written_last_and_the_others_in_order():
    assert push_order({"latest", "nightly", "1.0", "a"}) == ("1.0", "a", "nightly", "latest")


def test_a_repository_that_is_named_twice_is_one_destination_with_all_its_tags():
    hub, index = Repository.parse("docker.io/acme/app"), Repository.parse("index.docker.io/acme/app")
    (place,) = destinations([(hub, ["2", "1"]), (index, ["latest", "1"])])
    assert place.tags == ("1", "2", "latest")


def claims(uid: str, *tags: str, repository: str = "one.example/app") -> PlannedTarget:
    return target([], ((repository, tags),), uid=uid)


def uids(plan: Plan) -> tuple[list[str], list[str]]:
    return [one.uid for one in plan.targets], [one.target.uid for one in plan.refused]


def test_both_targets_that_claim_a_tag_are_refused_and_each_error_names_both():
    plan = refuse_clashes([claims("a", "1"), claims("b", "2"), claims("c", "1")], hint="rename one")
    assert uids(plan) == (["b"], ["a", "c"])
    for refused in plan.refused:
        assert str(refused.error) == "cannot publish tag one.example/app:1: a and c both claim it"
        assert refused.error.hint == "rename one"


def test_a_third_target_that_claims_the_tag_is_refused_too_and_the_first_error_stays():
    plan = refuse_clashes([claims(uid, "1") for uid in "abc"])
    assert uids(plan) == ([], ["a", "b", "c"])
    assert ["a and b both" in str(one.error) for one in plan.refused] == [True, True, False]


def test_the_same_tag_in_another_repository_is_no_clash():
    plan = refuse_clashes([claims("a", "1"), claims("b", "1", repository="two.example/app")])
    assert uids(plan) == (["a", "b"], [])


@pytest.mark.parametrize("again", [False, True])
def test_a_target_does_not_clash_with_itself(again):
    one = claims("a", "1")
    planned = replace(one, destinations=one.destinations * 2) if again else one
    assert uids(refuse_clashes([planned])) == (["a"], [])


def test_the_registries_of_a_plan_are_those_of_its_sources_and_destinations_and_no_layout():
    layout = LayoutReference(LayoutPath("images"), "sha256:" + "a" * 64)
    one = target(
        [Source(Repository.parse("tmp.example/a").with_tag("x")), Source(layout)], (("one.example/app", ("1",)),)
    )
    assert Plan((one,)).registries == ("tmp.example", "one.example")
