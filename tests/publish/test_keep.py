"""`--keep-previous`: what tags leave keeps a tag, unless its version tag still names it."""

from __future__ import annotations

import pytest

from bakery.errors import UsageError
from bakery.events import Event, Noted
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.publish.keep import check_prefix, keep_previous, kept_name
from bakery.publish.plan import Destination
from bakery.publish.policy import Action, Verdict
from bakery.publish.progress import DestinationProgress
from tests.publish.fakes import DictionaryEngine

HERE = Repository.parse("one.example/app")
OLD, OURS = Digest.of(b"old"), Digest.of(b"ours")
KEPT = kept_name("kept-", OLD)


async def kept(
    engine: DictionaryEngine, previous: dict[str, Digest | None], *, held: str = "", version: str = ""
) -> list[Event]:
    place = DestinationProgress(Destination(HERE, tuple(previous)), previous=previous)
    place.verdicts = {held: Verdict(Action.SKIP)} if held else {}
    events: list[Event] = []
    versions = {OLD: version} if version else {}
    await keep_previous(place, engine, "kept-", ours=OURS, versions=versions, emit=events.append)
    return events


async def test_what_a_tag_leaves_gets_a_tag_and_a_second_run_changes_nothing():
    engine = DictionaryEngine()
    events = await kept(engine, {"latest": OLD, "1": OLD, "2": None, "3": OURS})
    assert engine.tags == {(HERE, KEPT): OLD}
    assert events == [Noted("", f"kept {HERE}@{OLD} under the tag {KEPT}", warning=False)]
    assert await kept(engine, {"latest": OLD}) == []
    assert engine.log == [f"set {HERE}:{KEPT}"]


async def test_nothing_is_kept_for_a_tag_that_does_not_move():
    engine = DictionaryEngine()
    assert await kept(engine, {"latest": OLD}, held="latest") == []
    assert engine.tags == {}


@pytest.mark.parametrize(
    ("version", "names", "previous", "needs_tag"),
    [
        ("1.0.0", OLD, {"latest": OLD}, False),
        ("1.0.0", OURS, {"latest": OLD}, True),
        ("1.0.0", OLD, {"latest": OLD, "1.0.0": OLD}, True),
        ("1.0.0+5", OLD, {"latest": OLD}, True),
        ("", OLD, {"latest": OLD}, True),
    ],
)
async def test_a_version_tag_that_stays_keeps_it_already(version, names, previous, needs_tag):
    engine = DictionaryEngine()
    engine.tags[HERE, version] = names
    await kept(engine, previous, version=version)
    assert ((HERE, KEPT) in engine.tags) is needs_tag


@pytest.mark.parametrize("prefix", ["", "kept-", "_", "a" * 64])
def test_a_prefix_is_the_start_of_a_tag(prefix):
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize("prefix", ["-kept", ".", "a b", "a" * 65])
def test_what_no_tag_can_start_with_is_refused(prefix):
    with pytest.raises(UsageError, match="--keep-previous"):
        check_prefix(prefix)
