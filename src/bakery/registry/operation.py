"""What every operation shares: patience, the endpoints, and the memory of what this run wrote.

The one layer that tries again. A time budget ends it; the number of attempts counts only where a user set it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from bakery.errors import BakeryError, Unavailable
from bakery.events import Emit, RequestRetried
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.registry.credentials import Credentials
from bakery.registry.endpoint import Endpoint
from bakery.registry.faults import NotConnected
from bakery.registry.gate import Gate
from bakery.registry.http.transport import Stats, Transport
from bakery.registry.login import scopes_for
from bakery.registry.settings import Settings
from bakery.retry import Clock, RetryPolicy

_log = logging.getLogger(__name__)
T = TypeVar("T")

DEFAULT_BUDGET_S: Final = 1800.0
_UNREACHABLE_S: Final = 60.0  # a host that refuses every connection for so long is down, and no budget is spent on it
_FIRST_POLL_S: Final = 0.25
_SHORTEST_POLL_S: Final = 0.2  # once the lag is known, looks are dense round its end
_POLL_FACTOR: Final = 1.2
_LONGEST_POLL_S: Final = 5.0


class Operations:
    """The state that all operations of one run share."""

    def __init__(
        self,
        *,
        settings: Settings,
        policy: RetryPolicy,
        clock: Clock,
        emit: Emit,
        deadline: float | None,
        transport: Transport,
        stats: Stats,
    ) -> None:
        self.clock, self.stats = clock, stats
        self._settings, self._policy, self._emit, self._transport = settings, policy, emit, transport
        self._deadline = clock.now() + DEFAULT_BUDGET_S if deadline is None else deadline
        self._credentials = Credentials(settings.credentials)
        self._endpoints: dict[str, Endpoint] = {}
        self._written: set[Repository] = set()
        self._acknowledged: dict[tuple[Repository, Digest | str], float] = {}

    def endpoint(self, repository: Repository) -> Endpoint:
        """The registry of a repository."""
        registry = repository.registry
        found = self._endpoints.get(registry)
        if found is None:
            settings = self._settings
            gate = Gate(
                registry,
                clock=self.clock,
                emit=self._emit,
                small=settings.small_at_once,
                bodies=settings.bodies_at_once,
            )
            found = self._endpoints[registry] = Endpoint(
                registry,
                settings=settings,
                transport=self._transport,
                credentials=self._credentials,
                clock=self.clock,
                stats=self.stats,
                gate=gate,
            )
        return found

    def will_write(self, repository: Repository) -> None:
        """From now on tokens for this repository are asked with the right to push."""
        self._written.add(repository)

    def writes_to(self, repository: Repository) -> bool:
        """Whether this run pushes there."""
        return repository in self._written

    def scopes(self, repository: Repository, mount_from: Repository | None = None) -> tuple[str, ...]:
        """The scopes of a request to this repository."""
        return scopes_for(repository, write=repository in self._written, mount_from=mount_from)

    def acknowledge(self, repository: Repository, key: Digest | str) -> None:
        """The registry took this digest, or moved this tag, for us: from now on its absence is lag."""
        if isinstance(key, Digest):
            self._acknowledged.setdefault((repository, key), self.clock.now())
        else:
            self._acknowledged[repository, key] = self.clock.now()  # a tag's last move counts

    def is_ours(self, repository: Repository, digest: Digest) -> bool:
        """Whether the registry took this from us in this run."""
        return (repository, digest) in self._acknowledged

    async def attempt(self, repository: Repository, doing: str, about: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do this until it succeeds, fails for good, or time is up. `work` must be safe to repeat."""
        failures = 0
        while True:
            try:
                return await work()
            except BakeryError as error:
                if not error.transient:
                    raise
                failures += 1
                await self.pause(repository, doing, about, failures, error)

    async def pause(self, repository: Repository, doing: str, about: str, failures: int, error: BakeryError) -> None:
        """Wait after the failure of this attempt; raise the failure where no time or attempt is left."""
        policy, endpoint = self._policy, self.endpoint(repository)
        if isinstance(error, NotConnected):
            now = self.clock.now()
            endpoint.down_since = now if endpoint.down_since is None else endpoint.down_since
            if now - endpoint.down_since > _UNREACHABLE_S:
                raise error
        if policy.attempts_were_set and failures >= policy.max_attempts:
            raise error
        wait_s = policy.delay_for(failures)
        if isinstance(error, Unavailable) and error.retry_after_s is not None:
            wait_s += error.retry_after_s  # the jitter keeps those who were told the same from coming back at once
        if self.clock.now() + wait_s > self._deadline:
            spent = "the time budget is spent; run it again, what is there is not sent again"
            error.hint = f"{error.hint}; {spent}" if error.hint else spent
            raise error
        self.stats.retries += 1
        await self._sleep(repository, doing, about, failures, wait_s, error.why or error.what)

    async def poll(
        self,
        repository: Repository,
        doing: str,
        about: str,
        look: Callable[[], Awaitable[T | None]],
        *,
        within_s: float,
        key: Digest | str | None = None,
    ) -> T | None:
        """Look again and again, a little less often each time, until something is found or time is up (None).

        key: the digest or tag that is looked for. Where it is ours, what is seen teaches how long this host lags, and
        the next who waits looks again just when the lag ended before.
        """
        endpoint = self.endpoint(repository)
        started, wait_s, attempt = self.clock.now(), _FIRST_POLL_S, 0
        since = None if key is None else self._acknowledged.get((repository, key))
        absent_at = started
        while True:
            asked_at = self.clock.now()
            found = await self.attempt(repository, doing, about, look)
            if found is not None:
                if since is not None and attempt:
                    endpoint.saw_lag(self.clock.now() - since, absent_s=absent_at - since)
                return found
            attempt, absent_at = attempt + 1, asked_at
            left = min(self._deadline, started + within_s) - self.clock.now()
            if left <= 0:
                return None
            lag_ends_in_s = endpoint.sure_lag_s - (self.clock.now() - (started if since is None else since))
            if 0 < lag_ends_in_s < wait_s:
                wait_s = max(lag_ends_in_s, _SHORTEST_POLL_S)
                await self._sleep(repository, doing, about, attempt, min(wait_s, left), "not there yet")
                wait_s = _SHORTEST_POLL_S
            else:
                await self._sleep(repository, doing, about, attempt, min(wait_s, left), "not there yet")
                wait_s = min(wait_s * _POLL_FACTOR, _LONGEST_POLL_S)

    async def wait_for_lag(
        self, repository: Repository, doing: str, about: str, wait_s: float, error: BakeryError
    ) -> None:
        """Wait a little for something that must be there; raise the error where no time is left."""
        if self.left_s <= 0:
            raise error
        await self._sleep(repository, doing, about, 1, min(wait_s, self.left_s), error.why or error.what)

    async def _sleep(
        self, repository: Repository, doing: str, about: str, attempt: int, wait_s: float, reason: str
    ) -> None:
        _log.debug("%s %s: attempt %d: %s; again in %.2f s", doing, about, attempt, reason, wait_s)
        self._emit(RequestRetried(repository.registry, doing, about, attempt, wait_s, reason))
        await self.clock.sleep(wait_s)

    @property
    def left_s(self) -> float:
        """What is left of the time budget, in seconds."""
        return max(0.0, self._deadline - self.clock.now())
