"""How much at once the limits of this process allow: open files, threads. Concurrency adapts to them."""

from __future__ import annotations

import resource
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from msgspec import Struct

from bakery.defaults import BODIES_PER_HOST, SMALL_REQUESTS_PER_HOST

_RESERVED: Final = 24  # files: standard streams, the event loop, journal, imports, name lookups
_ENOUGH: Final = 65_536  # more is never needed
_GROWTH: Final = 4  # of a host's lane of small requests (registry.gate)
_PER_COMMAND: Final = 8  # files of one running child: its pipes, and what oras writes through us


class Shares(Struct, frozen=True):
    """What a run may have open: small requests and bodies of one host, spools on disk, commands."""

    small: int
    bodies: int
    spools: int
    commands: int


def shares(hosts: int, files: int | None = None) -> Shares:
    """Return the shares of a run that speaks to so many hosts. files: None means the limit of this process."""
    room = max(3, (open_files() if files is None else files) - _RESERVED)
    per_host = room * 2 // 3 // max(1, hosts)
    bodies = min(BODIES_PER_HOST, max(1, per_host // 4))
    small = min(SMALL_REQUESTS_PER_HOST, max(1, (per_host - bodies) // _GROWTH))
    return Shares(small, bodies, max(1, room // 3), max(1, room // _PER_COMMAND))


def open_files() -> int:
    """Return how many files this process may have open, after raising the soft limit to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):
            pass  # as it was
    return _ENOUGH if soft == resource.RLIM_INFINITY else min(soft, _ENOUGH)


class Threads(ThreadPoolExecutor):
    """Threads for blocking work: as many as can be started. Work waits if there are fewer than wanted."""

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()  # private; the only place that starts threads
        except RuntimeError:
            if not self._threads:
                raise
