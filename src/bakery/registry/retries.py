"""Retries and polls, and the state that all operations of a client share.

The one layer that retries. The time budget ends it; the number of attempts counts only if a user set it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, TypeVar

from bakery.defaults import TIME_BUDGET_S
from bakery.errors import BakeryError, Unavailable
from bakery.events import Emit, RequestRetried, working_for
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.polling import poll_delays
from bakery.registry.config import RegistryConfig
from bakery.registry.credentials import Credentials
from bakery.registry.endpoint import Endpoint
from bakery.registry.failure import Conflict
from bakery.registry.gate import Gate
from bakery.registry.http.failure import NotConnected, UnknownHost
from bakery.registry.http.transport import Transport
from bakery.registry.http.url import Url
from bakery.registry.login import scopes_for
from bakery.registry.meter import Meter
from bakery.registry.operation import ClientStats, Operation
from bakery.retry import Clock, RetryPolicy

_log = logging.getLogger(__name__)
T = TypeVar("T")

# A host that refuses every connection for so long, or whose name is unknown, is down: no budget is spent on it.
_UNREACHABLE_S: Final = 20.0
_UNKNOWN_S: Final = 5.0
_CONFLICT_S: Final = 60.0  # a conflict that lasts longer does not resolve itself
_SHORTEST_POLL_S: Final = 0.2  # once the lag is known, looks are frequent around its end

_limit_s: ContextVar[float] = ContextVar("limit_s", default=math.inf)


@contextmanager
def giving_up_after(seconds: float) -> Iterator[None]:
    """In this block, give up on a request that keeps failing after so many seconds, or after half of the time left.

    For reads that a release can do without: their failure must leave time for everything else.
    """
    token = _limit_s.set(seconds)
    try:
        yield
    finally:
        _limit_s.reset(token)


class ClientState:
    """The registries of one run, its time budget, and the memory of what it wrote."""

    def __init__(
        self,
        *,
        config: RegistryConfig,
        policy: RetryPolicy,
        clock: Clock,
        emit: Emit,
        deadline: float | None,
        lag_limit_s: float,
        transport: Transport,
        stats: ClientStats,
        credentials: Credentials,
    ) -> None:
        self.policy, self.clock, self.emit, self.stats = policy, clock, emit, stats
        self.lag_limit_s = lag_limit_s
        self.deadline = clock.now() + TIME_BUDGET_S if deadline is None else deadline
        self._config, self._transport, self._credentials = config, transport, credentials
        self._endpoints: dict[str, Endpoint] = {}
        self._written: set[Repository] = set()
        self._acknowledged: dict[tuple[Repository, Digest | str], float] = {}

    def endpoint(self, repository: Repository) -> Endpoint:
        """Return the registry of a repository."""
        registry, config = repository.registry, self._config
        found = self._endpoints.get(registry)
        if found is None:
            gate = Gate(
                registry, clock=self.clock, emit=self.emit, small=config.small_at_once, bodies=config.bodies_at_once
            )
            found = self._endpoints[registry] = Endpoint(
                registry,
                config=config,
                transport=self._transport,
                credentials=self._credentials,
                clock=self.clock,
                stats=self.stats,
                gate=gate,
                meter=Meter(registry, clock=self.clock, emit=self.emit),
            )
        return found

    def report_traffic(self) -> None:
        """Report what was not reported yet: the run ends."""
        for endpoint in self._endpoints.values():
            endpoint.meter.report()

    def operation(
        self,
        method: str,
        repository: Repository,
        target: str | Url,
        action: str,
        about: object,
        *,
        scopes: tuple[str, ...] | None = None,
        **others: object,
    ) -> Operation:
        """Return an operation. target: a URL, or the part after the repository. others: further fields."""
        url = self.endpoint(repository).url(repository, target) if isinstance(target, str) else target
        scopes = self.scopes(repository) if scopes is None else scopes
        return Operation(method, url, repository, scopes, action, str(about), **others)  # type: ignore[arg-type]  # by name

    def will_write(self, repository: Repository) -> None:
        """From now on, request tokens for this repository with the right to push."""
        self._written.add(repository)

    def writes_to(self, repository: Repository) -> bool:
        """Return whether this run pushes to the repository."""
        return repository in self._written

    def scopes(self, repository: Repository, mount_from: Repository | None = None) -> tuple[str, ...]:
        """Return the scopes of a request to this repository."""
        return scopes_for(repository, write=repository in self._written, mount_from=mount_from)

    def acknowledge(self, repository: Repository, key: Digest | str) -> None:
        """Record that the registry accepted this digest, or moved this tag: from now on, its absence is lag."""
        if isinstance(key, Digest):
            self._acknowledged.setdefault((repository, key), self.clock.now())
        else:
            self._acknowledged[repository, key] = self.clock.now()  # the last move of a tag counts

    def acknowledged_at(self, repository: Repository, key: Digest | str | None) -> float | None:
        """Return when the registry acknowledged this, or None if this run did not write it."""
        return None if key is None else self._acknowledged.get((repository, key))

    @property
    def left_s(self) -> float:
        """The rest of the time budget, in seconds."""
        return max(0.0, self.deadline - self.clock.now())

    @property
    def patience_s(self) -> float:
        """How long content that must exist may be absent: the limit for lag, but never more than half the time left."""
        return min(self.lag_limit_s, self.left_s / 2)


class Retries:
    """The waits of one operation. `failures` counts since it began, or since it last made progress."""

    def __init__(self, state: ClientState, operation: Operation) -> None:
        self._state, self._operation = state, operation
        self._endpoint = state.endpoint(operation.repository)
        self._conflict_since: float | None = None
        self._lag_ends: float | None = None
        limit_s = _limit_s.get()
        self._gives_up_at = state.clock.now() + min(limit_s, state.left_s / 2) if limit_s < math.inf else math.inf
        self.failures = 0
        self._progressed = False

    async def attempt(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work until it succeeds, fails permanently, or time is up. It must be safe to repeat."""
        self.failures = 0
        while True:
            try:
                return await work()
            except BakeryError as error:
                if not error.transient:
                    raise
                await self.pause(error)

    def made_progress(self) -> None:
        """Count failures from here on. A host that has been silent since then gets one more try."""
        self.failures, self._progressed = 0, True

    def report(self, doubt: BakeryError | None) -> None:
        """Report a failure that is looked into before the request is repeated."""
        if doubt is not None:
            reason = doubt.why or doubt.what
            self._emit_retry(self.failures + 1, 0.0, reason)

    async def pause(self, error: BakeryError) -> None:
        """Wait after a failure, before the next attempt. Raises the error if no time or attempt is left."""
        self.failures += 1
        state, policy = self._state, self._state.policy
        longest_s = math.inf
        if isinstance(error, NotConnected):
            now = state.clock.now()
            is_silent = isinstance(error.__cause__, TimeoutError) and not self._endpoint.is_alive
            began = now - _UNREACHABLE_S if is_silent else now  # a connection that times out has been tried for as long
            since = self._endpoint.down_since = (
                began if self._endpoint.down_since is None else self._endpoint.down_since
            )
            longest_s = since - now + (_UNKNOWN_S if isinstance(error, UnknownHost) else _UNREACHABLE_S)
            if longest_s <= 0:
                raise error
        elif isinstance(error.__cause__, TimeoutError) and not self._endpoint.is_alive and not self._progressed:
            raise error  # silent for so long to every request: another try would wait as long
        self._progressed = False
        if isinstance(error, Conflict):
            self._conflict_since = state.clock.now() if self._conflict_since is None else self._conflict_since
            if state.clock.now() - self._conflict_since > _CONFLICT_S:
                raise error
        if policy.attempts_were_set and self.failures >= policy.max_attempts:
            raise error
        wait_s = min(policy.delay_for(self.failures), longest_s)  # the last try is at the limit, not after it
        if isinstance(error, Unavailable) and error.retry_after_s is not None:
            wait_s += error.retry_after_s  # the jitter keeps clients with the same Retry-After from returning at once
        if state.clock.now() + wait_s > self._gives_up_at:
            raise error
        if state.clock.now() + wait_s > state.deadline:
            error.why = f"{error.why or error.what}; the time budget is exceeded"
            error.hint = error.hint or "run the command again to continue: existing content is not uploaded again"
            raise error
        state.stats.retries += 1
        await self._sleep(self.failures, wait_s, error.why or error.what)

    async def poll(
        self, look: Callable[[], Awaitable[T | None]], *, within_s: float, key: Digest | str | None = None
    ) -> T | None:
        """Look repeatedly, at growing intervals, until something is found or time is up (None).

        key: the digest or tag that is looked for. If this run wrote it, the lag of this host is learned from it, and
        the next poll looks just when the lag ended before.
        """
        state, endpoint = self._state, self._endpoint
        started, attempt, delays = state.clock.now(), 0, poll_delays()
        wait_s, since = next(delays), state.acknowledged_at(self._operation.repository, key)
        absent_at = started
        while True:
            looked_at = state.clock.now()
            found = await self.attempt(look)
            if found is not None:
                if since is not None and attempt and not endpoint.manners.heads_are_wrong:  # else it did not lag
                    endpoint.saw_lag(state.clock.now() - since, absent_s=absent_at - since)
                return found
            attempt, absent_at = attempt + 1, looked_at
            left_s = min(state.deadline, started + within_s, self._gives_up_at) - state.clock.now()
            if left_s <= 0:
                return None
            lag_ends_in_s = endpoint.sure_lag_s - (state.clock.now() - (started if since is None else since))
            if 0 < lag_ends_in_s < wait_s:
                wait_s, delays = max(lag_ends_in_s, _SHORTEST_POLL_S), poll_delays(_SHORTEST_POLL_S)
            await self._sleep(attempt, min(wait_s, left_s), "not there yet")
            wait_s = next(delays)

    async def wait_for_lag(self, wait_s: float, error: BakeryError) -> None:
        """Wait for content that must appear. Raises the error if it has not appeared for too long."""
        state, now = self._state, self._state.clock.now()
        if self._lag_ends is None:
            self._lag_ends = now + state.patience_s
        left_s = min(self._lag_ends - now, state.left_s)
        if left_s <= 0:
            raise error
        await self._sleep(1, min(wait_s, left_s), error.why or error.what)

    async def _sleep(self, attempt: int, wait_s: float, reason: str) -> None:
        state, operation = self._state, self._operation
        _log.debug("%s %s: attempt %d: %s; next in %.2f s", operation.action, operation.about, attempt, reason, wait_s)
        self._emit_retry(attempt, wait_s, reason)
        await state.clock.sleep(wait_s)

    def _emit_retry(self, attempt: int, wait_s: float, reason: str) -> None:
        operation, target = self._operation, working_for.get()
        host = operation.repository.registry
        self._state.emit(RequestRetried(host, operation.action, operation.about, attempt, wait_s, reason, target))
