"""The group of tasks that a whole run owns: what one target began and others wait for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class _RunIsOver(Exception):
    """Ends the owner's tasks; never seen outside."""


@asynccontextmanager
async def owning() -> AsyncIterator[asyncio.TaskGroup]:
    """The group that owns what targets share. At the end it cancels what nobody waits for any more."""
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            try:
                yield group
            except BaseException as error:  # noqa: BLE001  # raised again below, when the tasks have ended
                failure = error
            raise _RunIsOver
    except* _RunIsOver:
        pass
    if failure is not None:
        raise failure
