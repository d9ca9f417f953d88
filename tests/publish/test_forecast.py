"""What tags become, and what a run transfers: each blob once to a registry, and mounted where it already is."""

import pytest

from bakery.errors import BakeryError
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.publish.forecast import (
    AT_ONCE,
    BYTES_PER_S,
    Change,
    DestinationForecast,
    Forecast,
    TagForecast,
    TargetForecast,
    compare,
    cost_of,
    held_together,
    judged,
    undecided,
)
from bakery.publish.plan import RefusedTarget
from bakery.publish.policy import Action, Verdict
from tests.publish.fakes import target as planned

OLD, NEW = Digest.of(b"old"), Digest.of(b"new")
LAYER = Descriptor("application/vnd.oci.image.layer.v1.tar+gzip", Digest.of(b"layer"), 1000)
OTHER = Descriptor("application/vnd.oci.image.layer.v1.tar+gzip", Digest.of(b"other layer"), 500)
CONFIG = Descriptor("application/vnd.oci.image.config.v1+json", Digest.of(b"config"), 10)


def test_a_tag_is_new_moves_or_stays_equal():
    found = compare(["a", "b", "c"], {"a": None, "b": OLD, "c": NEW}, NEW)
    assert [one.change for one in found] == [Change.NEW, Change.MOVES, Change.EQUAL]
    assert [one.now for one in found] == [None, OLD, NEW]


def test_what_a_tag_will_name_may_be_unknown():
    assert [one.change for one in compare(["a", "b"], {"b": OLD}, None)] == [Change.NEW, Change.UNKNOWN]
    assert {one.change for one in undecided(["a"], now={"a": OLD})} == {Change.UNKNOWN}


def target(uid, *places, blobs):
    destinations = tuple(
        DestinationForecast(Repository.parse(where), compare(["1"], {}, NEW), lacking, manifests=2)
        for where, lacking in places
    )
    return TargetForecast(uid, NEW, ("linux/amd64",), (), destinations, blobs)


def test_a_blob_is_sent_once_to_each_registry_and_then_mounted():
    blobs = {LAYER.digest: "tmp.example", CONFIG.digest: "tmp.example"}
    one = target("a", ("one.example/a", (LAYER, CONFIG)), ("two.example/a", (LAYER,)), blobs=blobs)
    other = target("b", ("one.example/b", (LAYER,)), blobs=blobs)
    cost = cost_of([one, other], {})
    assert (cost.send_blobs, cost.send_bytes, cost.mount_blobs) == (3, 2010, 1)


def test_a_blob_whose_source_is_in_the_same_registry_is_not_sent():
    cost = cost_of([target("a", ("ghcr.io/a", (LAYER,)), blobs={LAYER.digest: "ghcr.io"})], {})
    assert (cost.send_bytes, cost.mount_blobs) == (0, 1)


def test_time_grows_with_bytes_and_with_the_round_trip_of_the_slowest_registry():
    near = target("a", ("near.example/a", (LAYER,)), ("far.example/a", (LAYER,)), blobs={LAYER.digest: "tmp"})
    fast, slow = (cost_of([near], {"near.example": 0.01, "far.example": seconds}) for seconds in (0.01, 1.0))
    assert slow.seconds - fast.seconds == pytest.approx(0.99 * (6 + requests_at(near) / AT_ONCE))
    assert cost_of([near], {}).seconds == 2000 / BYTES_PER_S


def requests_at(one):
    return cost_of([TargetForecast(one.uid, NEW, (), (), one.destinations[1:], one.blobs)], {}).requests - 1


@pytest.mark.parametrize("where", ["target", "destination", "tag", "nowhere"])
def test_a_failure_or_a_refusal_anywhere_fails_the_run(where):
    error = BakeryError("no")
    tags = compare(["1"], {"1": OLD}, NEW)
    if where == "tag":
        tags = (type(tags[0])("1", Change.REFUSED, OLD, NEW, "immutable"),)
    place = DestinationForecast(
        Repository.parse("a.example/b"), tags, failure=error if where == "destination" else None
    )
    found = TargetForecast("a", NEW, (), (), (place,), failure=error if where == "target" else None)
    assert Forecast((found,)).would_fail == (where != "nowhere")


def forecast_of(uid, *changes, failure=None, place_failure=None):
    """A target with one destination for each group of changes of its tags."""
    places = tuple(
        DestinationForecast(
            Repository.parse(f"r{number}.example/{uid}"),
            tuple(TagForecast(f"{at}", change) for at, change in enumerate(group)),
            failure=place_failure if number == 0 else None,
        )
        for number, group in enumerate(changes)
    )
    return TargetForecast(uid, NEW, (), (), places, failure=failure)


GOOD = forecast_of("good", [Change.NEW, Change.EQUAL], [Change.MOVES])
FAILS = BakeryError("no")


@pytest.mark.parametrize(
    "bad",
    [
        forecast_of("bad", [Change.NEW], failure=FAILS),
        forecast_of("bad", [Change.NEW], [Change.NEW], place_failure=FAILS),
        forecast_of("bad", [Change.NEW], [Change.NEW, Change.REFUSED]),
    ],
)
def test_one_part_that_fails_among_good_ones_fails_the_run(bad):
    assert Forecast((GOOD, bad, GOOD)).would_fail
    assert not Forecast((GOOD, GOOD)).would_fail


def test_a_refused_target_fails_the_run():
    refused = RefusedTarget(planned([]), FAILS)
    assert Forecast((GOOD,), refused=(refused,)).would_fail


def test_changes_are_counted_over_all_targets_and_destinations():
    found = Forecast((GOOD, forecast_of("b", [Change.NEW])))
    assert [found.count(change) for change in (Change.NEW, Change.MOVES, Change.EQUAL, Change.REFUSED)] == [2, 1, 1, 0]


def test_the_policy_decides_about_the_tags_that_it_judges():
    tags = compare(["a", "b", "c", "d"], {"a": OLD, "b": OLD, "c": OLD, "d": OLD}, NEW)
    verdicts = {
        "a": Verdict(Action.REFUSE, "immutable"),
        "b": Verdict(Action.SKIP, "older"),
        "c": Verdict(Action.MOVE, "goes back"),
    }
    found = judged(tags, verdicts)
    assert [one.change for one in found] == [Change.REFUSED, Change.STAYS, Change.MOVES, Change.MOVES]
    assert [one.reason for one in found] == ["immutable", "older", "goes back", ""]


@pytest.mark.parametrize(
    "bad",
    [
        forecast_of("bad", [Change.NEW], failure=FAILS),
        forecast_of("bad", [Change.NEW], [Change.NEW], place_failure=FAILS),
        forecast_of("bad", [Change.NEW, Change.REFUSED]),
    ],
)
def test_a_part_that_fails_holds_the_tags_of_its_set_and_of_no_other(bad):
    sets = {"bad": "image app", "good": "image app", "other": "image other"}
    other = forecast_of("other", [Change.NEW])
    _, good, untouched = held_together([bad, GOOD, other], sets)
    found = [(tag.change, tag.reason) for place in good.destinations for tag in place.tags]
    why = "another part of the image app would fail"
    assert found == [(Change.STAYS, why), (Change.EQUAL, ""), (Change.STAYS, why)]
    assert untouched == other


def test_nothing_is_held_if_everything_would_be_published_and_all_if_a_part_is_missing():
    sets = {"good": "run"}
    assert held_together([GOOD], sets) == (GOOD,)
    (held,) = held_together([GOOD], sets, ["run"])
    assert Forecast((held,)).count(Change.STAYS) == 2


def test_the_requests_of_a_target_are_counted():
    blobs = {LAYER.digest: "tmp.example", OTHER.digest: "tmp.example", CONFIG.digest: "ghcr.io"}
    place = DestinationForecast(
        Repository.parse("ghcr.io/a"),
        compare(["1", "2", "3"], {"2": OLD, "3": NEW}, NEW),
        (LAYER, OTHER, CONFIG),
        manifests=3,
    )
    cost = cost_of([TargetForecast("a", NEW, (), (), (place,), blobs)], {})
    # At ghcr.io: the list of tags, a look for each blob, two for each manifest, a look for each tag and two more for
    # each that moves, two to send each layer, one to mount the config. At tmp.example: one to read each layer.
    assert cost.requests == (1 + 3 + 2 * 3 + 3 + 2 * 2 + 2 * 2 + 1) + 2
