"""The registry client: composes what serves every registry of one run.

    async with Client(config=RegistryConfig.from_environment(os.environ), policy=RetryPolicy()) as client:
        manifest = await client.manifests.get(parse_reference("ghcr.io/acme/app:1.0"))
        there = await client.blobs(Repository.parse("ghcr.io/acme/app")).has(blob)

Its operations retry; nothing below them does, nor may their callers. Reads are verified. Importing this module imports
everything that speaks to the network, so callers import it when they need it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Self

from bakery.defaults import WAIT_TIMEOUT_S
from bakery.events import Emit, ignore
from bakery.oci.reference import Repository
from bakery.registry.blobs import Blobs
from bakery.registry.config import RegistryConfig
from bakery.registry.credentials import Credentials, RunHelper
from bakery.registry.http.address import Reach, reach_of
from bakery.registry.http.pool import Lookup, system_lookup
from bakery.registry.http.transport import Transport
from bakery.registry.listing import Listings
from bakery.registry.manifests import Manifests
from bakery.registry.operation import ClientStats
from bakery.registry.probe import Probes
from bakery.registry.retries import ClientState
from bakery.retry import Clock, RetryPolicy, SystemClock
from bakery.tasks import together


class Client:
    """One client per run, for every registry host. Use it as an async context manager.

    deadline: the clock's time at which the time budget ends; None means TIME_BUDGET_S from now. lag_limit_s:
    how long content that must exist may be absent. run_helper: runs
    credential helpers; without one, a helper that is configured is an error. lookup and classify: how names are
    resolved and addresses are classified; only tests pass others.
    """

    def __init__(
        self,
        *,
        config: RegistryConfig,
        policy: RetryPolicy,
        clock: Clock | None = None,
        emit: Emit = ignore,
        deadline: float | None = None,
        lag_limit_s: float = WAIT_TIMEOUT_S,
        run_helper: RunHelper | None = None,
        lookup: Lookup = system_lookup,
        classify: Callable[[str], Reach] = reach_of,
    ) -> None:
        self.stats = ClientStats()
        self._transport = Transport(config, self.stats, lookup=lookup, classify=classify)
        self._state = ClientState(
            config=config,
            policy=policy,
            clock=clock or SystemClock(),
            emit=emit,
            deadline=deadline,
            lag_limit_s=lag_limit_s,
            transport=self._transport,
            stats=self.stats,
            credentials=Credentials(config.credentials, run_helper),
        )
        self._blobs: dict[Repository, Blobs] = {}
        self.listings = Listings(self._state)
        self.probes = Probes(self._state)
        self.manifests = Manifests(self._state, self.blobs, self.listings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._transport.__aexit__(*exception)
        self._state.report_traffic()

    def blobs(self, repository: Repository) -> Blobs:
        """Return the blobs of a repository: always the same object for the same repository."""
        found = self._blobs.get(repository)
        if found is None:
            found = self._blobs[repository] = Blobs(self._state, repository)
        return found

    def announce_writes(self, repositories: Iterable[Repository]) -> None:
        """Name the repositories that this run will push to: then one token with pull and push replaces two."""
        for repository in repositories:
            self._state.will_write(repository)

    async def open_ahead(self, repositories: Collection[Repository], *, each: int) -> None:
        """Open so many connections for each repository, for requests that follow soon.

        A host gets no more of them than it gets requests at once.
        """
        one_of = {repository.registry: repository for repository in repositories}
        numbers = Counter(repository.registry for repository in repositories)
        await together(
            self._state.endpoint(repository).open_ahead(each * numbers[registry])
            for registry, repository in one_of.items()
        )

    def extend(self, seconds: float) -> None:
        """Make sure that the time budget does not end within so many seconds."""
        self._state.deadline = max(self._state.deadline, self._state.clock.now() + seconds)
