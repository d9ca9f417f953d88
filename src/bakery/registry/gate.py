"""One gate per registry host: how many requests at once, and none while the host requests a wait.

Two lanes, so that small requests never queue behind gigabytes. Their widths follow the host, as TCP's window does (RFC
5681): doubled by each round of good responses, halved by a complaint. After one, a lane grows by one a round, and not
beyond its usual width. A slot is held for one request and never across a wait for another slot.
"""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum
from typing import Final

from msgspec import Struct, field

from bakery.defaults import BODIES_PER_HOST, SMALL_REQUESTS_PER_HOST
from bakery.events import Emit, HostPaused
from bakery.retry import Clock

_GROWTH: Final = 4  # the most that a lane may widen, as a multiple of its usual width


class Lane(Enum):
    """What a request carries."""

    SMALL = "small"
    BODY = "body"  # a blob large enough to fill the connection


class _Width(Struct):
    """How many requests of one lane may be in flight."""

    usual: int
    most: int
    now: float
    inside: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)

    def has_room(self) -> bool:
        return self.inside < int(self.now)

    def wake(self) -> None:
        room = int(self.now) - self.inside
        while room > 0 and self.waiting:
            waiter = self.waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                self.inside += 1  # the slot is handed over here, so no newcomer can take it in between
                room -= 1


class Gate:
    """The gate of one host. Fair within a lane: the request that has waited longest goes first."""

    def __init__(
        self,
        host: str,
        *,
        clock: Clock,
        emit: Emit,
        small: int = SMALL_REQUESTS_PER_HOST,
        bodies: int = BODIES_PER_HOST,
    ) -> None:
        self._host, self._clock, self._emit = host, clock, emit
        # A small request costs one round trip, so a host that handles them well gets more at once.
        self._lanes = {
            Lane.SMALL: _Width(small, small * _GROWTH, small),
            Lane.BODY: _Width(bodies, bodies, bodies),
        }
        self._paused_until = float("-inf")

    async def enter(self, lane: Lane, *, urgent: bool = False) -> None:
        """Take a slot of a lane; wait for it, and for the end of a pause. Each `enter` needs its `leave`.

        urgent: a request that holds a slot waits for this one, so it must not queue: it goes beyond the width.
        """
        width = self._lanes[lane]
        while True:
            if self._paused_until > self._clock.now():
                await self._clock.sleep(self._paused_until - self._clock.now())
                continue
            if urgent or (width.has_room() and not width.waiting):
                width.inside += 1
                return
            waiter = asyncio.get_running_loop().create_future()
            width.waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if not waiter.cancelled():
                    self.leave(lane)  # the slot arrived together with the cancellation
                raise
            if self._paused_until <= self._clock.now():
                return
            self.leave(lane)  # a pause began while this request queued: no slot is held across it

    def leave(self, lane: Lane) -> None:
        """Return a slot."""
        width = self._lanes[lane]
        width.inside -= 1
        width.wake()

    def succeeded(self, lane: Lane) -> None:
        """Record a good response: widen the lane a little if it is in use."""
        width = self._lanes[lane]
        if width.now < width.most and width.inside >= int(width.now):
            never_complained = width.most > width.usual
            width.now = min(width.now + (1 if never_complained else 1 / width.now), width.most)
            width.wake()

    def pause(self, wait_s: float, reason: str) -> None:
        """Let no request through for so long, and half as many after it: the host asked for it."""
        until = self._clock.now() + wait_s
        if until <= self._paused_until:
            return
        fresh = self._paused_until <= self._clock.now()
        self._paused_until = until
        if fresh:
            self.narrow()
        self._emit(HostPaused(self._host, wait_s, reason))

    def narrow(self) -> None:
        """Halve the widths, to no less than one."""
        for width in self._lanes.values():
            width.now, width.most = max(1.0, width.now / 2), width.usual

    def width(self, lane: Lane) -> int:
        """Return how many requests may be in flight now."""
        return int(self._lanes[lane].now)
