"""The time budget ends a run: what hangs is reported with its step and destination, and the rest is complete."""

import asyncio

import pytest

from bakery.errors import BudgetSpent, ExitCode, NotFound
from bakery.publish import pipeline as pipeline_module
from bakery.publish.outcome import State, Step
from bakery.publish.pipeline import Pipeline, PipelineOptions
from bakery.publish.plan import Plan
from tests.clock import JumpingClock
from tests.publish.fakes import DictionaryEngine, add_image, build, refusal, target

ONE, TWO = "one.example/app", "two.example/app"
TAGS = ("1.0", "latest")


@pytest.fixture(autouse=True)
def no_grace(monkeypatch):
    monkeypatch.setattr(pipeline_module, "GRACE_S", 0.0)


def builds(engine, salt=""):
    return [build(add_image(engine, name, salt=salt)) for name in ("linux/amd64", "linux/arm64")]


async def publish(engine, *targets, clock=None, **options):
    pipeline = Pipeline(Plan(targets), engine, options=PipelineOptions(**options), clock=clock or JumpingClock())
    async with asyncio.timeout(10):
        return await pipeline.execute()


async def for_ever(*_):
    await asyncio.Event().wait()


async def test_a_destination_that_never_responds_fails_alone_when_the_budget_is_spent():
    engine = DictionaryEngine()
    engine.on_stage = lambda image, repository: for_ever() if str(repository) == TWO else asyncio.sleep(0)
    outcome = await publish(engine, target(builds(engine), ((ONE, TAGS), (TWO, TAGS))), time_budget_s=0.2)
    living, dead = outcome.targets[0].destinations
    assert (living.state, living.failure) == (State.PUBLISHED, None)
    assert dead.failure.step is Step.STAGE
    assert isinstance(dead.failure.error, BudgetSpent)
    assert TWO in str(dead.failure.error)
    assert outcome.exit_code == ExitCode.FAILED


async def test_a_source_that_never_responds_is_named_when_the_budget_is_spent(monkeypatch):
    engine = DictionaryEngine()
    made = builds(engine)
    monkeypatch.setattr(engine, "find", for_ever)
    outcome = await publish(engine, target(made), time_budget_s=0.05)
    failure = outcome.targets[0].failure
    assert (failure.step, type(failure.error)) == (Step.WAIT, BudgetSpent)
    assert str(made[0].reference) in str(failure.error)


async def test_targets_that_never_started_are_failures():
    engine = DictionaryEngine()
    engine.on_stage = for_ever
    targets = [target(builds(engine, f"{n}"), ((ONE, (f"{n}",)),), uid=f"t{n}") for n in range(3)]
    outcome = await publish(engine, *targets, jobs=1, time_budget_s=0.1)
    assert [one.state for one in outcome.targets] == [State.FAILED] * 3
    assert all(one.failures for one in outcome.targets)


async def test_waiting_for_sources_ends_with_the_budget_even_if_the_wait_may_be_longer():
    engine, clock = DictionaryEngine(), JumpingClock()
    absent = build(add_image(DictionaryEngine(), "linux/amd64"))
    outcome = await publish(engine, target([absent]), clock=clock, wait_limit_s=600, time_budget_s=3)
    error = outcome.targets[0].failure.error
    assert isinstance(error, NotFound)
    assert "--time-budget" in error.hint
    assert clock.time <= 3


async def test_work_cancelled_by_other_code_is_a_failure_and_no_target_hangs():
    engine = DictionaryEngine()

    async def cancelled(image, repository):
        raise asyncio.CancelledError

    engine.on_stage = cancelled
    outcome = await publish(engine, target(builds(engine), ((ONE, TAGS),)))
    assert outcome.targets[0].state is State.FAILED
    assert outcome.exit_code == ExitCode.FAILED
    assert not engine.tags


async def test_the_end_of_the_budget_leaves_what_has_ended_as_it_is():
    engine = DictionaryEngine()
    engine.on_stage = lambda image, repository: for_ever() if str(repository) == TWO else asyncio.sleep(0)
    engine.refuse = lambda action, repository: refusal() if str(repository) == "three.example/app" else None
    done = target(builds(engine, "done"), ((ONE, ("done",)),), uid="done")
    incomplete = target(builds(engine, "incomplete")[:1], ((ONE, ("incomplete",)),), uid="incomplete")
    places = ((TWO, ("1",)), ("three.example/app", ("1",)), ("four.example/app", ("1",)))
    mixed = target(builds(engine, "mixed"), places, uid="mixed")
    outcome = await publish(engine, done, incomplete, mixed, time_budget_s=0.3)
    first, second, third = outcome.targets
    assert (first.state, first.failures) == (State.PUBLISHED, ())
    assert second.failure.step is Step.ASSEMBLE
    hanging, refused, complete = third.destinations
    assert isinstance(hanging.failure.error, BudgetSpent)
    assert "403" in str(refused.failure.error)
    assert complete.failure is None


async def test_what_is_left_of_the_budget_counts_from_the_start_of_the_run():
    clock = JumpingClock()
    clock.time = 1000.0

    class SlowStart(DictionaryEngine):
        async def __aenter__(self):
            clock.time += 2
            return self

    absent = build(add_image(DictionaryEngine(), "linux/amd64"))
    outcome = await publish(SlowStart(), target([absent]), clock=clock, wait_limit_s=600, time_budget_s=3)
    assert isinstance(outcome.targets[0].failure.error, NotFound)
    assert 1002 < clock.time <= 1003


async def test_a_run_has_a_clock_of_its_own():
    engine = DictionaryEngine()
    planned = target(builds(engine), ((ONE, TAGS),))
    outcome = await Pipeline(Plan((planned,)), engine, options=PipelineOptions()).execute()
    assert outcome.exit_code == ExitCode.DONE
