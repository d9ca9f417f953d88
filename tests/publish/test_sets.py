"""Sets of deliveries: whole or not at all, restored when one fails while tags move, and the gate of the run."""

import asyncio
import random

import pytest
from msgspec.structs import replace

from bakery.errors import AuthError, BakeryError, ExitCode
from bakery.events import Event, Noted, TargetFinished
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.publish.engine import TagChanged
from bakery.publish.outcome import SIGNATURE, ArtifactOutcome, State
from bakery.publish.pipeline import Pipeline, PipelineOptions
from bakery.publish.plan import Plan, RefusedTarget, SkippedTarget
from bakery.publish.sets import Hooks, OnFailure, Whole
from tests.clock import JumpingClock
from tests.publish.fakes import DictionaryEngine, add_image, build, refusal, target
from tests.report.texts import outcome_lines

ONE, TWO = "one.example/app", "two.example/app"
BOTH = ((ONE, ("1.0", "latest")), (TWO, ("1.0", "latest")))
OLD = Digest.of(b"what the tags named before")


def builds(engine, **more):
    return [build(add_image(engine, name, **more)) for name in ("linux/amd64", "linux/arm64")]


def old_tags(engine, *places):
    for name, tags in places:
        engine.tags |= {(Repository.parse(name), tag): OLD for tag in tags}


def pipeline_of(engine, plan, *, hooks=None, events=None, **options):
    emit = (events if events is not None else []).append
    how = PipelineOptions(**options)
    return Pipeline(plan, engine, options=how, clock=JumpingClock(), emit=emit, hooks=hooks)


async def publish(engine, *targets, **more):
    return await pipeline_of(engine, Plan(targets), **more).execute()


def refusing(*refused, count=None):
    """Return a `refuse` that fails these (action, repository) pairs: always, or only the n-th time."""
    seen = []

    def refuse(action, repository):
        if (action, str(repository)) in refused:
            seen.append(1)
            if count is None or len(seen) == count:
                return refusal(500)
        return None

    return refuse


def tag_states(outcome):
    return {
        f"{place.repository}:{tag.tag}": tag.state
        for one in outcome.targets
        for place in one.destinations
        for tag in place.tags
    }


@pytest.mark.parametrize("whole", list(Whole))
async def test_a_destination_that_cannot_be_staged_keeps_every_tag_of_the_set_where_it_is(whole):
    engine = DictionaryEngine()
    old_tags(engine, *BOTH)
    engine.refuse = refusing(("stage", TWO))
    outcome = await publish(engine, target(builds(engine), BOTH), whole=whole)
    assert set(engine.tags.values()) == {OLD}
    assert outcome.exit_code == ExitCode.FAILED
    assert set(tag_states(outcome).values()) == {State.STOPPED, State.FAILED}
    name = {Whole.RUN: "run", Whole.IMAGE: "image app", Whole.TARGET: "target app"}[whole]
    assert f"error[publish/set-failed]: no tag of the {name} moved: app at {TWO} failed: " in outcome_lines(outcome)


async def test_a_failing_target_stops_the_targets_of_its_image_only():
    engine = DictionaryEngine()
    bad = target(builds(engine)[:1], ((ONE, ("bad",)),), uid="bad")
    same = target(builds(engine), ((ONE, ("same",)),), uid="same")
    other = target(builds(engine), ((TWO, ("other",)),), uid="other")
    other = replace(other, image="other")
    outcome = await publish(engine, bad, same, other, whole=Whole.IMAGE)
    assert [tag for _, tag in engine.tags] == ["other"]
    assert [one.state for one in outcome.targets] == [State.FAILED, State.FAILED, State.PUBLISHED]


@pytest.mark.parametrize("left_out", ["skipped", "refused", "unbuilt"])
async def test_a_target_whose_build_is_missing_counts_as_not_staged(left_out):
    engine = DictionaryEngine()
    there = target(builds(engine), uid="there")
    lost = target(builds(engine), ((TWO, ("1",)),), uid="lost")
    if left_out == "skipped":
        plan = Plan((there,), skipped=(SkippedTarget("lost", "no name", "app"),))
    elif left_out == "unbuilt":
        plan = Plan((there,), unbuilt=(SkippedTarget("lost", "no build", "app"),))
    else:
        plan = Plan((there,), refused=(RefusedTarget(lost, BakeryError("cannot publish tag")),))
    outcome = await pipeline_of(engine, plan, whole=Whole.RUN).execute()
    assert engine.tags == {}
    assert outcome.exit_code == ExitCode.FAILED
    assert "no tag of the run moved: lost failed" in outcome_lines(outcome)


async def test_a_target_that_is_left_out_on_purpose_stops_nothing():
    engine = DictionaryEngine()
    plan = Plan((target(builds(engine)),), skipped=(SkippedTarget("x", "lists no tags"),))
    assert (await pipeline_of(engine, plan, whole=Whole.RUN).execute()).exit_code == ExitCode.DONE


@pytest.mark.parametrize("step", ["tag", "verify"])
async def test_a_failure_while_tags_move_restores_every_tag_that_moved(step):
    engine = DictionaryEngine()
    old_tags(engine, *BOTH)
    engine.refuse = refusing((step, TWO), count=2)
    outcome = await publish(engine, target(builds(engine), BOTH), whole=Whole.RUN)
    assert set(engine.tags.values()) == {OLD}
    assert outcome.exit_code == ExitCode.FAILED
    assert State.RESTORED in tag_states(outcome).values()
    assert State.PUBLISHED not in tag_states(outcome).values()


async def test_a_new_tag_is_deleted_again():
    engine = DictionaryEngine()
    engine.refuse = refusing(("tag", TWO), count=1)
    await publish(engine, target(builds(engine), BOTH), whole=Whole.RUN)
    assert engine.tags == {}


async def test_a_tag_that_something_else_moved_since_is_left_and_named():
    engine = DictionaryEngine()
    old_tags(engine, *BOTH)
    theirs = Digest.of(b"theirs")

    def on_tag(repository, tag):
        if (str(repository), tag) == (ONE, "latest"):
            engine.tags[repository, "1.0"] = theirs

    engine.on_tag = on_tag
    engine.refuse = refusing(("tag", TWO), count=1)
    outcome = await publish(engine, target(builds(engine), BOTH), whole=Whole.RUN)
    assert engine.tags.pop((Repository.parse(ONE), "1.0")) == theirs
    assert set(engine.tags.values()) == {OLD}
    assert tag_states(outcome)[f"{ONE}:1.0"] is State.TAKEN
    assert f"moved, and since then by something else: app: {ONE}:1.0" in outcome_lines(outcome)


async def test_what_cannot_be_restored_is_listed_with_the_command_that_does_it():
    engine = DictionaryEngine()
    old_tags(engine, *BOTH)
    engine.refuse = lambda action, repository: (
        refusal(500) if (action, str(repository)) in {("set", ONE), ("tag", TWO)} else None
    )
    outcome = await publish(engine, target(builds(engine), BOTH), whole=Whole.RUN)
    assert f"to restore it: bakery imagetools tag {ONE}@{OLD} latest\n" in outcome_lines(outcome)
    assert "the run is not whole" in outcome_lines(outcome)
    assert outcome.exit_code == ExitCode.FAILED


async def test_a_new_tag_that_cannot_be_deleted_is_listed_with_the_command_that_does_it():
    engine = DictionaryEngine()
    engine.refuse = lambda action, repository: (
        refusal(500) if (action, str(repository)) in {("remove", ONE), ("tag", TWO)} else None
    )
    outcome = await publish(engine, target(builds(engine), BOTH), whole=Whole.RUN)
    assert f"to restore it: bakery clean repository {ONE} --tag '^1\\.0$' --yes\n" in outcome_lines(outcome)


async def test_keep_leaves_what_moved_and_goes_on_with_the_rest():
    engine = DictionaryEngine()
    engine.refuse = refusing(("tag", TWO), count=1)
    other = target(builds(engine), ((ONE, ("other",)),), uid="other")
    await publish(engine, target(builds(engine), BOTH), other, whole=Whole.RUN, on_failure=OnFailure.KEEP)
    assert {f"{repository}:{tag}" for repository, tag in engine.tags} >= {f"{ONE}:latest", f"{ONE}:other"}


async def test_without_a_set_restore_puts_back_the_tags_of_the_failed_destination_only():
    engine = DictionaryEngine()
    old_tags(engine, *BOTH)
    engine.refuse = refusing(("tag", TWO), count=2)
    await publish(engine, target(builds(engine), BOTH), on_failure=OnFailure.RESTORE)
    named = {str(repository): digest for (repository, _), digest in engine.tags.items()}
    assert named[TWO] == OLD
    assert named[ONE] != OLD


async def test_no_further_target_moves_after_a_failure_while_tags_move():
    engine = DictionaryEngine()
    targets = [target(builds(engine, salt=f"{n}"), ((ONE, (f"{n}",)),), uid=f"t{n}") for n in range(3)]
    engine.refuse = refusing(("tag", ONE), count=2)
    outcome = await publish(engine, *targets, whole=Whole.RUN)
    assert engine.tags == {}
    assert f"tag {ONE}:2" not in engine.log
    assert list(tag_states(outcome).values()) == [State.RESTORED, State.FAILED, State.STOPPED]


async def test_a_set_does_not_turn_a_missing_login_into_another_exit_code():
    engine = DictionaryEngine()
    engine.refuse = lambda action, repository: (
        AuthError("no", status=401) if (action, str(repository)) == ("stage", TWO) else None
    )
    outcome = await publish(engine, target(builds(engine), BOTH), whole=Whole.RUN)
    assert outcome.exit_code == ExitCode.AUTHENTICATION


@pytest.mark.parametrize("seed", range(40))
async def test_random_failures_while_tags_move_leave_every_tag_restored_or_listed(seed):
    draw, engine = random.Random(seed), DictionaryEngine()
    old = {place: Digest.of(f"{place}".encode()) for place in (ONE, TWO)}
    for name, digest in old.items():
        engine.tags |= {(Repository.parse(name), tag): digest for tag in ("t0", "t1", "latest")}
    before = dict(engine.tags)

    def refuse(action, repository):
        chance = {"tag": 0.1, "verify": 0.1, "set": 0.2, "remove": 0.2, "read": 0.1}.get(action, 0)
        return refusal(500) if draw.random() < chance else None

    targets = [
        target(builds(engine, salt=f"{n}"), tuple((name, (f"t{n}", f"n{n}")) for name in old), uid=f"u{n}")
        for n in range(4)
    ]
    engine.refuse = refuse
    outcome = await publish(engine, *targets, whole=Whole.RUN)
    lines = outcome_lines(outcome)
    if outcome.exit_code == ExitCode.DONE:
        assert len({str(tag.state) for one in outcome.targets for p in one.destinations for tag in p.tags}) == 1
        return
    for key, digest in engine.tags.items():
        reference = f"{key[0]}:{key[1]}"
        assert digest == before.get(key) or f"not restored: {reference}: " in lines
    assert before.keys() <= engine.tags.keys()


async def interrupted(engine, pipeline, reached):
    task = asyncio.ensure_future(pipeline.execute())
    async with asyncio.timeout(5):
        await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return pipeline.outcome(interrupted=True)


async def test_an_interrupt_while_tags_move_restores_them_and_waits_for_a_move_in_flight(monkeypatch):
    engine, reached, granted = DictionaryEngine(), asyncio.Event(), list[float]()
    old_tags(engine, *BOTH)
    tag = engine.tag

    async def slow(image, reference, **more):
        if str(reference.repository) == TWO:
            reached.set()
            for _ in range(20):  # the response arrives after the interrupt
                await asyncio.sleep(0)
        await tag(image, reference, **more)

    monkeypatch.setattr(engine, "tag", slow)
    options = PipelineOptions(whole=Whole.RUN)
    plan = Plan((target(builds(engine), BOTH),))
    pipeline = Pipeline(plan, engine, options=options, clock=JumpingClock(), postpone_end=granted.append)
    outcome = await interrupted(engine, pipeline, reached)
    assert set(engine.tags.values()) == {OLD}
    assert tag_states(outcome)[f"{TWO}:1.0"] is State.RESTORED
    assert outcome.exit_code == ExitCode.INTERRUPTED
    assert granted == [10.0]


async def test_an_interrupt_without_a_set_restores_nothing():
    engine, reached = DictionaryEngine(), asyncio.Event()

    def on_tag(repository, tag):
        if tag == "latest":
            reached.set()

    engine.on_tag = on_tag
    stuck = target(builds(engine), ((TWO, ("1",)),), uid="stuck")

    async def on_stage(image, repository):
        if str(repository) == TWO:
            await asyncio.Event().wait()

    engine.on_stage = on_stage
    plan = Plan((target(builds(engine), BOTH[:1]), stuck))
    await interrupted(engine, pipeline_of(engine, plan), reached)
    assert {tag for _, tag in engine.tags} == {"1.0", "latest"}


async def test_the_gate_asks_once_when_everything_is_staged_or_failed_with_failures_marked():
    engine, asked = DictionaryEngine(), []

    async def before_commit(staged):
        assert engine.tags == {}
        asked.append({(one.target.uid, str(one.repository)): one.error is None for one in staged})
        assert {one.image is None for one in staged if one.error is None} == {False}

    bad = target(builds(engine)[:1], ((TWO, ("bad",)),), uid="bad")
    outcome = await publish(engine, target(builds(engine), BOTH), bad, hooks=Hooks(before_commit=before_commit))
    assert asked == [{("app", ONE): True, ("app", TWO): True, ("bad", TWO): False}]
    assert [one.state for one in outcome.targets] == [State.PUBLISHED, State.FAILED]


async def test_a_veto_of_the_gate_moves_no_tag_of_the_run():
    engine = DictionaryEngine()

    async def before_commit(staged):
        raise BakeryError("the scan found something")

    outcome = await publish(engine, target(builds(engine), BOTH), hooks=Hooks(before_commit=before_commit))
    assert engine.tags == {}
    assert outcome.exit_code == ExitCode.FAILED


async def test_a_failure_after_staging_counts_as_not_staged():
    engine = DictionaryEngine()

    async def sign(staged):
        if str(staged.repository) == TWO:
            raise BakeryError("cannot sign")
        return [ArtifactOutcome(staged.image.digest, SIGNATURE)]

    outcome = await publish(engine, target(builds(engine), BOTH), hooks=Hooks(after_staging=sign), whole=Whole.RUN)
    assert engine.tags == {}
    assert [place.failure.error.what for place in outcome.targets[0].destinations] == [
        "no tag of the run moved",
        "cannot sign",
    ]
    assert [len(place.artifacts) for place in outcome.targets[0].destinations] == [1, 0]


async def test_what_a_hook_notes_at_several_destinations_is_one_note_of_the_target():
    engine, events = DictionaryEngine(), list[Event]()

    async def copy(staged):
        staged.note("nothing to copy")
        return []

    outcome = await publish(engine, target(builds(engine), BOTH), hooks=Hooks(after_staging=copy), events=events)
    assert outcome.targets[0].notes == ("nothing to copy",)
    assert [event.message for event in events if isinstance(event, Noted)] == ["nothing to copy"]
    assert outcome.exit_code == ExitCode.DONE


async def test_content_that_was_put_back_without_moving_a_tag_is_reported_as_repaired():
    engine = DictionaryEngine()
    planned = target(builds(engine), BOTH)
    first = await publish(engine, planned)
    del engine.content[Repository.parse(TWO), first.targets[0].digest]
    again = await publish(engine, planned)
    assert [place.state for place in again.targets[0].destinations] == [State.UNCHANGED, State.REPAIRED]
    assert again.targets[0].state is State.REPAIRED
    assert again.exit_code == ExitCode.DONE


async def test_the_end_of_the_time_budget_while_tags_move_restores_them(monkeypatch):
    monkeypatch.setattr("bakery.publish.pipeline.IN_FLIGHT_S", 0.01)
    monkeypatch.setattr("bakery.publish.pipeline.GRACE_S", 0.0)
    engine, tag = DictionaryEngine(), None
    old_tags(engine, *BOTH)
    tag = engine.tag

    async def never_answers_at_two(image, reference, **more):
        if str(reference.repository) == TWO:
            await asyncio.Event().wait()
        await tag(image, reference, **more)

    monkeypatch.setattr(engine, "tag", never_answers_at_two)
    outcome = await publish(engine, target(builds(engine), BOTH), whole=Whole.RUN, time_budget_s=0.2)
    assert set(engine.tags.values()) == {OLD}
    assert outcome.exit_code == ExitCode.FAILED
    assert tag_states(outcome)[f"{ONE}:1.0"] is State.RESTORED
    assert tag_states(outcome)[f"{TWO}:1.0"] is State.UNSURE


async def test_the_gate_waits_for_what_is_staged_last_and_knows_what_failed():
    engine, staged, asked = DictionaryEngine(), list[str](), []

    async def on_stage(image, repository):
        if str(repository) == TWO:
            for _ in range(50):  # long after the other destination
                await asyncio.sleep(0)
        staged.append(str(repository))

    async def before_commit(all_staged):
        asked.append((list(staged), [one.error is None for one in all_staged]))

    engine.on_stage = on_stage
    bad = target(builds(engine, salt="bad"), (("three.example/app", ("1",)),), uid="bad")
    engine.refuse = refusing(("stage", "three.example/app"))
    await publish(engine, target(builds(engine), BOTH), bad, hooks=Hooks(before_commit=before_commit))
    assert asked == [([ONE, TWO], [True, True, False])]


async def test_a_missing_build_of_another_image_does_not_hold_an_image_back():
    engine = DictionaryEngine()
    there = target(builds(engine))
    plan = Plan((there,), skipped=(SkippedTarget("lost", "no name", "other"),))
    assert (await pipeline_of(engine, plan, whole=Whole.IMAGE).execute()).exit_code == ExitCode.DONE
    plan = Plan((there,), skipped=(SkippedTarget("lost", "no name", "app"),))
    engine.tags.clear()
    assert (await pipeline_of(engine, plan, whole=Whole.IMAGE).execute()).exit_code == ExitCode.FAILED
    assert engine.tags == {}


async def test_no_target_of_a_set_ends_before_its_tags_were_restored():
    engine, events = DictionaryEngine(), list[Event]()
    old_tags(engine, *BOTH)
    engine.refuse = refusing(("tag", TWO))
    good, bad = target(builds(engine), BOTH[:1], uid="good"), target(builds(engine), BOTH[1:], uid="bad")
    await publish(engine, good, bad, whole=Whole.RUN, events=events)
    ends = {event.target: event.state for event in events if isinstance(event, TargetFinished)}
    assert ends == {"good": "failed", "bad": "failed"}


async def test_a_set_whose_last_target_never_stages_ends():
    engine = DictionaryEngine()
    engine.refuse = refusing(("stage", ONE))
    absent = build(add_image(DictionaryEngine(), "linux/amd64"))
    late = target([absent], BOTH[1:], uid="late")
    async with asyncio.timeout(5):
        outcome = await publish(engine, target(builds(engine), BOTH[:1]), late, whole=Whole.RUN, wait_limit_s=3)
    assert [one.state for one in outcome.targets] == [State.FAILED] * 2


async def test_a_tag_that_changes_before_every_conditional_write_is_a_failure_in_the_end(monkeypatch):
    engine = DictionaryEngine()

    async def changed(image, reference, **more):
        raise TagChanged("cannot move tag", about=reference, why="it changed")

    monkeypatch.setattr(engine, "tag", changed)
    outcome = await publish(engine, target(builds(engine), BOTH[:1]))
    assert isinstance(outcome.targets[0].destinations[0].failure.error, TagChanged)


async def test_an_interrupt_restores_a_set_of_which_only_a_part_has_begun(monkeypatch):
    monkeypatch.setattr("bakery.publish.pipeline.IN_FLIGHT_S", 0.01)
    engine, reached = DictionaryEngine(), asyncio.Event()
    old_tags(engine, (ONE, ("1", "latest", "2")))
    tag = engine.tag

    async def stops_at_latest(image, reference, **more):
        if reference.tag == "latest":
            reached.set()
            await asyncio.Event().wait()
        await tag(image, reference, **more)

    monkeypatch.setattr(engine, "tag", stops_at_latest)
    first = target(builds(engine), ((ONE, ("1", "latest")),), uid="first")
    waits = target(builds(engine, salt="waits"), ((ONE, ("2",)),), uid="waits")  # for the first one: one repository
    outcome = await interrupted(engine, pipeline_of(engine, Plan((first, waits)), whole=Whole.RUN), reached)
    assert tag_states(outcome)[f"{ONE}:1"] is State.RESTORED
    assert set(engine.tags.values()) == {OLD}
