"""The task group that a whole run owns: work that one target started and others wait for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


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
