"""The order of commits in one repository."""

import asyncio

from bakery.publish.commit import CommitOrder


async def test_no_target_commits_before_all_have_staged_or_failed_then_all_do_in_order():
    order = CommitOrder(["a", "b", "c", "d"])
    committed = []

    async def commit(name):
        await order.turn(name)
        committed.append(name)
        order.leave(name)

    async with asyncio.TaskGroup() as group:
        for name in ("d", "a", "c"):
            order.staged(name)
            group.create_task(commit(name))
        await asyncio.sleep(0)
        assert committed == []
        order.leave("b")  # it failed
    assert committed == ["a", "c", "d"]


async def test_a_target_that_fails_late_lets_the_next_commit():
    order = CommitOrder(["a", "b"])
    order.staged("a")
    order.staged("b")
    order.leave("a")
    order.leave("a")
    async with asyncio.timeout(1):
        await order.turn("b")
