"""Work that happens once, whoever asks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Ledger(Generic[T]):
    """Work on one key happens once. A failure is told to all who wait, then forgotten: it can be tried again.

    The owner runs it, not the first caller: cancelling one target must not cancel a blob that others wait for.
    """

    def __init__(self, owner: asyncio.TaskGroup) -> None:
        self._owner = owner
        self._tasks: dict[Hashable, asyncio.Task[T | Exception]] = {}

    async def once(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """The result of the work on this key, begun now or earlier. Raises what the work raised."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = self._owner.create_task(self._attempt(key, work))
        result = await asyncio.shield(task)
        if isinstance(result, Exception):
            raise result
        return result

    def __contains__(self, key: Hashable) -> bool:
        """Whether this work was begun or done."""
        return key in self._tasks

    def forget(self, key: Hashable) -> None:
        """Do it anew when it is asked for again. Those who wait now still get the old result."""
        self._tasks.pop(key, None)

    async def _attempt(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T | Exception:
        try:
            return await work()
        except Exception as error:  # noqa: BLE001  # returned, not raised: raised here it would cancel the owner's whole group
            self._tasks.pop(key, None)
            return error
