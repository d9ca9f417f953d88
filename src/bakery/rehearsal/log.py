"""The requests that the registry received: one entry per request, and totals. Without bodies and credentials."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from bakery.rehearsal.routes import ApiRoute

_KEPT: Final = 100_000  # entries; older requests remain only in the totals


class LoggedRequest(Struct, frozen=True):
    """One request and its response. status: 0 if no response was sent. body_bytes: size of the request body.

    faults: names of the faults that the client saw.
    """

    at: float
    method: str
    path: str
    query: str
    route: ApiRoute
    repository: str
    reference: str
    status: int
    body_bytes: int
    authorized: bool  # the request had an Authorization header
    faults: tuple[str, ...] = ()


class Log:
    """The most recent requests, and how many requests of each kind were received."""

    def __init__(self) -> None:
        self.entries: deque[LoggedRequest] = deque(maxlen=_KEPT)
        self._totals: Counter[tuple[str, ApiRoute, str, int]] = Counter()
        self.body_bytes = 0

    def add(self, entry: LoggedRequest) -> None:
        """Record a request that is over."""
        self.entries.append(entry)
        self._totals[entry.method, entry.route, entry.repository, entry.status] += 1
        self.body_bytes += entry.body_bytes

    def count(
        self, method: str = "", route: ApiRoute | str = "", repository: str = "", status: int | None = None
    ) -> int:
        """Return the number of requests that match. Arguments left out match anything."""
        return sum(
            number
            for (one_method, one_route, one_repository, one_status), number in self._totals.items()
            if method in ("", one_method)
            and route in ("", one_route)
            and repository in ("", one_repository)
            and status in (None, one_status)
        )

    def totals(self) -> Iterator[tuple[str, ApiRoute, int]]:
        """Yield method, route and number of requests, sorted."""
        sums: Counter[tuple[str, ApiRoute]] = Counter()
        for (method, route, _, _), number in self._totals.items():
            sums[method, route] += number
        for (method, route), number in sorted(sums.items()):
            yield method, route, number

    def clear(self) -> None:
        """Reset entries and totals."""
        self.entries.clear()
        self._totals.clear()
        self.body_bytes = 0
