"""The scheduler: order, limit, and failures as values."""

import asyncio

import pytest

from bakery.errors import ExecutorInterrupted
from bakery.parallel.jobs import Job, JobResult, current_job, resolve_max_workers, run_jobs


def job(key, work=None):
    async def run(slot):
        return await work(slot) if work else key

    return Job(key, run)


def waiting(gates, finished=None):
    """Return jobs that end when their event is set."""

    def make(key):
        async def work(slot):
            await gates[key].wait()
            return key

        return job(key, work)

    return [make(key) for key in gates]


async def test_results_are_in_the_order_of_the_jobs_and_callbacks_in_the_order_of_completion():
    gates = {key: asyncio.Event() for key in "abc"}
    order = []

    def next_one(result):
        order.append(result.key)
        gates[{"c": "a", "a": "b"}.get(result.key, "b")].set()

    gates["c"].set()
    results = await run_jobs(waiting(gates), limit=3, on_result=next_one)
    assert [result.key for result in results] == ["a", "b", "c"]
    assert order == ["c", "a", "b"]


async def test_jobs_start_in_order_and_never_more_at_once_than_the_limit():
    running, most, started = 0, 0, []

    async def work(slot):
        nonlocal running, most
        started.append(current_job.get())
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    await run_jobs([job(str(n), work) for n in range(20)], limit=3)
    assert most == 3
    assert started == [str(n) for n in range(20)]


async def test_a_waiting_job_holds_no_slot():
    source_is_there = asyncio.Event()

    async def patient(slot):
        async with slot.released():
            await source_is_there.wait()
        return "patient"

    async def other(slot):
        source_is_there.set()

    results = await run_jobs([job("a", patient), job("b", other)], limit=1)
    assert results[0].value == "patient"


async def test_a_job_that_returns_from_a_wait_goes_before_jobs_that_have_not_started():
    order = []
    ready = asyncio.Event()

    async def patient(slot):
        async with slot.released():
            await ready.wait()
        order.append("patient")

    def plain(key):
        async def work(slot):
            ready.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            order.append(key)

        return job(key, work)

    await run_jobs([job("p", patient), plain("x"), plain("y"), plain("z")], limit=1)
    assert order == ["x", "patient", "y", "z"]


async def test_a_job_has_its_slot_again_after_a_timeout_around_a_wait():
    running, most = 0, 0

    async def work(slot):
        nonlocal running, most
        try:
            async with asyncio.timeout(0), slot.released():
                await asyncio.Event().wait()
        except TimeoutError:
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    results = await run_jobs([job(str(n), work) for n in range(5)], limit=1)
    assert all(result.ok for result in results)
    assert most == 1


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), asyncio.CancelledError()], ids=repr)
async def test_an_exception_of_a_job_is_its_result_and_the_others_go_on(error):
    async def broken(slot):
        raise error

    results = await run_jobs([job("a"), job("b", broken), job("c")], limit=2)
    assert [result.ok for result in results] == [True, False, True]
    assert results[1].exception is error


async def test_cancellation_reaches_every_job_and_is_raised():
    started, ended = asyncio.Semaphore(0), []

    def stuck(key):
        async def work(slot):
            started.release()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(key)

        return job(key, work)

    async def patient(slot):
        started.release()
        async with slot.released():
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        jobs = [stuck("a"), job("p", patient), stuck("b"), stuck("never started")]
        root = group.create_task(run_jobs(jobs, limit=2))
        for _ in range(3):
            await started.acquire()
        root.cancel()
    assert root.cancelled()
    assert sorted(ended) == ["a", "b"]


async def test_an_interrupt_raised_in_a_job_ends_the_run():
    async def interrupted(slot):
        raise ExecutorInterrupted(15)

    async def stuck(slot):
        await asyncio.Event().wait()

    with pytest.raises(ExecutorInterrupted) as caught:
        await run_jobs([job("a", stuck), job("b", interrupted)], limit=2)
    assert caught.value.exit_code == 143


async def test_an_exception_of_the_callback_ends_the_run_and_is_raised():
    async def stuck(slot):
        await asyncio.Event().wait()

    def callback(result):
        raise LookupError(result.key)

    with pytest.raises(LookupError, match="b"):
        await run_jobs([job("a", stuck), job("b")], limit=2, on_result=callback)


async def test_fail_fast_lets_running_jobs_finish_and_omits_those_that_never_started():
    release = asyncio.Event()

    async def slow(slot):
        await release.wait()

    async def broken(slot):
        release.set()
        raise ValueError

    jobs = [job("slow", slow), job("broken", broken), job("c"), job("d")]
    results = await run_jobs(jobs, limit=2, fail_fast=True)
    assert [(result.key, result.ok) for result in results] == [("slow", True), ("broken", False)]


async def test_duplicate_keys_are_rejected_before_any_job_starts():
    started = []

    async def work(slot):
        started.append(slot)

    with pytest.raises(ValueError, match="'a'"):
        await run_jobs([job("a", work), job("a", work)], limit=1)
    assert started == []


def test_a_result_has_no_value_unless_it_is_given_one():
    assert JobResult(job("a"), exception=LookupError()).value is None


async def test_no_jobs_give_no_results():
    assert await run_jobs([], limit=4) == []


WORKERS = {  # name: (argument, number of jobs, variable, expected)
    "the argument": (3, 9, "7", 3),
    "never more than there are jobs": (8, 2, "", 2),
    "no jobs": (8, 0, "", 1),
    "the variable": (None, 9, "7", 7),
    "zero counts as not given": (0, 9, "", 4),
    "negative variable": (None, 9, "-2", 1),
    "empty variable": (None, 9, " ", 4),
    "not a number": (None, 9, "many", 4),
}


@pytest.mark.parametrize(("jobs", "n", "variable", "expected"), WORKERS.values(), ids=WORKERS)
def test_concurrency_comes_from_the_argument_then_the_variable_then_the_default(jobs, n, variable, expected):
    assert resolve_max_workers(jobs, n, environment={"BAKERY_MAX_CONCURRENCY": variable}) == expected
