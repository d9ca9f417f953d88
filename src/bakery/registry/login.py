"""The authorization of requests to one registry: its challenge and its tokens, each fetched by one request at a time.

Lazy: the first request carries no token, and its 401 contains the challenge. From then on, tokens are fetched before a
request, one per login and scope, and replaced before they expire. No gate slot is held while waiting for a token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from msgspec import Struct

from bakery.errors import AuthError
from bakery.oci.reference import Repository
from bakery.registry.challenge import Challenge, parse, preferred
from bakery.registry.credentials import Credentials
from bakery.registry.http.address import Reach
from bakery.registry.http.message import HttpRequest, HttpResponse
from bakery.registry.http.url import Origin, Url
from bakery.registry.operation import Operation
from bakery.registry.reasons import login_hint
from bakery.registry.token import (
    ANONYMOUS,
    Login,
    Token,
    Trust,
    realm_url,
    refresh_margin_s,
    scope_of,
    token_flow,
    trust_in,
)
from bakery.retry import Clock
from bakery.values import repr_without

_Key = tuple[Login, tuple[str, ...]]
SendTokenRequest = Callable[[HttpRequest], Awaitable[HttpResponse]]


class Grant(Struct, frozen=True):
    """The Authorization header of one request, and the key of its token, so that a refused token is dropped once."""

    header: str = ""
    key: _Key | None = None

    __repr__ = repr_without("header")


class _Kept(Struct):
    token: Token
    until: float  # clock time from which it is no longer used


NOTHING = Grant()


class Authorizer:
    """Responds to the challenges of one registry."""

    def __init__(
        self,
        origin: Origin,
        *,
        credentials: Credentials,
        trusted: frozenset[Origin],
        own_reach: Callable[[], Reach],
        send: SendTokenRequest,
        clock: Clock,
    ) -> None:
        self.origin, self._credentials, self._trusted = origin, credentials, trusted
        self._own_reach, self._send, self._clock = own_reach, send, clock
        self._challenge: Challenge | None = None
        self._realm: Url | None = None
        self._met = False  # whether any response has arrived
        self._scout: asyncio.Event | None = None
        self._kept: dict[_Key, _Kept] = {}
        self._flights: dict[_Key, asyncio.Future[None]] = {}
        self._renewals: dict[Login, str] = {}
        self._wanted: dict[tuple[str, ...], tuple[str, ...]] = {}  # our scopes → the scopes that the registry requires
        self._anonymous_because: str = ""
        self._was_granted = False  # whether the token service has ever accepted the login

    async def grant(self, operation: Operation) -> Grant:
        """Return the authorization of the next request. Its token lasts for `operation.lasting_s`."""
        login = await self._credentials.login_for(operation.repository, push=_pushes(operation))
        if login.registry_token:
            return Grant(f"Bearer {login.registry_token}")
        if not self._met and login:
            await self._let_one_go_first()
        if self._challenge is None:
            return NOTHING
        if self._challenge.scheme == "basic":
            return Grant(login.basic, (login, ()))
        key = (login, self._wanted.get(operation.scopes, operation.scopes))
        while True:
            kept = self._kept.get(key)
            if kept is not None:
                lasting_s = min(operation.lasting_s, kept.token.lifetime_s / 2)
                if kept.until - lasting_s >= self._clock.now():
                    return Grant(f"Bearer {kept.token.value}", key)
            flight = self._flights.get(key)
            if flight is None:
                await self._fly(key)
                continue
            await asyncio.wait((flight,))  # not `await flight`: cancelling one waiter must not cancel the flight
            if not flight.cancelled():
                flight.result()  # a failure is raised in all waiters

    async def _fly(self, key: _Key) -> None:
        """Fetch one token for all who need it. If the task that fetches it is cancelled, the next one does it."""
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        try:
            token = await self._fetch(*key)
            until = self._clock.now() + token.lifetime_s - refresh_margin_s(token.lifetime_s)
            self._kept[key], self._was_granted = _Kept(token, until), True
            flight.set_result(None)
        except Exception as error:
            flight.set_exception(error)
            flight.exception()  # mark it as retrieved: there may be no other waiter
            raise
        finally:
            flight.cancel()
            del self._flights[key]

    async def _let_one_go_first(self) -> None:
        """With a login, a 401 is likely: one request fetches the challenge, the others wait for it."""
        if self._scout is None:
            self._scout = asyncio.Event()
        else:
            await self._scout.wait()

    def met(self) -> None:
        """Let waiting requests go: a response has arrived, or the first request has failed."""
        self._met = True
        if self._scout is not None:
            self._scout.set()

    def learn(self, response: HttpResponse, url: Url, grant: Grant, scopes: tuple[str, ...]) -> bool:
        """Read the challenge of a 401. Return whether the same request may succeed with what is known now.

        Raises BadChallenge and UnsafeTarget.
        """
        challenge = preferred(parse(response.headers.getall("WWW-Authenticate")))
        if challenge is None:
            # GAR sends some without: then the challenge of the ping counts, with a new token if one was refused.
            return self._challenge is not None and self._forget(grant)
        if challenge.scheme == "bearer":
            self._realm = realm_url(url, challenge)
        known, self._challenge = self._challenge, challenge
        if grant.key is None:
            return not grant.header
        if known is not None and known.scheme != challenge.scheme:
            return True
        if not self._forget(grant):
            return False
        required = tuple(challenge.parameters.get("scope", "").split())
        if required and not set(required) <= set(grant.key[1]) and scopes not in self._wanted:
            self._wanted[scopes] = tuple(dict.fromkeys((*scopes, *required)))
        return True

    def _forget(self, grant: Grant) -> bool:
        """Drop the token that was refused. Return whether there is any other authorization to try."""
        if grant.key is None:
            return not grant.header
        if not grant.key[1]:
            return False  # Basic is always the same
        kept = self._kept.get(grant.key)
        if kept is not None and grant.header == f"Bearer {kept.token.value}":
            del self._kept[grant.key]  # and not one that another request fetched in the meantime
        return True

    def lets_in(self) -> bool:
        """Return whether other requests may succeed after a 401: no login is required, or a token was granted."""
        return self._challenge is None or self._was_granted

    def knows_challenge(self) -> bool:
        """Return whether the registry has ever sent a challenge."""
        return self._challenge is not None

    async def _fetch(self, login: Login, scopes: tuple[str, ...]) -> Token:
        challenge, realm = self._challenge, self._realm
        if challenge is None or realm is None:
            raise ValueError("a token is fetched only after a challenge")
        trust, allowed = trust_in(self.origin, realm, self._own_reach(), self._trusted)
        shown = login
        if trust is Trust.NOTHING and login:
            shown = ANONYMOUS
            self._anonymous_because = (
                f"set BAKERY_TRUSTED_REALMS={realm.origin} if this token service may see the login for "
                f"{self.origin.authority}; the token was requested without it"
            )
        if shown.identity_token:
            renewed = self._renewals.get(login, login.identity_token)
            shown = Login(login.username, login.password, renewed)
        flow = token_flow(challenge, realm, scopes, shown, allowed)
        try:
            request = next(flow)
            while True:
                request = flow.send(await self._send(request))
        except StopIteration as done:
            token: Token = done.value
        except AuthError as error:
            error.hint = self._anonymous_because or error.hint
            raise
        if token.refresh_token and shown.identity_token:
            self._renewals[login] = token.refresh_token
        return token

    async def has_login(self, repository: Repository) -> bool:
        """Return whether a login is stored for this repository."""
        return bool(await self._credentials.login_for(repository, push=True))

    async def hint(self, repository: Repository) -> str:
        """Return what to do about a refusal."""
        if self._anonymous_because:
            return self._anonymous_because
        if not await self.has_login(repository):
            return login_hint(repository.registry)
        return f"give the login for {repository.registry} permission to do this in {repository.path}"


def _pushes(operation: Operation) -> bool:
    """Return whether the token of an operation must allow to push to its repository."""
    return bool(operation.scopes) and any(part in operation.scopes[0] for part in ("push", "*", "delete"))


def scopes_for(repository: Repository, *, write: bool, mount_from: Repository | None = None) -> tuple[str, ...]:
    """Return the scopes of a request, the repository's own first: some services read only the first."""
    target = scope_of(repository, "pull,push" if write else "pull")
    if mount_from is None or mount_from == repository:
        return (target,)
    return (target, scope_of(mount_from, "pull"))
