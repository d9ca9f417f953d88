"""What a run reports while it goes: each step once with its time, notes once, and the end of each target."""

import asyncio

import pytest
from msgspec.structs import replace

from bakery.config.schema.options import SociOptions
from bakery.errors import BakeryError
from bakery.events import (
    Event,
    Noted,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
    TagMoved,
    TagMoving,
    TargetFinished,
)
from bakery.parallel.jobs import run_jobs
from bakery.publish.assemble import AssemblyOptions
from bakery.publish.outcome import State, Step
from bakery.publish.pipeline import Pipeline, PipelineOptions
from bakery.publish.plan import Plan, RefusedTarget
from tests.clock import JumpingClock
from tests.publish.fakes import DictionaryEngine, add_image, build, refusal, target

ONE = "one.example/app"


class SlowEngine(DictionaryEngine):
    """An engine in which staging takes 3 s and reading tags back 2 s, on a clock that does not begin at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = JumpingClock()
        self.clock.time = 100.0

    async def stage(self, image, repository):
        self.clock.time += 3
        return await super().stage(image, repository)

    async def verify_tag(self, reference, digest, *, previous):
        self.clock.time += 2
        await super().verify_tag(reference, digest, previous=previous)

    async def convert(self, image, options, *, towards):
        return replace(image, notes=(*image.notes, "nothing to index"))


def builds(engine):
    return [build(add_image(engine, name)) for name in ("linux/amd64", "linux/arm64")]


async def run(engine: SlowEngine, *targets, **options):
    events = list[Event]()
    pipeline = Pipeline(
        Plan(targets), engine, options=PipelineOptions(**options), clock=engine.clock, emit=events.append
    )
    return await pipeline.execute(), events


async def test_each_step_is_reported_when_it_begins_and_with_its_time_when_it_ends():
    engine = SlowEngine()
    outcome, events = await run(engine, target(builds(engine), ((ONE, ("1.0",)),)))
    steps = [event for event in events if isinstance(event, StepStarted | StepFinished)]
    names = ["wait", "assemble", f"stage {ONE}", f"commit {ONE}", f"verify {ONE}"]
    assert [one.step for one in steps] == [name for name in names for _ in range(2)]
    assert [type(one) for one in steps] == [StepStarted, StepFinished] * 5
    assert [one.elapsed_s for one in steps if isinstance(one, StepFinished)] == [0, 0, 3, 0, 2]
    assert [event for event in events if isinstance(event, TargetFinished)] == [TargetFinished("app", "published", 5)]
    assert (outcome.elapsed_s, outcome.targets[0].elapsed_s) == (5, 5)


async def test_a_step_that_fails_is_reported_with_its_time_and_its_error():
    engine = SlowEngine()
    engine.refuse = lambda action, repository: refusal() if action == "stage" else None
    _, events = await run(engine, target(builds(engine), ((ONE, ("1.0",)),)))
    failed = [event for event in events if isinstance(event, StepFinished) and event.error]
    assert [(one.step, one.elapsed_s) for one in failed] == [(f"stage {ONE}", 3)]
    assert "403" in failed[0].error
    assert [event.state for event in events if isinstance(event, TargetFinished)] == ["failed"]


async def test_notes_of_assembling_and_of_conversion_are_reported_once_each():
    engine = SlowEngine()
    planned = target(builds(engine)[:1], ((ONE, ("1.0",)),), soci=SociOptions())
    outcome, events = await run(engine, planned, assembly=AssemblyOptions(allow_missing_platforms=True))
    notes = [event.message for event in events if isinstance(event, Noted)]
    assert [note.partition(",")[0] for note in notes] == ["published without linux/arm64", "nothing to index"]
    assert outcome.targets[0].notes == tuple(notes)


@pytest.mark.parametrize("fails", [False, True], ids=["without a failure", "after a failure"])
async def test_a_job_that_ends_by_other_code_is_a_failure_unless_its_target_has_one(monkeypatch, fails):
    engine = SlowEngine()
    engine.refuse = lambda action, repository: refusal() if fails else None

    async def run_and_end(jobs, *, limit):
        results = await run_jobs(jobs, limit=limit)
        return [replace(result, exception=asyncio.CancelledError("by other code")) for result in results]

    monkeypatch.setattr("bakery.publish.pipeline.run_jobs", run_and_end)
    outcome, _ = await run(engine, target(builds(engine), ((ONE, ("1.0",)),)))
    error = str(outcome.targets[0].failure.error)
    assert ("by other code" in error, "403" in error) == (not fails, fails)


async def test_a_timeout_inside_the_work_is_not_taken_for_the_budget(monkeypatch):
    engine = SlowEngine()

    async def run_jobs(jobs, *, limit):
        raise TimeoutError("of other code")

    monkeypatch.setattr("bakery.publish.pipeline.run_jobs", run_jobs)
    outcome, _ = await run(engine, target(builds(engine), ((ONE, ("1.0",)),)))
    assert "of other code" in str(outcome.targets[0].failure.error)
    assert outcome.targets[0].failure.step is Step.PLAN


async def test_the_job_of_a_target_gives_up_its_slot_only_when_its_content_is_staged():
    engine, staged = SlowEngine(), list[str]()

    async def on_stage(image, repository):
        staged.append(f"begin {repository}")
        for _ in range(100):  # another target could begin in the meantime
            await asyncio.sleep(0)
        staged.append(f"end {repository}")

    engine.on_stage = on_stage
    targets = [target(builds(engine), ((f"{name}.example/app", ("1",)),), uid=name) for name in ("a", "b")]
    await run(engine, *targets, jobs=1)
    assert [line.split()[0] for line in staged] == ["begin", "end"] * 2


@pytest.mark.parametrize("fails", ["stage", "verify"])
async def test_a_destination_of_one_target_frees_the_repository_for_the_next(fails):
    engine = SlowEngine()
    engine.refuse = lambda action, repository: refusal() if action == fails else None
    targets = [target(builds(engine), ((ONE, (name,)),), uid=name) for name in ("a", "b")]
    async with asyncio.timeout(5):
        outcome, _ = await run(engine, *targets)
    assert [one.state for one in outcome.targets] == [State.FAILED] * 2


async def test_a_run_is_reported_with_its_targets_and_with_how_it_ended():
    engine = SlowEngine()
    good = target(builds(engine), ((ONE, ("1.0",)),))
    refused = RefusedTarget(target([], uid="refused"), BakeryError("cannot publish", why="two targets claim it"))
    for left_out, state in (((), "done"), ((refused,), "failed")):
        events = list[Event]()
        plan = Plan((good,), left_out)
        await Pipeline(plan, engine, options=PipelineOptions(), clock=engine.clock, emit=events.append).execute()
        first, last = events[0], events[-1]
        assert isinstance(first, RunStarted)
        assert [one.uid for one in first.targets] == [*(one.target.uid for one in left_out), "app"]
        assert isinstance(last, RunFinished)
        assert (last.state, last.elapsed_s) == (state, 5)
        about = [event for event in events if getattr(event, "target", "") == "refused"]
        expected = [
            StepStarted("refused", "plan"),
            StepFinished("refused", "plan", 0.0, "cannot publish: two targets claim it"),
            TargetFinished("refused", "failed", 0.0),
        ]
        assert about == (expected if left_out else [])


async def test_each_tag_is_reported_before_it_is_sent_and_after_it_moved():
    engine = SlowEngine()
    outcome, events = await run(engine, target(builds(engine), ((ONE, ("1.0",)),)))
    fields = ("app", f"{ONE}:1.0", str(outcome.targets[0].digest), "")
    moves = [event for event in events if isinstance(event, TagMoving | TagMoved)]
    assert moves == [TagMoving(*fields), TagMoved(*fields)]
