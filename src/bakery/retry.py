"""How often to retry and how long to wait: RetryPolicy, and the Clock that makes waiting testable.

In the native engine, the error decides *what* may be retried (`BakeryError.transient`).
Source: pipeline.md 3.1.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from bakery.defaults import BACKOFF_GROWTH, FIRST_BACKOFF_S, LONGEST_BACKOFF_S, RETRY_ATTEMPTS

_log = logging.getLogger(__name__)


class Clock(Protocol):
    """The source of time. Tests pass one that jumps."""

    def now(self) -> float:
        """Return seconds since an arbitrary start; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after this many seconds; cancellable."""
        ...


class SystemClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class RetryPolicy(Struct, frozen=True):
    """How many attempts to make, and how long to wait between them.

    max_attempts counts the first one. Delays are in seconds: `min(base_delay * multiplier ** (n - 1), max_delay)`
    after attempt n (from 1), and with jitter a random time between 0 and that ("full jitter").
    retry_on: returns whether a failed result is worth another attempt; None means never.
    """

    max_attempts: int = RETRY_ATTEMPTS
    base_delay: float = FIRST_BACKOFF_S
    max_delay: float = LONGEST_BACKOFF_S
    multiplier: float = BACKOFF_GROWTH
    jitter: bool = True
    retry_on: Callable[[Any], bool] | None = None
    attempts_were_set: bool = False  # by the user: then they limit the native engine too

    def ceiling_for(self, attempt: int) -> float:
        """Return the longest wait after this attempt (1-based), in seconds."""
        try:
            wait = self.base_delay * self.multiplier ** (attempt - 1)
        except OverflowError:
            wait = self.max_delay
        return min(wait, self.max_delay)

    def delay_for(self, attempt: int, draw: Callable[[], float] | None = None) -> float:
        """Return the wait after this attempt (1-based), in seconds. draw: returns a number in [0, 1)."""
        ceiling = self.ceiling_for(attempt)
        if not self.jitter:
            return ceiling
        if draw is None:
            from random import random  # most runs retry nothing

            draw = random
        return ceiling * draw()

    def should_retry(self, result: object, attempt: int) -> bool:
        """Return whether to make another attempt after this result of this attempt (1-based)."""
        return attempt < self.max_attempts and self.retry_on is not None and self.retry_on(result)

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str],
        *,
        retry_on: Callable[[Any], bool] | None = None,
        base_delay: float = FIRST_BACKOFF_S,
        jitter: bool = True,
    ) -> RetryPolicy:
        """Return the policy that the four `BAKERY_REGISTRY_RETRY_*` variables set.

        An invalid value, or one that is too small, is ignored with a warning.
        """

        def number(suffix: str, default: float, least: float) -> float:
            name = f"BAKERY_REGISTRY_RETRY_{suffix}"
            text = environment.get(name, "").strip()
            if not text:
                return default
            try:
                value = float(text)
            except ValueError:
                value = math.nan
            if not math.isfinite(value) or value < least:
                _log.warning("%s=%r is not a number of at least %g; using %g", name, text, least, default)
                return default
            return value

        attempts = number("ATTEMPTS", RETRY_ATTEMPTS, 1)
        if attempts != int(attempts):
            _log.warning("BAKERY_REGISTRY_RETRY_ATTEMPTS=%r is not a whole number; using %d", attempts, RETRY_ATTEMPTS)
            attempts = RETRY_ATTEMPTS
        return cls(
            max_attempts=int(attempts),
            base_delay=number("INITIAL_BACKOFF", base_delay, 0),
            max_delay=number("MAX_BACKOFF", LONGEST_BACKOFF_S, 0),
            multiplier=number("MULTIPLIER", BACKOFF_GROWTH, 1),
            jitter=jitter,
            retry_on=retry_on,
            attempts_were_set=bool(environment.get("BAKERY_REGISTRY_RETRY_ATTEMPTS", "").strip()),
        )
