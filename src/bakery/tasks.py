"""Tasks side by side whose failure is one error. For the plain case; who needs more uses asyncio.TaskGroup itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from bakery.errors import BakeryError

T = TypeVar("T")


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run all of it at once and give the results in the order asked.

    The first failure cancels the others and is raised as itself, not in a group; a bug goes before an expected error.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as group_of_errors:
        raise _most_telling(group_of_errors) from None
    return [task.result() for task in tasks]


async def each_to_its_end(work: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Run all of it at once, and let all of it end, before the most telling failure is raised.

    For writes: one that is cancelled under way has happened or not, and nobody knows.
    """
    failures: list[Exception] = []

    async def one(coroutine: Coroutine[Any, Any, object]) -> None:
        try:
            await coroutine
        except Exception as error:  # noqa: BLE001  # raised below, when the others have ended
            failures.append(error)

    await together(one(coroutine) for coroutine in work)
    if failures:
        raise _most_telling(BaseExceptionGroup("", failures))


async def in_thread(work: Callable[[], T], *, stop: Callable[[], object] | None = None) -> T:
    """Run this in a thread, and leave only when it has ended: what it uses can be closed then, cancelled or not.

    For work that never waits for anybody else. stop: tells work that takes long that nobody wants it any more.
    """
    job = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        if stop is not None:
            stop()
        while not job.done():
            try:
                await asyncio.wait((job,))
            except asyncio.CancelledError:  # cancelled twice: it is still being used
                continue
        if not job.cancelled():
            job.exception()  # seen: whoever wanted it has gone
        raise


def _most_telling(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    leaves: list[BaseException] = []
    pending: list[BaseException] = [errors]
    while pending:
        error = pending.pop(0)
        if isinstance(error, BaseExceptionGroup):
            pending.extend(error.exceptions)
        else:
            leaves.append(error)
    return next((leaf for leaf in leaves if not isinstance(leaf, BakeryError)), leaves[0])
