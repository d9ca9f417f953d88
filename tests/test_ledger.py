"""Work that happens once, whatever calls for it."""

import asyncio

import pytest

from bakery.errors import ConnectionFailed
from bakery.ledger import Ledger, owning


async def test_work_on_one_key_happens_once_and_every_caller_gets_the_result():
    runs = []

    async def work():
        runs.append(1)
        await asyncio.sleep(0)
        return "done"

    async with asyncio.TaskGroup() as owner:
        ledger: Ledger[str] = Ledger(owner)
        results = [owner.create_task(ledger.once("key", work)) for _ in range(5)]
    assert {task.result() for task in results} == {"done"}
    assert len(runs) == 1
    assert ledger.saved == 4


async def test_cancelling_one_caller_does_not_cancel_the_work_for_another():
    gate = asyncio.Event()

    async def work():
        await gate.wait()
        return "done"

    async with asyncio.TaskGroup() as owner:
        ledger: Ledger[str] = Ledger(owner)
        first = asyncio.ensure_future(ledger.once("key", work))
        second = asyncio.ensure_future(ledger.once("key", work))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        gate.set()
        assert await second == "done"


async def test_a_failure_is_raised_in_every_waiting_caller_and_then_forgotten():
    attempts = []

    async def work():
        attempts.append(1)
        await asyncio.sleep(0)
        if len(attempts) == 1:
            raise ConnectionFailed("trying")
        return "done"

    async with asyncio.TaskGroup() as owner:
        ledger: Ledger[str] = Ledger(owner)
        callers = [asyncio.ensure_future(ledger.once("key", work)) for _ in range(2)]
        await asyncio.wait(callers, timeout=5)
        assert [type(caller.exception()) for caller in callers] == [ConnectionFailed] * 2
        assert await ledger.once("key", work) == "done"
    assert len(attempts) == 2


async def test_work_that_still_runs_at_the_end_is_cancelled_and_the_end_is_quiet():
    async with owning() as owner:
        task = owner.create_task(asyncio.Event().wait())
        await asyncio.sleep(0)
    assert task.cancelled()


async def test_a_failure_within_is_raised_itself_after_the_work_has_ended():
    tasks = []

    async def fail():
        async with owning() as owner:
            tasks.append(owner.create_task(asyncio.Event().wait()))
            await asyncio.sleep(0)
            raise ConnectionFailed("trying")

    with pytest.raises(ConnectionFailed):
        await fail()
    assert tasks[0].cancelled()
