"""What was asked of the registry: one entry a request, and totals. Holds neither bodies nor credentials."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from bakery.rehearsal.routes import Route

_KEPT: Final = 100_000  # entries; older ones live on in the totals only


class Exchange(Struct, frozen=True):
    """One request and its answer. status 0: none was sent. body_bytes: of the request. faults: names of those met."""

    at: float
    method: str
    path: str
    query: str
    route: Route
    repository: str
    reference: str
    status: int
    body_bytes: int
    authorized: bool  # an Authorization header came along
    faults: tuple[str, ...] = ()


class Log:
    """The last requests, and how many of each kind there were."""

    def __init__(self) -> None:
        self.entries: deque[Exchange] = deque(maxlen=_KEPT)
        self._totals: Counter[tuple[str, Route, str, int]] = Counter()
        self.body_bytes = 0

    def add(self, entry: Exchange) -> None:
        """Remember a request that is over."""
        self.entries.append(entry)
        self._totals[entry.method, entry.route, entry.repository, entry.status] += 1
        self.body_bytes += entry.body_bytes

    def count(self, method: str = "", route: Route | str = "", repository: str = "", status: int | None = None) -> int:
        """How many requests there were of this kind; what is not given may be anything."""
        return sum(
            number
            for (one_method, one_route, one_repository, one_status), number in self._totals.items()
            if method in ("", one_method)
            and route in ("", one_route)
            and repository in ("", one_repository)
            and status in (None, one_status)
        )

    def totals(self) -> Iterator[tuple[str, Route, int]]:
        """Method, route and number of requests, sorted."""
        sums: Counter[tuple[str, Route]] = Counter()
        for (method, route, _, _), number in self._totals.items():
            sums[method, route] += number
        for (method, route), number in sorted(sums.items()):
            yield method, route, number

    def forget(self) -> None:
        """Start counting anew."""
        self.entries.clear()
        self._totals.clear()
        self.body_bytes = 0
