"""Retries as few lines: one per host and reason, however many requests wait. Pure; its caller knows the time.

A registry that fails makes each of hundreds of requests wait. The single retries are lines of level DEBUG.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from bakery.events import HostPaused, RequestRetried
from bakery.text import clean, plural

_EVERY_S: Final = 10.0  # the least time between two lines about one host and reason
_DETAILS: Final = re.compile(r"[a-z0-9]+:[0-9a-f]{32,}|[0-9]+(?:\.[0-9]+)?(?= s\b)")  # digests and times


class _Group(Struct):
    printed_at: float
    requests: set[str]


class RetryGroups:
    """The retries of a run, by host and reason."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], _Group] = {}

    def line(self, event: RequestRetried | HostPaused, now: float) -> str:
        """Return the line to print for an event, or "" if a line about its host and reason was printed just before.

        now: in seconds, of any clock that does not go back.
        """
        request = f"{event.action} {event.about}" if isinstance(event, RequestRetried) else ""
        key = (event.host, _DETAILS.sub("", event.reason))
        group = self._groups.get(key)
        if group is not None and now - group.printed_at < _EVERY_S:
            group.requests.add(request)
            return ""
        requests = {request} if group is None else group.requests | {request}
        self._groups[key] = _Group(now, set())
        if isinstance(event, HostPaused):
            return clean(f"{event.host} requests a wait of {event.wait_s:.1f} s: {event.reason}")
        return clean(f"{event.host}: {event.reason}, {plural(len(requests), 'request')} waiting {event.wait_s:.1f} s")
