"""The scheduler: order, bound, and failures as values."""

import asyncio

import pytest

from bakery.errors import ExecutorInterrupted
from bakery.parallel.jobs import Job, JobResult, current_job, resolve_max_workers, run_jobs


def job(key, work=None):
    async def run(slot):
        return await work(slot) if work else key

    return Job(key, run)


def waiting(gates, finished=None):
    """Jobs that end when their event is set."""

    def make(key):
        async def work(slot):
            await gates[key].wait()
            return key

        return job(key, work)

    return [make(key) for key in gates]


async def test_results_come_in_the_order_asked_and_callbacks_in_the_order_finished():
    gates = {key: asyncio.Event() for key in "abc"}
    order = []

    def next_one(result):
        order.append(result.key)
        gates[{"c": "a", "a": "b"}.get(result.key, "b")].set()

    gates["c"].set()
    results = await run_jobs(waiting(gates), limit=3, on_result=next_one)
    assert [result.key for result in results] == ["a", "b", "c"]
    assert order == ["c", "a", "b"]


async def test_never_more_at_once_than_the_limit_and_begun_in_order():
    running, most, begun = 0, 0, []

    async def work(slot):
        nonlocal running, most
        begun.append(current_job.get())
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    await run_jobs([job(str(n), work) for n in range(20)], limit=3)
    assert most == 3
    assert begun == [str(n) for n in range(20)]


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


async def test_who_comes_back_from_waiting_goes_before_who_has_not_begun():
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


async def test_a_timeout_round_a_wait_leaves_the_job_in_its_place():
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
async def test_what_a_job_raises_is_its_result_and_the_others_go_on(error):
    async def broken(slot):
        raise error

    results = await run_jobs([job("a"), job("b", broken), job("c")], limit=2)
    assert [result.ok for result in results] == [True, False, True]
    assert results[1].exception is error


async def test_cancellation_is_not_swallowed_and_reaches_every_job():
    begun, ended = asyncio.Semaphore(0), []

    def stuck(key):
        async def work(slot):
            begun.release()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(key)

        return job(key, work)

    async def patient(slot):
        begun.release()
        async with slot.released():
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        jobs = [stuck("a"), job("p", patient), stuck("b"), stuck("never begun")]
        root = group.create_task(run_jobs(jobs, limit=2))
        for _ in range(3):
            await begun.acquire()
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


async def test_an_exception_of_the_callback_stops_everything_and_is_raised():
    async def stuck(slot):
        await asyncio.Event().wait()

    def callback(result):
        raise LookupError(result.key)

    with pytest.raises(LookupError, match="b"):
        await run_jobs([job("a", stuck), job("b")], limit=2, on_result=callback)


async def test_fail_fast_leaves_out_what_never_began_and_lets_the_running_finish():
    release = asyncio.Event()

    async def slow(slot):
        await release.wait()

    async def broken(slot):
        release.set()
        raise ValueError

    jobs = [job("slow", slow), job("broken", broken), job("c"), job("d")]
    results = await run_jobs(jobs, limit=2, fail_fast=True)
    assert [(result.key, result.ok) for result in results] == [("slow", True), ("broken", False)]


async def test_duplicate_keys_are_refused_before_any_job_starts():
    started = []

    async def work(slot):
        started.append(slot)

    with pytest.raises(ValueError, match="'a'"):
        await run_jobs([job("a", work), job("a", work)], limit=1)
    assert started == []


def test_a_result_has_no_value_unless_it_is_given_one():
    assert JobResult(job("a"), exception=LookupError()).value is None


async def test_nothing_to_do_is_done():
    assert await run_jobs([], limit=4) == []


WORKERS = {  # name: (asked, how many things, variable, expected)
    "asked for": (3, 9, "7", 3),
    "never more than there is to do": (8, 2, "", 2),
    "nothing to do": (8, 0, "", 1),
    "the variable": (None, 9, "7", 7),
    "zero is not asking": (0, 9, "", 4),
    "negative variable": (None, 9, "-2", 1),
    "empty variable": (None, 9, " ", 4),
    "no number": (None, 9, "many", 4),
}


@pytest.mark.parametrize(("asked", "n", "variable", "expected"), WORKERS.values(), ids=WORKERS)
def test_how_many_at_once(asked, n, variable, expected):
    assert resolve_max_workers(asked, n, environment={"BAKERY_MAX_CONCURRENCY": variable}) == expected
