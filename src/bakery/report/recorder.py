"""Receives the events of a run: notes when each occurred, keeps the model, and passes both on to what shows them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bakery.events import Event
from bakery.report.model import Run

Listener = Callable[[Event, Run, float], None]  # an event, the run after it, and its time in seconds from the start


class Recorder:
    """An `Emit`, from any thread. Each listener is called with every event after the model has taken it.

    clock: seconds that do not go back. wall: seconds since 1970. A reader in another thread holds `reading`.
    """

    def __init__(
        self,
        listeners: Sequence[Listener] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._listeners, self._clock, self._began = list(listeners), clock, clock()
        self._lock = threading.RLock()
        self.run = Run(started_at=wall())

    def __call__(self, event: Event) -> None:
        with self._lock:
            at = self.now()
            self.run.apply(event, at)
        for listener in self._listeners:
            listener(event, self.run, at)

    def listen(self, listener: Listener) -> None:
        """Call this for every event from now on."""
        self._listeners.append(listener)

    def now(self) -> float:
        """Return the seconds since the start."""
        return self._clock() - self._began

    @contextmanager
    def reading(self) -> Iterator[Run]:
        """Yield the model; no event changes it meanwhile."""
        with self._lock:
            yield self.run
