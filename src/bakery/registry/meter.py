"""Counts what is exchanged with one registry, and reports the totals: rarely, however many requests there are."""

from __future__ import annotations

import math
from typing import Final

from bakery.events import Emit, HostTraffic
from bakery.registry.http.message import Traffic
from bakery.retry import Clock

_EVERY_S: Final = 0.25  # the least time between two reports


class Meter(Traffic):
    """The traffic of one registry. Reports at most four times a second; `report` at the end reports the rest."""

    def __init__(self, host: str, *, clock: Clock, emit: Emit) -> None:
        super().__init__()
        self._host, self._clock, self._emit = host, clock, emit
        self._reused, self._reused_bytes = 0, 0
        self._mounted, self._mounted_bytes = 0, 0
        self._reported_at, self._is_reported = -math.inf, True

    def reused(self, size: int) -> None:
        """Count a blob that was there already."""
        self._reused, self._reused_bytes = self._reused + 1, self._reused_bytes + size
        self.changed()

    def mounted(self, size: int) -> None:
        """Count a blob that was mounted from another repository."""
        self._mounted, self._mounted_bytes = self._mounted + 1, self._mounted_bytes + size
        self.changed()

    def changed(self) -> None:
        self._is_reported = False
        if self._clock.now() - self._reported_at >= _EVERY_S:
            self.report()

    def report(self) -> None:
        """Report the totals, unless they were reported."""
        if self._is_reported:
            return
        self._is_reported, self._reported_at = True, self._clock.now()
        self._emit(
            HostTraffic(
                self._host,
                self.requests,
                self.bytes_in,
                self.bytes_out,
                self._reused,
                self._reused_bytes,
                self._mounted,
                self._mounted_bytes,
            )
        )
