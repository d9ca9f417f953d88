"""One registry as this run knows it: its origin, gate, tokens and lag. Sends a request with all that belongs to it.

Authorises, follows redirects by the origin rules, answers a 401, pauses the host on a 429. Never retries a failure:
that is for the operation, which knows how to look before it sends again.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from bakery.errors import BakeryError, RegistryError
from bakery.oci.reference import Repository
from bakery.registry.answers import MAX_ERROR_BYTES, Doing, Reply, failure, is_throttled, retry_after_s, tell
from bakery.registry.credentials import Credentials
from bakery.registry.faults import LoginEnded
from bakery.registry.gate import Gate, Lane
from bakery.registry.http.transport import Body, Incoming, Request, Stats, Transport
from bakery.registry.login import NOTHING, Authorizer, Grant
from bakery.registry.origin import EVERYWHERE, Reach, Url, api_origin, check_hop
from bakery.registry.settings import Settings
from bakery.registry.token import MAX_TOKEN_BYTES, TokenRequest
from bakery.retry import Clock
from bakery.values import repr_without

_log = logging.getLogger(__name__)

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_HOPS: Final = 10
_MAX_LOGINS: Final = 2  # a stale token, and a scope that only the challenge names
LEAST_LAG_S: Final = 5.0
_PAUSE_S: Final = 1.0  # where a 429 names no time


class Ask(Struct, frozen=True):
    """One request to a registry, before it is authorised.

    body None sends none; `lane` is where it queues. insists: whether a 401 is worth another login.
    """

    method: str
    url: Url
    repository: Repository
    scopes: tuple[str, ...]
    doing: str
    about: str
    phase: Doing = Doing.READ
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Body | None = None
    lane: Lane = Lane.SMALL
    limit_bytes: int = MAX_ERROR_BYTES
    lasting_s: float = 0.0
    insists: bool = True

    __repr__ = repr_without("headers", "body")

    def with_scopes(self, scopes: tuple[str, ...]) -> Ask:
        """The same request with other scopes."""
        return replace(self, scopes=scopes)


class Endpoint:
    """The state of one registry host. One per run and host."""

    def __init__(
        self,
        registry: str,
        *,
        settings: Settings,
        transport: Transport,
        credentials: Credentials,
        clock: Clock,
        stats: Stats,
        gate: Gate,
    ) -> None:
        self.registry, self.origin = registry, api_origin(registry, settings.plain_http)
        self.gate, self.longest_lag_s, self.sure_lag_s = gate, LEAST_LAG_S, 0.0
        self.down_since: float | None = None  # when it began to refuse every connection
        self._transport, self._stats = transport, stats
        self._authorizer = Authorizer(
            self.origin,
            credentials=credentials,
            trusted=settings.trusted_realms,
            own_reach=self._own_reach,
            ask=self._ask_token,
            clock=clock,
        )

    def url(self, repository: Repository, rest: str) -> Url:
        """The URL of something in a repository: `rest` is made of validated values only."""
        return Url(self.origin, f"/v2/{repository.path}/{rest}")

    def saw_lag(self, seconds: float, *, absent_s: float) -> None:
        """Something acknowledged took this long to be seen; `absent_s` after it was written it was not there."""
        self.longest_lag_s = max(self.longest_lag_s, seconds)
        self.sure_lag_s = max(self.sure_lag_s, absent_s)

    async def send(self, ask: Ask) -> Reply:
        """The answer, whatever its status but a refused login. Its body is read up to the limit.

        Raises AuthError for a 401 that no login mends; Unavailable and others only for the token service.
        """
        async with self.open(ask) as incoming:
            return await self._read(incoming, ask)

    async def refusal(self, reply: Reply, ask: Ask) -> BakeryError:
        """The error for an unsuccessful answer, with the hint that fits this registry's login."""
        hint = await self.hint(ask.repository) if reply.status in (401, 403) else ""
        return failure(reply, ask.doing, ask.about, phase=ask.phase, hint=hint)

    async def hint(self, repository: Repository) -> str:
        """What to do about a refused login or a missing right."""
        return await self._authorizer.hint(repository)

    async def _read(self, incoming: Incoming, ask: Ask) -> Reply:
        if incoming.status >= 400:
            return await incoming.read(MAX_ERROR_BYTES, strict=False)
        return await incoming.read(ask.limit_bytes)

    @asynccontextmanager
    async def open(self, ask: Ask) -> AsyncIterator[Incoming]:
        """As `send`, but the body is still to be read. The slot is held until the end of the block."""
        url, came_from, hops, logins = ask.url, self.origin, 0, 0
        left_home = url.origin != self.origin
        while True:
            incoming: Incoming | None = None
            grant = NOTHING
            try:
                if not left_home:
                    grant = await self._authorizer.grant(ask.repository, ask.scopes, lasting_s=ask.lasting_s)
                allowed = check_hop(came_from, url, self._own_reach()) if left_home else EVERYWHERE
                headers = {**ask.headers, "Authorization": grant.header} if grant.header else ask.headers
                request = Request(ask.method, url, headers, ask.body, allowed, ask.doing, ask.about)
                async with self.gate.slot(ask.lane):
                    try:
                        incoming = await self._transport.start(request)
                        self.down_since = None
                    finally:
                        self._authorizer.met()
                    if incoming.status == 401 and ask.insists and not left_home:
                        logins += 1
                        refused = await incoming.read(MAX_ERROR_BYTES, strict=False)
                    elif incoming.status in _REDIRECTS and ask.method in ("GET", "HEAD"):
                        hops += 1
                        await incoming.read(MAX_ERROR_BYTES, strict=False)
                        came_from, url = url.origin, self._next_hop(incoming, hops, ask)
                        # Once sent away, what follows is the other side's choice: nothing on the way back either.
                        left_home = left_home or url.origin != self.origin
                        continue
                    else:
                        await self._note(incoming, ask)
                        yield incoming
                        return
            finally:
                self._authorizer.met()
                if incoming is not None:
                    incoming.close()
            await self._login_again(refused, url, ask, grant, logins)

    def _own_reach(self) -> Reach:
        return self._transport.reach_of(self.origin)

    def _next_hop(self, incoming: Incoming, hops: int, ask: Ask) -> Url:
        location = incoming.headers.get("Location", "")
        if not location or hops > _MAX_HOPS:
            rule = "a redirect that leads nowhere" if hops <= _MAX_HOPS else f"more than {_MAX_HOPS} redirects"
            raise RegistryError(ask.doing, about=ask.about, status=incoming.status, why=rule)
        return incoming.url.resolve(location)

    async def _note(self, incoming: Incoming, ask: Ask) -> None:
        """Let the gate know how the host fares. A complaint is read here, once; whoever asked reads it again."""
        if incoming.status < 400:
            self.gate.succeeded(ask.lane)
        elif incoming.status in (403, 429, 503):
            reply = await incoming.read(MAX_ERROR_BYTES, strict=False)
            wait_s = retry_after_s(reply)
            if is_throttled(reply):
                self.gate.pause(_PAUSE_S if wait_s is None else wait_s, tell(reply)[1])
            elif wait_s is not None:
                self.gate.pause(wait_s, tell(reply)[1])
            elif incoming.status == 503:
                self.gate.narrow()

    async def _login_again(self, refused: Reply, url: Url, ask: Ask, grant: Grant, logins: int) -> None:
        """Return where the same request may now succeed. Raises AuthError, or LoginEnded where a body is spent."""
        self._stats.logins_refused += 1
        again = logins <= _MAX_LOGINS and self._authorizer.learn(refused, url, grant, ask.scopes)
        if not again and not self._authorizer.knows_challenge():
            # gcr.io has sent 401 without a challenge on real requests; its /v2/ has one.
            again = self._authorizer.learn(await self._ping(ask), url, grant, ask.scopes)
        if not again:
            raise await self.refusal(refused, ask)
        if isinstance(ask.body, Body):
            raise LoginEnded(ask.doing, about=ask.about, why="the login ended while a body was sent")

    async def _ping(self, ask: Ask) -> Reply:
        request = Request("GET", Url(self.origin, "/v2/"), {}, doing=ask.doing, about=ask.about)
        return await self._exchange(request, MAX_ERROR_BYTES, strict=False)

    async def _ask_token(self, asked: TokenRequest, allowed: frozenset[Reach]) -> Reply:
        headers = {"Authorization": asked.authorization} if asked.authorization else {}
        if asked.form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        about = str(asked.url.origin)
        request = Request(asked.method, asked.url, headers, asked.form, allowed, "asking for a token", about)
        self._stats.token_requests += 1
        return await self._exchange(request, MAX_TOKEN_BYTES, strict=True)

    async def _exchange(self, request: Request, limit_bytes: int, *, strict: bool) -> Reply:
        async with self.gate.slot(Lane.SMALL):
            incoming = await self._transport.start(request)
            try:
                return await incoming.read(limit_bytes, strict=strict)
            finally:
                incoming.close()
