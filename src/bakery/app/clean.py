"""`bakery clean`: delete what repositories no longer need. Which ones, what is known of them, and the run of it all.

Nothing is printed: events go to `emit`, failures are in the outcome.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct, field

from bakery.app.selecting import Filters, open_project, select_targets
from bakery.defaults import REQUEST_BACKOFF_S, TIME_BUDGET_S
from bakery.errors import AuthError, ConfigurationError, ExecutorInterrupted, UsageError
from bakery.events import Emit, RunStarted, RunTarget, ignore
from bakery.text import hide

if TYPE_CHECKING:
    from bakery.clean.criteria import Criteria
    from bakery.clean.github import GitHub
    from bakery.clean.known import Known
    from bakery.clean.outcome import CleanOutcome
    from bakery.clean.place import Place
    from bakery.clean.sweep import Sweep
    from bakery.oci.reference import Repository
    from bakery.registry.client import Client
    from bakery.retry import Clock

Api = Literal["auto", "github", "registry"]
_GITHUB_API: Final = "https://api.github.com"
_TOKENS: Final = ("GITHUB_TOKEN", "GH_TOKEN")


class CleanOptions(Struct, frozen=True):
    """What is selected, and how registries are reached; the same for every kind of repository.

    older_than: days. tag, keep_tag: regular expressions. metadata: build metadata, summaries and journals that name
    manifests. api: which API lists and deletes. named: whether
    manifests that are known and have no tag are selected, also without metadata. dry_run: delete nothing.
    """

    older_than: float | None = None
    untagged: bool = False
    tag: tuple[str, ...] = ()
    keep_tag: tuple[str, ...] = ()
    keep_last: int = 0
    metadata: tuple[str, ...] = ()
    api: Api = "auto"
    named: bool = False
    dry_run: bool = False
    time_budget: float = TIME_BUDGET_S
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    @property
    def github_api(self) -> str:
        """The base URL of GitHub's API."""
        return self.environment.get("GITHUB_API_URL", "").strip() or _GITHUB_API

    def criteria(self, *, by_tag: bool = True) -> Criteria:
        """Return the criteria, checked. Raises UsageError if they select nothing. by_tag: whether tags can be one."""
        from bakery.clean.criteria import Criteria

        is_named = self.named or bool(self.metadata)
        found = Criteria(self.older_than, self.untagged, self.tag, self.keep_tag, self.keep_last, is_named)
        if found.is_empty:
            expected = ["--older-than DAYS", "--untagged", *(["--tag REGEX"] if by_tag else [])]
            raise UsageError("nothing to select by", why=f"expected {', '.join(expected)} or --metadata FILE")
        return found


def temporary_repositories(
    registry: str,
    kind: Literal["tmp", "cache"],
    context: Path,
    filters: Filters,
    *,
    named: Sequence[Repository] = (),
    emit: Emit = ignore,
) -> tuple[Repository, ...]:
    """Return the repositories of a project's images in a registry for builds (tmp) or caches.

    named: repositories that files name. They are added, and make a project unnecessary.
    """
    from bakery.config.load import project_in

    if named and project_in(context) is None:
        return tuple(named)
    targets = select_targets(open_project(context, emit=emit), filters, emit=emit).targets
    found = parse_repositories([f"{registry.rstrip('/')}/{target.image}/{kind}" for target in targets])
    return tuple(dict.fromkeys((*found, *named)))


def parse_repositories(names: Sequence[str]) -> tuple[Repository, ...]:
    """Return repositories by name. Raises UsageError for anything else."""
    from bakery.errors import BadReference
    from bakery.oci.reference import Repository

    try:
        return tuple(dict.fromkeys(Repository.parse(name) for name in names))
    except BadReference as error:
        raise UsageError(error.what, about=error.about, why=error.why, hint=error.hint) from error


def known_to(options: CleanOptions, *, journal: Path | None = None, within: str = "") -> Known:
    """Return what the files of the options name. within: only in this registry, or below this path.

    journal: of earlier clean-ups: what one of them was about to delete, and did not, is a leftover.
    """
    from bakery.app.known import read_known, with_leftovers

    known = read_known(options.metadata, Path.cwd())
    return (known if journal is None else with_leftovers(known, journal)).within(within)


def survey(
    repositories: Sequence[Repository], options: CleanOptions, *, known: Known, emit: Emit = ignore
) -> CleanOutcome:
    """Return what would be deleted, and what keeps the rest. Registries are only read."""
    from bakery.parallel.root import run_interruptible

    run = _Run(repositories, options, known, emit)
    run.start()
    planned = run_interruptible(run.plan())
    run.end("unchanged")
    return planned


def delete(planned: CleanOutcome, options: CleanOptions, *, known: Known, emit: Emit = ignore) -> CleanOutcome:
    """Delete what `survey` found, unless something needs it by now. The outcome says what became of everything.

    Raises ExecutorInterrupted, with the outcome so far as its value, if a signal ends it.
    """
    from bakery.parallel.root import run_interruptible

    run = _Run([place.plan.repository for place in planned.repositories], options, known, emit)
    run.start()
    try:
        run_interruptible(run.delete(planned))
    except ExecutorInterrupted as error:
        run.end("stopped")
        raise ExecutorInterrupted(error.signum, run.outcome()) from error
    run.end()
    return run.outcome()


class _Run:
    """One clean-up of several repositories."""

    def __init__(self, repositories: Sequence[Repository], options: CleanOptions, known: Known, emit: Emit) -> None:
        self._repositories, self._options, self._known, self._emit = repositories, options, known, emit
        self._criteria = options.criteria()
        self._sweeps: list[Sweep] = []

    def outcome(self, *, is_plan: bool = False) -> CleanOutcome:
        from bakery.clean.outcome import CleanOutcome

        return CleanOutcome(tuple(sweep.outcome() for sweep in self._sweeps), is_plan)

    def start(self) -> None:
        """Report which repositories are worked on."""
        self._emit(RunStarted("clean", tuple(RunTarget(str(repository)) for repository in self._repositories)))

    def end(self, state: str = "done") -> None:
        """Report that nothing more is done with the repositories."""
        for sweep in self._sweeps:
            sweep.end(state if sweep.outcome().plan.deletions else "unchanged")

    async def plan(self) -> CleanOutcome:
        from bakery.tasks import together

        async with AsyncExitStack() as stack:
            self._sweeps = await self._opened(stack)
            await together(sweep.plan() for sweep in self._sweeps)
        return self.outcome(is_plan=True)

    async def delete(self, planned: CleanOutcome) -> None:
        from bakery.tasks import together

        async with AsyncExitStack() as stack:
            self._sweeps = await self._opened(stack)
            for sweep, place in zip(self._sweeps, planned.repositories, strict=True):
                sweep.approve(place)
            await together(sweep.delete() for sweep in self._sweeps)

    async def _opened(self, stack: AsyncExitStack) -> list[Sweep]:
        from bakery.clean.survey import Surveyor
        from bakery.clean.sweep import Sweep

        client, places = await _open_places(self._repositories, self._options, self._known, self._emit, stack)
        return [
            Sweep(
                Surveyor(place, client, self._criteria, self._known),
                self._criteria,
                now=lambda: datetime.now(UTC),
                emit=self._emit,
            )
            for place in places
        ]


async def _open_places(
    repositories: Sequence[Repository], options: CleanOptions, known: Known, emit: Emit, stack: AsyncExitStack
) -> tuple[Client, tuple[Place, ...]]:
    """Return a client, and every repository with the API that deletes from it, connected until the stack ends."""
    from bakery.app.engine import make_client
    from bakery.clean.distribution import DistributionPlace
    from bakery.clean.github import GitHubPlace
    from bakery.retry import SystemClock

    clock = SystemClock()
    deadline = clock.now() + options.time_budget
    at_github = {one for one in repositories if _is_at_github(one, options)}
    token = _token(options, at_github)
    logins = _logins(at_github, token, options.github_api) if at_github else ""
    client = await stack.enter_async_context(
        make_client(options.environment, clock=clock, emit=emit, deadline=deadline, logins=logins)
    )
    if at_github:
        github = await stack.enter_async_context(_connect(options, token, clock, deadline, emit))
    return client, tuple(
        GitHubPlace(github, one) if one in at_github else DistributionPlace(client, one, tuple(known.of(one)))
        for one in repositories
    )


def _token(options: CleanOptions, at_github: set[Repository]) -> str:
    token = next((options.environment[name] for name in _TOKENS if options.environment.get(name)), "")
    if at_github and not token:
        why = "GITHUB_TOKEN is not set"
        hint = "set it to a token with the scopes read:packages and delete:packages"
        raise AuthError("cannot clean", about=min(at_github), why=why, hint=hint)
    hide(token)
    return token


def _connect(options: CleanOptions, token: str, clock: Clock, deadline: float, emit: Emit) -> GitHub:
    from bakery.clean.github import GitHub
    from bakery.registry.config import RegistryConfig
    from bakery.retry import RetryPolicy

    return GitHub(
        options.github_api,
        token,
        config=RegistryConfig.from_environment(options.environment),
        policy=RetryPolicy.from_environment(options.environment, base_delay=REQUEST_BACKOFF_S),
        clock=clock,
        deadline=deadline,
        time=datetime.now(UTC).timestamp(),
        emit=emit,
    )


def _is_at_github(repository: Repository, options: CleanOptions) -> bool:
    """Return whether GitHub's API lists and deletes in this repository."""
    return options.api == "github" or (options.api == "auto" and _is_githubs(repository.registry, options.github_api))


def _is_githubs(registry: str, api: str) -> bool:
    """Return whether a registry is that of the GitHub which this API belongs to: it may see its token."""
    from urllib.parse import urlsplit

    host = urlsplit(api).netloc
    if registry == "ghcr.io" or host == "api.github.com":
        return (registry, host) == ("ghcr.io", "api.github.com")
    if host.endswith(".ghe.com"):  # api.acme.ghe.com belongs to acme.ghe.com, unlike HOST/api/v3 of a server
        host = host.removeprefix("api.")
    return registry in (f"containers.{host}", host)


def _logins(repositories: set[Repository], token: str, api: str) -> str:
    """Return the token as logins for GitHub's own registries, in the form of docker's configuration."""
    hosts = {one.registry for one in repositories if _is_githubs(one.registry, api)}
    if not api.startswith("https://") and not _is_loopback(api):
        raise ConfigurationError("invalid GITHUB_API_URL", about=api, why="a token is only sent over https")
    return json.dumps({"auths": {host: {"username": "x-access-token", "password": token} for host in sorted(hosts)}})


def _is_loopback(api: str) -> bool:
    from urllib.parse import urlsplit

    return urlsplit(api).hostname in ("127.0.0.1", "::1", "localhost")
