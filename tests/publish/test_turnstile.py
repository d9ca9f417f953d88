"""The order of commits in one repository."""

import asyncio

from bakery.publish.turnstile import Turnstile


async def test_nobody_passes_before_all_have_staged_or_failed_and_then_in_order():
    turnstile = Turnstile(["a", "b", "c", "d"])
    passed = []

    async def pass_through(name):
        await turnstile.turn(name)
        passed.append(name)
        turnstile.leave(name)

    async with asyncio.TaskGroup() as group:
        for name in ("d", "a", "c"):
            turnstile.arrive(name)
            group.create_task(pass_through(name))
        await asyncio.sleep(0)
        assert passed == []
        turnstile.leave("b")  # it failed
    assert passed == ["a", "c", "d"]


async def test_one_that_fails_late_lets_the_next_pass():
    turnstile = Turnstile(["a", "b"])
    turnstile.arrive("a")
    turnstile.arrive("b")
    turnstile.leave("a")
    turnstile.leave("a")
    async with asyncio.timeout(1):
        await turnstile.turn("b")
