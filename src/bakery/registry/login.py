"""What authorises the requests to one registry: its challenge, its tokens, one request for a token at a time.

Lazy: the first request goes without, the 401 teaches the challenge. After that tokens are asked for ahead, one per
login and scope, and renewed before they end. Holds no gate slot while it waits for another's token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from msgspec import Struct

from bakery.errors import AuthError
from bakery.oci.reference import Repository
from bakery.registry.answers import Reply
from bakery.registry.challenge import Challenge, parse, preferred
from bakery.registry.credentials import Credentials
from bakery.registry.origin import Origin, Reach, Url
from bakery.registry.token import (
    ANONYMOUS,
    Login,
    Token,
    TokenRequest,
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
Ask = Callable[[TokenRequest, frozenset[Reach]], Awaitable[Reply]]


class Grant(Struct, frozen=True):
    """What one request showed: the header, and which token it was, so that a refused one is forgotten once."""

    header: str = ""
    key: _Key | None = None

    __repr__ = repr_without("header")


class _Kept(Struct):
    token: Token
    until: float  # clock time at which it is no longer used


NOTHING = Grant()


class Authorizer:
    """The one who answers a registry's challenges."""

    def __init__(
        self,
        origin: Origin,
        *,
        credentials: Credentials,
        trusted: frozenset[Origin],
        own_reach: Callable[[], Reach],
        ask: Ask,
        clock: Clock,
    ) -> None:
        self._origin, self._credentials, self._trusted = origin, credentials, trusted
        self._own_reach, self._ask, self._clock = own_reach, ask, clock
        self._challenge: Challenge | None = None
        self._realm: Url | None = None
        self._met = False  # whether any answer has come
        self._scout: asyncio.Event | None = None
        self._kept: dict[_Key, _Kept] = {}
        self._flights: dict[_Key, asyncio.Future[None]] = {}
        self._renewals: dict[Login, str] = {}
        self._wanted: dict[tuple[str, ...], tuple[str, ...]] = {}  # our scopes → those that the registry asked for
        self._anonymous_because: str = ""

    async def grant(self, repository: Repository, scopes: tuple[str, ...], *, lasting_s: float = 0.0) -> Grant:
        """What the next request to this repository shows. lasting_s: how long it will take, so that it outlives it."""
        login = await self._credentials.login_for(repository)
        if login.registry_token:
            return Grant(f"Bearer {login.registry_token}")
        if not self._met and login:
            await self._let_one_go_first()
        if self._challenge is None:
            return NOTHING
        if self._challenge.scheme == "basic":
            return Grant(login.basic, (login, ()))
        key = (login, self._wanted.get(scopes, scopes))
        while True:
            kept = self._kept.get(key)
            if kept is not None and kept.until - min(lasting_s, kept.token.lifetime_s / 2) >= self._clock.now():
                return Grant(f"Bearer {kept.token.value}", key)
            flight = self._flights.get(key)
            if flight is None:
                await self._fly(key)
                continue
            await asyncio.wait((flight,))  # not `await flight`: cancelling one who waits must not cancel the flight
            if not flight.cancelled():
                flight.result()  # a failure is told to all who waited

    async def _fly(self, key: _Key) -> None:
        """Fetch one token for all who want it. If the one who fetches is cancelled, the next one does it."""
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        try:
            token = await self._fetch(*key)
            until = self._clock.now() + token.lifetime_s - refresh_margin_s(token.lifetime_s)
            self._kept[key] = _Kept(token, until)
            flight.set_result(None)
        except Exception as error:
            flight.set_exception(error)
            flight.exception()  # seen: nobody need have waited
            raise
        finally:
            flight.cancel()
            del self._flights[key]

    async def _let_one_go_first(self) -> None:
        """With a login at hand a 401 is likely: one request learns the challenge, the others wait for it."""
        if self._scout is None:
            self._scout = asyncio.Event()
        else:
            await self._scout.wait()

    def met(self) -> None:
        """An answer has come, or the one who went first gave up: the others may go."""
        self._met = True
        if self._scout is not None:
            self._scout.set()

    def learn(self, reply: Reply, url: Url, grant: Grant, scopes: tuple[str, ...]) -> bool:
        """Take the challenge of a 401. True where the same request may succeed with what is known now.

        Raises BadChallenge, UnsafeTarget, or AuthError where nothing can be shown that was not shown already.
        """
        challenge = preferred(parse(reply.headers.getall("WWW-Authenticate")))
        if challenge is None:
            # Without one on this request (GAR): what the ping taught is tried, with a new token where one was refused.
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
        asked = tuple(challenge.parameters.get("scope", "").split())
        if asked and not set(asked) <= set(grant.key[1]) and scopes not in self._wanted:
            self._wanted[scopes] = tuple(dict.fromkeys((*scopes, *asked)))
        return True

    def _forget(self, grant: Grant) -> bool:
        """Drop the token that was refused; whether there is anything else to show than what was shown."""
        if grant.key is None:
            return not grant.header
        if not grant.key[1]:
            return False  # Basic has one answer
        kept = self._kept.get(grant.key)
        if kept is not None and grant.header == f"Bearer {kept.token.value}":
            del self._kept[grant.key]  # and not the one that another request got in the meantime
        return True

    def knows_challenge(self) -> bool:
        """Whether the registry ever said how to log in."""
        return self._challenge is not None

    async def _fetch(self, login: Login, scopes: tuple[str, ...]) -> Token:
        challenge, realm = self._challenge, self._realm
        if challenge is None or realm is None:
            raise ValueError("a token is fetched only once a challenge was seen")
        trust, allowed = trust_in(self._origin, realm, self._own_reach(), self._trusted)
        shown = login
        if trust is Trust.NOTHING and login:
            shown = ANONYMOUS
            self._anonymous_because = (
                f"the token service {realm.origin} is not trusted with the login of {self._origin.authority}; "
                f"if it is right, set BAKERY_TRUSTED_REALMS={realm.origin}"
            )
        if shown.identity_token:
            renewed = self._renewals.get(login, login.identity_token)
            shown = Login(login.username, login.password, renewed)
        flow = token_flow(challenge, realm, scopes, shown)
        try:
            request = next(flow)
            while True:
                request = flow.send(await self._ask(request, allowed))
        except StopIteration as done:
            token: Token = done.value
        except AuthError as error:
            error.hint = self._anonymous_because or error.hint
            raise
        if token.refresh_token and shown.identity_token:
            self._renewals[login] = token.refresh_token
        return token

    async def hint(self, repository: Repository) -> str:
        """What to do about a refusal."""
        if self._anonymous_because:
            return self._anonymous_because
        if not await self._credentials.login_for(repository):
            return f"there are no credentials for {repository.registry}: log in (docker login {repository.registry})"
        return f"give the login of {repository.registry} the right to do this on {repository.path}"


def scopes_for(repository: Repository, *, write: bool, mount_from: Repository | None = None) -> tuple[str, ...]:
    """The scopes of a request, the target's first: some services look at the first alone."""
    target = scope_of(repository, "pull,push" if write else "pull")
    if mount_from is None or mount_from == repository:
        return (target,)
    return (target, scope_of(mount_from, "pull"))
