"""Work that is done once, however many callers need its result, and the task group that owns it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Ledger(Generic[T]):
    """Does the work on each key once. All callers waiting for it get its failure, and then it may be tried again.

    A task of the owner does the work, not the first caller: cancelling one target must not cancel a blob that others
    wait for.
    """

    def __init__(self, owner: asyncio.TaskGroup) -> None:
        self._owner = owner
        self._tasks: dict[Hashable, asyncio.Task[T | Exception]] = {}
        self.saved = 0  # how often the work was wanted again, and not done

    async def once(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """Return the result of the work on this key, started now or earlier. Raises what the work raised."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = self._owner.create_task(self._attempt(key, work))
        else:
            self.saved += 1
        result = await asyncio.shield(task)
        if isinstance(result, Exception):
            raise result
        return result

    def __contains__(self, key: Hashable) -> bool:
        """Whether the work on this key was started."""
        return key in self._tasks

    def forget(self, key: Hashable) -> None:
        """Have the work done again by the next caller. Those waiting now still get the old result."""
        self._tasks.pop(key, None)

    async def _attempt(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T | Exception:
        try:
            return await work()
        except Exception as error:  # noqa: BLE001  # returned: raised here, it would cancel the owner's whole group
            self._tasks.pop(key, None)
            return error


class _RunEnded(Exception):
    """Cancels the tasks of the group; never visible outside."""


@asynccontextmanager
async def owning() -> AsyncIterator[asyncio.TaskGroup]:
    """Return the group that owns the work targets share. Tasks still running at the end are cancelled."""
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            try:
                yield group
            except BaseException as error:  # noqa: BLE001  # raised below, after the tasks have ended
                failure = error
            raise _RunEnded
    except* _RunEnded:
        pass
    if failure is not None:
        raise failure
