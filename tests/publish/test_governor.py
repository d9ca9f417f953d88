"""The governor by itself: what it reads right before a write, how long it waits after one, and what it tells."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bakery.errors import Unavailable
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.publish.assemble import assemble_target
from bakery.publish.govern import LONGEST_WINDOW_S, Governor
from bakery.publish.plan import Destination
from bakery.publish.policy import Action, PolicyRefused, Rule, TagPolicy
from bakery.publish.progress import DestinationProgress
from bakery.publish.read import read_sources
from bakery.publish.sources import wait_for_sources
from tests.clock import JumpingClock
from tests.publish.fakes import DictionaryEngine, add_image, build, target

HERE = Repository.parse("one.example/app")
DATES = {"1.0.0": "2026-01-01T00:00:00Z", "2.0.0": "2026-02-01T00:00:00Z", "3.0.0": "2026-03-01T00:00:00Z"}


class Governed:
    """A governor for version 2.0.0 of an image, over an engine in memory."""

    def __init__(self, policy: TagPolicy, *tags: str) -> None:
        self.engine, self.clock, self.notes = DictionaryEngine(), JumpingClock(), list[str]()
        self.clock.time = 100.0
        self.policy, self.tags = policy, tags

    async def make(self, **previous: Digest | None) -> Governor:
        made = [build(add_image(self.engine, "linux/amd64", created=DATES["2.0.0"]))]
        planned = replace(target(made, ((str(HERE), self.tags),), platforms=()), policy=self.policy, version="2.0.0")
        found = await wait_for_sources(planned, self.engine, limit_s=0, clock=self.clock, emit=lambda event: None)
        self.image = assemble_target(planned, await read_sources(planned, self.engine, found))
        named = {tag: previous.get(tag.replace(".", "_")) for tag in self.tags}
        self.engine.tags |= {(HERE, tag): digest for tag, digest in named.items() if digest is not None}
        self.place = DestinationProgress(Destination(HERE, self.tags), previous=dict(named))
        return Governor(planned, self.image, self.place, self.engine, clock=self.clock, note=self.notes.append)

    def release(self, version: str) -> Digest:
        """An image of another version in the repository."""
        return add_image(self.engine, "linux/amd64", created=DATES[version], repository=HERE, salt=version).digest

    def write(self, tag: str, digest: Digest) -> None:
        self.engine.tags[HERE, tag] = digest


IF_NEWER = TagPolicy(if_newer=True)


async def test_a_tag_that_no_rule_binds_is_not_read_again():
    one = Governed(TagPolicy(), "latest")
    governor = await one.make()
    one.engine.refuse = lambda action, repository: Unavailable("cannot read", about="x", status=503)
    assert await governor.right_before("latest")


async def test_a_tag_that_names_something_else_by_now_is_judged_and_that_is_its_previous_digest():
    one = Governed(IF_NEWER, "latest")
    older, newer = one.release("1.0.0"), one.release("3.0.0")
    governor = await one.make(latest=older)
    assert await governor.right_before("latest")
    one.write("latest", newer)
    assert not await governor.right_before("latest")
    assert one.place.previous["latest"] == newer
    assert one.place.verdicts["latest"].action is Action.REFUSE
    another = one.release("1.0.0")
    one.write("latest", another)
    assert one.place.held == {"latest"}


async def test_a_tag_that_was_deleted_may_move_and_one_that_names_the_image_need_not():
    one = Governed(IF_NEWER, "latest")
    governor = await one.make(latest=one.release("1.0.0"))
    del one.engine.tags[HERE, "latest"]
    assert await governor.right_before("latest")
    assert one.place.previous["latest"] is None
    one.write("latest", one.image.digest)
    assert not await governor.right_before("latest")
    assert one.place.verdicts == {}


@pytest.mark.parametrize(("own_s", "window_s"), [(0.1, 1.0), (0.5, 2.0), (60.0, LONGEST_WINDOW_S)])
async def test_the_window_is_four_times_as_long_as_our_own_read_and_write_within_limits(own_s, window_s):
    one = Governed(IF_NEWER, "latest")
    governor = await one.make()
    began = one.clock.now()
    one.clock.time += own_s
    governor.wrote("latest", began)
    one.clock.time += 0.25
    assert await governor.after_window(["latest"]) == []
    assert sum(one.clock.slept) == pytest.approx(window_s - 0.25)


async def test_only_tags_that_must_be_newer_have_a_window():
    one = Governed(TagPolicy(no_downgrade=True), "latest")
    governor = await one.make()
    governor.wrote("latest", one.clock.now() - 60)
    assert await governor.after_window(["latest"]) == []
    assert one.clock.slept == []


async def test_after_the_window_an_older_image_is_replaced_and_a_newer_one_left_with_a_note():
    one = Governed(IF_NEWER, "1", "2", "latest")
    governor = await one.make()
    one.write("1", one.release("1.0.0"))
    one.write("2", one.release("3.0.0"))
    one.write("latest", one.image.digest)
    assert await governor.after_window(["1", "2", "latest"]) == ["1"]
    assert one.place.taken == {"2"}
    assert one.notes == ["another run moved 2 since, to an image that is newer"]


async def test_what_a_rule_does_to_a_tag_is_told_once_and_a_refusal_is_raised():
    one = Governed(
        TagPolicy(latest=Rule.NO_DOWNGRADE, other=Rule.WARN, version=Rule.IF_NEWER), "latest", "edge", "2.0.0", "2"
    )
    newer, older = one.release("3.0.0"), one.release("1.0.0")
    governor = await one.make(latest=newer, edge=newer, **{"2_0_0": newer, "2": older})
    await governor.foresee(is_whole=False)
    assert sorted(note.removeprefix(f"{HERE}: ").split()[0] for note in one.notes) == ["edge", "latest"]
    assert one.place.held == {"latest", "2.0.0"}
    with pytest.raises(PolicyRefused, match=r"2\.0\.0 names"):
        governor.check()


@pytest.mark.parametrize(("policy", "is_whole", "raises"), [
    (IF_NEWER, False, False),
    (IF_NEWER, True, True),
    (TagPolicy(immutable=("latest",)), False, True),
    (TagPolicy(if_newer=True, immutable=("2.0.0",)), False, True),
])  # fmt: skip
async def test_a_refusal_stops_the_whole_set_or_the_target_if_a_tag_is_immutable(policy, is_whole, raises):
    one = Governed(policy, "latest", "2.0.0")
    newer = one.release("3.0.0")
    governor = await one.make(latest=newer, **{"2_0_0": newer})
    if raises:
        with pytest.raises(PolicyRefused):
            await governor.foresee(is_whole=is_whole)
    else:
        await governor.foresee(is_whole=is_whole)
        assert one.place.refused == ["latest", "2.0.0"]


async def test_a_registry_that_fails_stops_a_tag_that_a_rule_binds_and_no_other():
    for policy, binds in ((TagPolicy(if_newer=True), True), (TagPolicy(), False)):
        one = Governed(policy, "latest")
        governor = await one.make(latest=one.release("3.0.0"))
        one.engine.refuse = lambda action, repository: Unavailable("cannot read", about="x", status=503)
        if binds:
            with pytest.raises(Unavailable):
                await governor.foresee(is_whole=False)
        else:
            await governor.foresee(is_whole=False)
