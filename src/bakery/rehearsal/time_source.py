"""Where the registry gets the time. Tests pass a source that jumps; `bakery.retry.Clock` has the same shape.

It is separate because this room shares only the OCI vocabulary with the client.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class TimeSource(Protocol):
    """Monotonic time in seconds, and a way to wait."""

    def now(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class SystemTime:
    """The monotonic time of the machine."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
