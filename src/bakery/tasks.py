"""Concurrent tasks whose failure is a single error, and threads that are always waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from bakery.errors import BakeryError

T = TypeVar("T")


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run all coroutines concurrently, and return their results in the given order.

    The first failure cancels the others and is raised itself, not in a group. If several fail, a bug takes precedence
    over an expected error.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as group_of_errors:
        raise _most_telling(group_of_errors) from None
    return [task.result() for task in tasks]


async def each_to_its_end(work: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Run all coroutines concurrently to their end, and only then raise a failure.

    For writes: a write that is cancelled half-way may or may not have happened.
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
    """Run `work` in a thread, and return only when it has ended, even if cancelled; then what it uses can be closed.

    For work that never waits for other tasks. stop: called on cancellation, to end long work early.
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
            except asyncio.CancelledError:  # cancelled again; the thread still uses its files
                continue
        if not job.cancelled():
            job.exception()  # retrieved, or asyncio would log it; nothing awaits it any more
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
