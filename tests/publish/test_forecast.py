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
    TargetForecast,
    compare,
    cost_of,
    undecided,
)

OLD, NEW = Digest.of(b"old"), Digest.of(b"new")
LAYER = Descriptor("application/vnd.oci.image.layer.v1.tar+gzip", Digest.of(b"layer"), 1000)
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
