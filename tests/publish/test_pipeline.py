"""The pipeline's promises: what is waited for, what stops what, which order tags have, what an interrupt leaves."""

import asyncio

import pytest

from bakery.config.schema.options import SociOptions
from bakery.errors import AuthError, BakeryError, ExitCode, NotFound, one_line
from bakery.events import Event, Noted, SourcesMissing
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.publish.assemble import AssemblyOptions
from bakery.publish.outcome import State, Step
from bakery.publish.pipeline import Pipeline, PipelineOptions
from bakery.publish.plan import Plan
from tests.clock import JumpingClock
from tests.publish.fakes import DictionaryEngine, add_image, build, refusal, target
from tests.report.texts import outcome_lines

ONE, TWO = "one.example/app", "two.example/app"
BOTH = ((ONE, ("1.0", "latest")), (TWO, ("1.0", "latest")))


def builds(engine, **more):
    return [build(add_image(engine, name, **more)) for name in ("linux/amd64", "linux/arm64")]


async def publish(engine, *targets, clock=None, events=None, **options):
    emit = (events if events is not None else []).append
    pipeline = Pipeline(
        Plan(targets), engine, options=PipelineOptions(**options), clock=clock or JumpingClock(), emit=emit
    )
    return await pipeline.execute()


async def test_tags_are_written_after_staging_with_latest_last_and_read_back():
    engine = DictionaryEngine()
    outcome = await publish(engine, target(builds(engine), ((ONE, ("1", "1.0", "latest")),)))
    assert outcome.exit_code == ExitCode.DONE
    assert engine.log[0] == f"stage {ONE}"
    assert engine.log[-1] == f"tag {ONE}:latest"
    assert {state.state for place in outcome.targets[0].destinations for state in place.tags} == {State.PUBLISHED}


async def test_a_second_run_moves_no_tag():
    engine = DictionaryEngine()
    planned = target(builds(engine), BOTH)
    first = await publish(engine, planned)
    engine.log.clear()
    second = await publish(engine, planned)
    assert not [line for line in engine.log if line.startswith("tag")]
    assert second.targets[0].state is State.UNCHANGED
    assert second.targets[0].digest == first.targets[0].digest


async def test_one_dead_destination_does_not_stop_the_other():
    engine = DictionaryEngine()
    engine.refuse = lambda action, repository: (
        refusal() if action == "stage" and repository == Repository.parse(TWO) else None
    )
    outcome = await publish(engine, target(builds(engine), BOTH))
    states = {str(place.repository): place.state for place in outcome.targets[0].destinations}
    assert states == {ONE: State.PUBLISHED, TWO: State.FAILED}
    assert outcome.exit_code == ExitCode.FAILED
    assert not [tag for tag in engine.tags if str(tag[0]) == TWO]


@pytest.mark.parametrize("action", ["stage", "tag", "verify"])
async def test_a_bug_at_one_destination_fails_only_that_destination(action):
    engine = DictionaryEngine()
    engine.refuse = lambda asked, repository: (
        ZeroDivisionError("bug") if asked == action and repository == Repository.parse(TWO) else None
    )
    outcome = await publish(engine, target(builds(engine), BOTH))
    one, two = outcome.targets[0].destinations
    assert (one.state, two.state) == (State.PUBLISHED, State.FAILED)
    assert one_line(two.failure.error) == "internal error: ZeroDivisionError: bug"


class FailingEngine(DictionaryEngine):
    """An engine that fails when it is entered or left."""

    def __init__(self, at: str, error: Exception) -> None:
        super().__init__()
        self.at, self.error = at, error

    async def __aenter__(self):
        if self.at == "start":
            raise self.error
        return self

    async def __aexit__(self, *exception):
        raise self.error


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("bug"), refusal(), ExceptionGroup("tasks", [OSError(24, "too many files")])]
)
async def test_a_bug_in_the_engines_shutdown_loses_no_outcome(error):
    engine, events = FailingEngine("end", error), list[Event]()
    outcome = await publish(engine, target(builds(engine), BOTH), events=events)
    assert outcome.exit_code == ExitCode.DONE
    assert [event.message for event in events if isinstance(event, Noted) and "did not shut down" in event.message]


async def test_a_bug_when_the_engine_starts_fails_every_target():
    engine = FailingEngine("start", ZeroDivisionError("bug"))
    outcome = await publish(engine, target(builds(engine), BOTH))
    assert [one_line(failure.error) for failure in outcome.failures] == ["internal error: ZeroDivisionError: bug"]


async def test_an_engine_that_cannot_start_ends_the_run_with_its_own_error():
    engine = FailingEngine("start", refusal())
    with pytest.raises(BakeryError):
        await publish(engine, target(builds(engine), BOTH))


async def test_a_slow_destination_does_not_hold_back_the_other():
    engine, tagged = DictionaryEngine(), asyncio.Event()

    async def on_stage(image, repository):
        if str(repository) == TWO:
            async with asyncio.timeout(5):
                await tagged.wait()

    engine.on_stage = on_stage
    engine.on_tag = lambda repository, name: tagged.set()
    outcome = await publish(engine, target(builds(engine), BOTH), jobs=1)
    assert outcome.exit_code == ExitCode.DONE


async def test_one_failing_target_does_not_stop_another_and_moves_no_tag():
    engine = DictionaryEngine()
    good = target(builds(engine), uid="good", destinations=((ONE, ("good",)),))
    bad = target(builds(engine)[:1], uid="bad", destinations=((ONE, ("bad",)),))
    outcome = await publish(engine, bad, good)
    assert [one.state for one in outcome.targets] == [State.FAILED, State.PUBLISHED]
    assert outcome.targets[0].failure.step is Step.ASSEMBLE
    assert "linux/arm64" in str(outcome.targets[0].failure.error)
    assert [tag for _, tag in engine.tags] == ["good"]


async def test_a_missing_platform_is_noted_if_it_is_allowed():
    engine = DictionaryEngine()
    outcome = await publish(engine, target(builds(engine)[:1]), assembly=AssemblyOptions(allow_missing_platforms=True))
    assert outcome.exit_code == ExitCode.DONE
    assert "linux/arm64" in outcome.targets[0].notes[0]


async def test_targets_of_one_repository_commit_in_push_order_whatever_the_order_of_staging():
    engine, staged = DictionaryEngine(), []
    gate = asyncio.Event()
    made = [builds(engine, salt=str(number)) for number in range(3)]
    targets = [target(made[n], ((ONE, (f"{n}",)),), uid=f"t{n}") for n in range(3)]

    async def on_stage(image, repository):
        staged.append(image.digest)
        if len(staged) == 1:
            async with asyncio.timeout(5):
                await gate.wait()  # the first to stage is the last to finish
        elif len(staged) == 3:
            gate.set()

    engine.on_stage = on_stage
    await publish(engine, *targets)
    assert [line for line in engine.log if line.startswith("tag")] == [f"tag {ONE}:{n}" for n in range(3)]


async def test_waiting_for_sources_holds_no_job_slot_and_polls_less_and_less_often():
    engine, clock = DictionaryEngine(), JumpingClock()
    events: list[Event] = []
    late_build = builds(engine, salt="late")
    hidden = engine.content.pop((late_build[0].reference.repository, late_build[0].reference.digest))
    late = target(late_build, ((ONE, ("late",)),), uid="late")
    soon = target(builds(engine), ((TWO, ("soon",)),), uid="soon")

    async def on_stage(image, repository):  # the other target gets its turn though only one job may run
        engine.content[late_build[0].reference.repository, late_build[0].reference.digest] = hidden

    engine.on_stage = on_stage
    outcome = await publish(engine, late, soon, clock=clock, events=events, jobs=1)
    assert outcome.exit_code == ExitCode.DONE
    assert clock.slept[0] == 0.25
    assert all(
        after == pytest.approx(min(before * 1.2, 5))
        for before, after in zip(clock.slept, clock.slept[1:], strict=False)
    )
    missing = [event for event in events if isinstance(event, SourcesMissing)]
    assert missing[0].missing == (str(late_build[0].reference),)


async def test_sources_that_never_arrive_fail_their_target_after_the_limit_and_are_named():
    engine, clock = DictionaryEngine(), JumpingClock()
    made = builds(engine)
    del engine.content[made[1].reference.repository, made[1].reference.digest]
    outcome = await publish(engine, target(made), clock=clock, wait_limit_s=600)
    failure = outcome.targets[0].failure
    assert isinstance(failure.error, NotFound)
    assert failure.step is Step.WAIT
    assert str(made[1].reference) in str(failure.error)
    assert str(made[0].reference) not in str(failure.error)
    assert 590 <= clock.time <= 600
    assert max(clock.slept) == 5


async def test_a_wrong_password_ends_the_waiting_at_once():
    engine, clock = DictionaryEngine(), JumpingClock()
    engine.refuse = lambda action, repository: AuthError("reading", status=401) if action == "find" else None
    outcome = await publish(engine, target(builds(engine)), clock=clock)
    assert clock.slept == []
    assert outcome.exit_code == ExitCode.AUTHENTICATION


async def test_a_bug_in_one_target_fails_only_that_target():
    engine = DictionaryEngine()
    engine.refuse = lambda action, repository: ZeroDivisionError("bug") if action == "convert" else None
    broken = target(builds(engine), ((ONE, ("x",)),), uid="broken", soci=SociOptions())
    fine = target(builds(engine), ((TWO, ("y",)),), uid="fine")
    outcome = await publish(engine, broken, fine)
    assert [one.state for one in outcome.targets] == [State.FAILED, State.PUBLISHED]
    assert isinstance(outcome.targets[0].failure.error, ZeroDivisionError)


async def test_a_tag_that_reads_back_as_something_else_fails_that_destination():
    engine = DictionaryEngine()

    def somebody_else(repository, name):
        if str(repository) == TWO:
            engine.tags[repository, name] = Digest.of(b"somebody else's")

    engine.on_tag = somebody_else
    outcome = await publish(engine, target(builds(engine), BOTH))
    states = {
        str(place.repository): (place.state, place.failure and place.failure.step)
        for place in outcome.targets[0].destinations
    }
    assert states == {ONE: (State.PUBLISHED, None), TWO: (State.FAILED, Step.VERIFY)}


async def test_an_interrupt_leaves_an_outcome_with_what_was_done():
    engine, reached, tagged = DictionaryEngine(), asyncio.Event(), asyncio.Event()
    engine.on_tag = lambda repository, name: tagged.set()
    done = target(builds(engine), ((ONE, ("1.0",)),), uid="done")
    stuck = target(builds(engine), ((TWO, ("1.0",)),), uid="stuck")

    async def on_stage(image, repository):
        if str(repository) == TWO:
            reached.set()
            await asyncio.Event().wait()

    engine.on_stage = on_stage
    pipeline = Pipeline(Plan((done, stuck)), engine, options=PipelineOptions(), clock=JumpingClock())
    task = asyncio.ensure_future(pipeline.execute())
    async with asyncio.timeout(5):
        await reached.wait()
        await tagged.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    outcome = pipeline.outcome(interrupted=True)
    assert outcome.interrupted
    assert {one.uid: one.state for one in outcome.targets}["stuck"] is State.STOPPED
    assert [tag for _, tag in engine.tags] == ["1.0"]


async def test_a_tag_in_flight_when_the_run_was_stopped_is_reported_as_possibly_moved(monkeypatch):
    engine = DictionaryEngine()
    asked = asyncio.Event()

    async def no_answer(image, reference, **_):
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(engine, "tag", no_answer)
    plan = Plan((target(builds(engine), ((ONE, ("1.0", "latest")),)),))
    pipeline = Pipeline(plan, engine, options=PipelineOptions(), clock=JumpingClock())
    task = asyncio.ensure_future(pipeline.execute())
    async with asyncio.timeout(5):
        await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    outcome = pipeline.outcome(interrupted=True)
    (place,) = outcome.targets[0].destinations
    assert {tag.tag: tag.state for tag in place.tags} == {"1.0": State.UNSURE, "latest": State.STOPPED}
    assert place.state is State.STOPPED
    assert f"possibly moved: app: {ONE}:1.0 (was new)" in outcome_lines(outcome)


async def test_a_failed_tag_does_not_stop_the_others_and_latest_does_not_move():
    engine = DictionaryEngine()
    tags = ("1", "1.0", "bad", "latest")
    began = asyncio.Event()

    def refuse(action, repository):
        if action == "tag" and not began.is_set():
            began.set()
            return refusal(500)
        return None

    engine.refuse = refuse
    outcome = await publish(engine, target(builds(engine), ((ONE, tags),)))
    (place,) = outcome.targets[0].destinations
    assert place.failure is not None
    assert place.failure.step is Step.COMMIT
    assert sorted(tag for _, tag in engine.tags) == ["1.0", "bad"]  # all but the one that was refused, and latest
    states = {tag.tag: tag.state for tag in place.tags}
    assert states == {"1": State.FAILED, "1.0": State.MOVED, "bad": State.MOVED, "latest": State.FAILED}
    assert f"moved: app: {ONE}:1.0 (was new)" in outcome_lines(outcome)
