"""Release sets, restoring and moves by themselves: what opens a set, what breaks it, and what becomes of its tags."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from bakery.errors import BakeryError
from bakery.events import Event, TagRestored
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.publish.assemble import assemble_target
from bakery.publish.commit import Moves
from bakery.publish.image import AssembledImage
from bakery.publish.outcome import Failure, SetFailed, Step
from bakery.publish.plan import Plan, PlannedTarget, RefusedTarget, SkippedTarget
from bakery.publish.progress import DestinationProgress, TargetProgress
from bakery.publish.read import read_sources
from bakery.publish.restore import restore_set
from bakery.publish.sets import Delivery, Hooks, OnFailure, Release, ReleaseSet, Staged, Whole
from bakery.publish.sources import wait_for_sources
from tests.clock import JumpingClock
from tests.publish.fakes import DictionaryEngine, add_image, build, refusal, target

ONE = Repository.parse("one.example/app")
OLD = Digest.of(b"what the tags named before")
NO = BakeryError("cannot push", why="no")


def planned(uid: str, image: str = "app", *places: str) -> PlannedTarget:
    return replace(target([], [(name, ("1",)) for name in places or ("one.example/app",)], uid=uid), image=image)


def release(*targets: PlannedTarget, whole: Whole | None = None, hooks: Hooks | None = None,
            on_failure: OnFailure | None = None, **left_out: object) -> tuple[Release, list[Delivery]]:  # fmt: skip
    states = [TargetProgress(one, tuple(DestinationProgress(place) for place in one.destinations)) for one in targets]
    plan: Plan = replace(Plan(targets), **left_out)
    made = Release(plan, states, whole=whole, on_failure=on_failure, hooks=hooks or Hooks())
    return made, [Delivery(state, place) for state in states for place in state.places]


def members(made: Release) -> dict[str, list[str]]:
    return {one.name: [delivery.key[0] for delivery in one.deliveries] for one in made.sets}


TARGETS = (planned("a", "app"), planned("b", "app"), planned("c", "other"))


def test_what_moves_together_is_a_target_an_image_the_run_or_nothing():
    assert members(release(*TARGETS, whole=Whole.RUN)[0]) == {"run": ["a", "b", "c"]}
    assert members(release(*TARGETS, whole=Whole.IMAGE)[0]) == {"image app": ["a", "b"], "image other": ["c"]}
    assert sorted(members(release(*TARGETS, whole=Whole.TARGET)[0]).values()) == [["a"], ["b"], ["c"]]
    assert len(release(planned("a", "app", "one.example/a", "two.example/a"))[0].sets) == 2


@pytest.mark.parametrize(
    ("whole", "broken"),
    [
        (Whole.RUN, {"run"}),
        (Whole.IMAGE, {"image app"}),
        (Whole.TARGET, set()),
        (None, set()),
    ],
)
@pytest.mark.parametrize(
    "left_out",
    [
        {"refused": (RefusedTarget(planned("x", "app"), NO),)},
        {"skipped": (SkippedTarget("x", "no build", image="app"),)},
    ],
)
def test_what_the_plan_leaves_out_breaks_the_set_that_it_belongs_to(whole, broken, left_out):
    made, _ = release(*TARGETS, whole=whole, **left_out)
    assert {one.name for one in made.sets if one.held_back() is not None} == broken


async def has_returned(waiting: asyncio.Future[None]) -> bool:
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return waiting.done()


async def test_tags_may_move_when_every_delivery_of_the_set_is_staged():
    made, (a, b, c) = release(*TARGETS, whole=Whole.IMAGE)
    first = asyncio.ensure_future(made.may_move(a))
    other = asyncio.ensure_future(made.may_move(c))
    assert await has_returned(other)
    assert not await has_returned(first)
    await made.may_move(b)
    assert await has_returned(first)


async def test_without_a_set_nothing_is_waited_for_and_a_failure_holds_nothing_else():
    made, (a, b, _) = release(*TARGETS)
    await made.may_move(a)
    made.failed(b, NO)
    assert made.set_of(b).held_back() is None


async def test_a_failure_before_the_first_tag_holds_the_set_and_names_the_cause():
    made, (a, b, _) = release(*TARGETS, whole=Whole.IMAGE)
    waiting = asyncio.ensure_future(made.may_move(a))
    made.failed(b, NO)
    made.failed(b, BakeryError("cannot push", why="later"))
    made.end(b)
    with pytest.raises(
        SetFailed, match=r"no tag of the image app moved: b at one\.example/app failed: cannot push: no"
    ):
        await waiting


@pytest.mark.parametrize(("on_failure", "stops"), [(None, True), (OnFailure.RESTORE, True), (OnFailure.KEEP, False)])
async def test_a_failure_while_tags_move_stops_the_others_unless_they_are_to_be_kept(on_failure, stops):
    made, (a, b, _) = release(*TARGETS, whole=Whole.IMAGE, on_failure=on_failure)
    await asyncio.gather(made.may_move(a), made.may_move(b))
    made.failed(b, NO)
    held = made.set_of(a).held_back()
    assert (held is not None) is stops
    if held is not None:
        assert str(held).startswith("stopped moving the tags of the image app")


def test_a_consequence_is_not_the_cause():
    one = ReleaseSet("run", [], is_whole=True, restores=True)
    one.break_off("a", SetFailed("no tag of the run moved"))
    assert one.broken == ""
    one.break_off("b", NO)
    one.break_off("c", BakeryError("cannot push", why="later"))
    assert one.broken == "b failed: cannot push: no"


async def test_the_gate_waits_for_every_delivery_of_the_run_also_for_those_that_fail():
    asked: list[Sequence[Staged]] = []

    async def before_commit(staged: Sequence[Staged]) -> None:
        asked.append(staged)

    made, (a, b, c) = release(*TARGETS, hooks=Hooks(before_commit=before_commit))
    waiting = [asyncio.ensure_future(made.may_move(one)) for one in (a, b)]
    assert not await has_returned(waiting[0])
    c.progress.failure = Failure(Step.STAGE, NO)
    made.failed(c, NO)
    await asyncio.gather(*waiting)
    assert len(asked) == 1
    assert [(one.target.uid, one.error) for one in asked[0]] == [("a", None), ("b", None), ("c", NO)]


async def test_the_gate_is_told_the_failure_of_a_destination_and_what_its_set_holds_back():
    asked: list[Sequence[Staged]] = []

    async def before_commit(staged: Sequence[Staged]) -> None:
        asked.append(staged)

    made, (a, b, c) = release(*TARGETS, whole=Whole.IMAGE, hooks=Hooks(before_commit=before_commit))
    b.place.failure = Failure(Step.STAGE, NO)
    made.failed(b, NO)
    made.end(b)
    with pytest.raises(SetFailed):
        await asyncio.gather(made.may_move(c), made.may_move(a))
    held, failed, fine = (one.error for one in asked[0])
    assert isinstance(held, SetFailed)
    assert failed is NO
    assert fine is None


async def test_a_target_that_ends_without_staging_does_not_keep_the_gate_waiting():
    async def before_commit(staged: Sequence[Staged]) -> None: ...

    made, (a, b, c) = release(*TARGETS, hooks=Hooks(before_commit=before_commit))
    waiting = asyncio.ensure_future(made.may_move(a))
    made.end(b)
    assert not await has_returned(waiting)
    assert made.end(c)
    await waiting


class Moved:
    """A set of one delivery whose image is in the engine, and whose tags moved from OLD."""

    def __init__(self, *tags: str) -> None:
        self.engine, self.events, self.tags = DictionaryEngine(), list[Event](), tags

    async def make(self, *, broken: str = "it") -> ReleaseSet:
        one = target([build(add_image(self.engine, "linux/amd64"))], ((str(ONE), self.tags),), platforms=())
        found = await wait_for_sources(one, self.engine, limit_s=0, clock=JumpingClock(), emit=lambda event: None)
        self.image: AssembledImage = assemble_target(one, await read_sources(one, self.engine, found))
        self.place = DestinationProgress(one.destinations[0], previous=dict.fromkeys(self.tags, OLD))
        self.place.begun |= set(self.tags)
        self.place.written |= set(self.tags)
        self.engine.tags |= {(ONE, tag): self.image.digest for tag in self.tags}
        made = ReleaseSet("run", [Delivery(TargetProgress(one, (self.place,), self.image), self.place)],
                          is_whole=True, restores=True)  # fmt: skip
        if broken:
            made.break_off(broken, NO)
        return made

    async def restore(self, one: ReleaseSet, *, within_s: float = 5) -> None:
        await restore_set(one, self.engine, emit=self.events.append, within_s=within_s)


def _error_of(moved: Moved) -> Exception:
    assert moved.place.failure is not None
    return moved.place.failure.error


async def test_tags_are_put_back_latest_last_and_each_is_reported():
    moved = Moved("1", "latest")
    one = await moved.make()
    moved.place.in_flight.add("1")
    await moved.restore(one)
    assert moved.engine.log == [f"set {ONE}:1", f"set {ONE}:latest"]
    restored = [event for event in moved.events if isinstance(event, TagRestored)]
    assert restored[0] == TagRestored("app", f"{ONE}:1", str(OLD), str(moved.image.digest))
    assert moved.place.restored == {"1", "latest"}
    assert moved.place.in_flight == set()
    assert "restored the tags of the run: it failed" in str(_error_of(moved))


async def test_an_interrupt_is_the_cause_if_nothing_failed():
    moved = Moved("1")
    await moved.restore(await moved.make(broken=""))
    assert str(_error_of(moved)) == "restored the tags of the run: interrupted"


async def test_a_failure_of_its_own_is_kept():
    moved = Moved("1")
    one = await moved.make()
    moved.place.failure = own = Failure(Step.VERIFY, NO)
    await moved.restore(one)
    assert moved.place.failure is own


async def test_a_tag_that_something_else_moved_is_left_as_taken():
    moved = Moved("1", "2")
    one = await moved.make()
    moved.engine.tags[ONE, "1"] = Digest.of(b"by another run")
    await moved.restore(one)
    assert (moved.place.taken, moved.place.restored) == ({"1"}, {"2"})


async def test_a_tag_whose_move_was_never_acknowledged_and_did_not_happen_is_neither():
    moved = Moved("1")
    one = await moved.make()
    moved.place.written.clear()
    moved.place.in_flight.add("1")
    moved.engine.tags[ONE, "1"] = OLD
    await moved.restore(one)
    assert (moved.place.taken, moved.place.restored) == (set(), set())


async def test_a_tag_that_still_reads_as_before_after_it_was_moved_is_put_back_too(monkeypatch):
    moved = Moved("1")
    one = await moved.make()
    moved.engine.tags[ONE, "1"] = OLD  # the registry lags

    async def verify_tag(reference: object, digest: Digest, *, previous: Digest | None) -> None: ...

    monkeypatch.setattr(moved.engine, "verify_tag", verify_tag)
    await moved.restore(one)
    assert (moved.place.restored, moved.place.taken) == ({"1"}, set())


async def test_what_cannot_be_put_back_is_listed_with_its_reason():
    moved = Moved("1")
    one = await moved.make()
    moved.engine.refuse = lambda action, repository: refusal(500) if action == "set" else None
    await moved.restore(one)
    assert "500" in moved.place.stuck["1"]
    assert "the run is not whole" in str(_error_of(moved))


async def test_what_takes_too_long_is_given_up_and_listed(monkeypatch):
    moved = Moved("1")
    one = await moved.make()
    ended: list[str] = []
    extended: list[float] = []

    async def for_ever(*_: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    monkeypatch.setattr(moved.engine, "set_tag", for_ever)
    monkeypatch.setattr(moved.engine, "extend", extended.append)
    await moved.restore(one, within_s=0.01)
    assert extended == [0.01]
    assert ended == ["cancelled"]
    assert moved.place.stuck == {"1": "not restored within 0 s"}


async def test_a_move_goes_on_when_its_caller_is_cancelled_until_the_end():
    moves, steps, go = Moves(), list[str](), asyncio.Event()

    async def move() -> None:
        await go.wait()
        steps.append("moved")

    caller = asyncio.ensure_future(moves.finish(move()))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    assert steps == []
    go.set()
    await moves.end(within_s=5)
    assert steps == ["moved"]
    assert moves._tasks == set()


async def test_a_move_that_takes_longer_is_cancelled_and_waited_for():
    moves, steps = Moves(), list[str]()

    async def move() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append("ended")

    caller = asyncio.ensure_future(moves.finish(move()))
    await asyncio.sleep(0)
    await moves.end(within_s=0)
    assert steps == ["ended"]
    with pytest.raises(asyncio.CancelledError):
        await caller
