"""The clock that tests pass in."""

from __future__ import annotations

import asyncio


class JumpingClock:
    """A clock on which time, in seconds, passes only while a task sleeps, or when the test moves it."""

    def __init__(self, time: float = 0.0) -> None:
        self.time, self.slept = time, list[float]()

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)
