"""Putting tags back: lag, limits, registries that do not delete, and what is recorded."""

import asyncio

import pytest

from bakery.events import Event, TagRestored
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.publish import restore
from bakery.publish.outcome import State
from bakery.publish.restore import is_ours
from bakery.publish.sets import Whole
from tests.publish.fakes import DictionaryEngine, target
from tests.publish.test_sets import BOTH, OLD, ONE, TWO, builds, old_tags, publish, refusing, tag_states

NEW, OTHER = Digest.of(b"new"), Digest.of(b"other")
TAG = Repository.parse(ONE).with_tag("1.0")


class LaggingEngine(DictionaryEngine):
    """An engine whose reads of a tag return these digests first; `verify` says what the tag names in the end."""

    def __init__(self, *reads: Digest | None, verify: Digest = NEW) -> None:
        super().__init__()
        self.reads, self.verified = list(reads), verify

    async def read_tag(self, reference):
        return self.reads.pop(0)

    async def verify_tag(self, reference, digest, *, previous):
        assert self.verified == digest


@pytest.mark.parametrize(
    ("found", "moved", "ours"),
    [
        (NEW, True, True),
        (NEW, False, True),  # its request had no response, and it has moved
        (OLD, True, True),  # acknowledged: its old digest is lag
        (None, True, True),
        (OLD, False, False),  # it never moved
        (OTHER, True, False),
        (OTHER, False, False),
    ],
)
async def test_a_tag_is_ours_if_it_names_what_we_put_there_or_lags_behind_it(found, moved, ours):
    assert await is_ours(LaggingEngine(found), TAG, NEW, OLD, moved=moved) is ours


async def test_a_tag_that_another_digest_reached_after_the_lag_is_not_ours():
    with pytest.raises(AssertionError):  # what verify_tag raises is recorded as the reason
        await is_ours(LaggingEngine(OLD, verify=OTHER), TAG, NEW, OLD, moved=True)


async def test_a_registry_that_deletes_no_tags_keeps_a_new_one_which_is_listed(monkeypatch):
    engine = DictionaryEngine()

    async def refuses(reference):
        return False

    monkeypatch.setattr(engine, "remove_tag", refuses)
    engine.refuse = refusing(("tag", TWO))
    outcome = await publish(engine, target(builds(engine), BOTH), whole=Whole.RUN)
    one, _ = outcome.targets[0].destinations
    assert {tag.problem for tag in one.tags} == {
        f"cannot delete the new tag {ONE}:{tag}: the registry does not allow it" for tag in ("1.0", "latest")
    }
    assert {tag.state for tag in one.tags} == {State.PUBLISHED}


async def test_what_was_not_restored_in_time_is_listed_and_left_alone(monkeypatch):
    engine, ended = DictionaryEngine(), list[str]()
    old_tags(engine, *BOTH)
    extended = list[float]()
    monkeypatch.setattr(engine, "extend", extended.append)
    monkeypatch.setattr(restore.restore_set, "__kwdefaults__", {"within_s": 0.01})

    async def hangs(reference, digest):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(str(reference))

    monkeypatch.setattr(engine, "set_tag", hangs)
    engine.refuse = refusing(("tag", TWO))
    outcome = await publish(engine, target(builds(engine), BOTH), whole=Whole.RUN)
    assert {tag.problem for tag in outcome.targets[0].destinations[0].tags} == {"not restored within 0 s"}
    assert ended == [f"{ONE}:1.0"]
    assert extended == [0.01]


async def test_what_was_restored_is_an_event_with_what_it_replaced():
    engine, events = DictionaryEngine(), list[Event]()
    old_tags(engine, *BOTH)
    engine.refuse = refusing(("tag", TWO))
    outcome = await publish(engine, target(builds(engine), BOTH), whole=Whole.RUN, events=events)
    digest = str(outcome.targets[0].digest)
    restored = [event for event in events if isinstance(event, TagRestored)]
    assert restored == [TagRestored("app", f"{ONE}:{tag}", str(OLD), digest) for tag in ("1.0", "latest")]
    assert set(tag_states(outcome).values()) == {State.RESTORED, State.FAILED}
