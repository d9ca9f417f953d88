"""One registry host as this run knows it: its origin, gate, tokens and lag. Sends requests with all that they need.

Authorizes, follows redirects by the origin rules, responds to a 401, pauses the host after a 429. Never retries a
failure: that is for the operation, which knows how to look before it sends again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from bakery.errors import BakeryError, NotFound, RegistryError
from bakery.oci.reference import Repository
from bakery.registry.answers import error_for, is_throttled, retry_after_s, summary_of
from bakery.registry.config import RegistryConfig
from bakery.registry.credentials import Credentials
from bakery.registry.failure import LoginEnded
from bakery.registry.gate import Gate, Lane
from bakery.registry.http.address import Reach
from bakery.registry.http.failure import NotConnected, Untrusted
from bakery.registry.http.message import HttpBody, HttpRequest, HttpResponse
from bakery.registry.http.redirect import check_hop, is_followed, next_hop
from bakery.registry.http.tls import TlsFacts
from bakery.registry.http.transport import OpenResponse, Transport
from bakery.registry.http.url import Origin, Url
from bakery.registry.login import NOTHING, Authorizer, Grant
from bakery.registry.meter import Meter
from bakery.registry.operation import ClientStats, Operation
from bakery.registry.origin import api_origin, may_speak_tls
from bakery.registry.reasons import MAX_ERROR_BYTES, create_hint
from bakery.registry.token import MAX_TOKEN_BYTES
from bakery.registry.upload_plan import Manners
from bakery.retry import Clock

_MAX_LOGINS: Final = 2  # a stale token, and a scope that only the challenge names
_NO_CERTIFICATE: Final = (495, 496)  # nginx's own statuses; it usually sends 400 in their place
_LEAST_LAG_S: Final = 5.0
_PAUSE_S: Final = 1.0  # after a 429 without a time


class Endpoint:
    """The state of one registry host."""

    def __init__(
        self,
        registry: str,
        *,
        config: RegistryConfig,
        transport: Transport,
        credentials: Credentials,
        clock: Clock,
        stats: ClientStats,
        gate: Gate,
        meter: Meter,
    ) -> None:
        self.registry, self.origin, self.meter = registry, api_origin(registry, config.plain_http), meter
        self.gate, self.longest_lag_s, self.sure_lag_s = gate, _LEAST_LAG_S, 0.0
        self.down_since: float | None = None  # since when it has refused every connection
        self._clock, self._heard_at, self._stall_s = clock, -math.inf, config.stall_s
        self.manners, self.mount_trial = Manners(), asyncio.Lock()
        self._first_origin, self._settling = self.origin, asyncio.Lock()
        self._unsettled: NotConnected | None = None  # why it is not known whether it speaks TLS
        self._is_settled = not (config.tries_tls_on_loopback and may_speak_tls(registry, config.plain_http))
        self._transport, self._stats = transport, stats
        transport.present_certificate_to(self.origin)
        self._authorizer = Authorizer(
            self.origin,
            credentials=credentials,
            trusted=config.trusted_realms,
            own_reach=self._own_reach,
            send=self._send_token_request,
            clock=clock,
        )

    def url(self, repository: Repository, rest: str) -> Url:
        """Return a URL in the API of a repository. rest: built from validated values only."""
        return Url(self.origin, f"/v2/{repository.path}/{rest}")

    @property
    def is_alive(self) -> bool:
        """Whether it responded to any request within the limit for a stall."""
        return self._clock.now() - self._heard_at < self._stall_s

    def moved(self, url: Url) -> Url:
        """Return a URL of this registry with the scheme that its host turned out to speak."""
        return Url(self.origin, url.target) if url.origin == self._first_origin else url

    def saw_lag(self, seconds: float, *, absent_s: float) -> None:
        """Record how long an acknowledged write took to appear, and how long it was certainly absent."""
        self.longest_lag_s = max(self.longest_lag_s, seconds)
        self.sure_lag_s = max(self.sure_lag_s, absent_s)

    async def send(self, operation: Operation) -> HttpResponse:
        """Return the response, whatever its status except a refused login. Its body is read up to the limit.

        Raises AuthError for a 401 that no login resolves; Unavailable and others only for the token service.
        """
        async with self.open(operation) as response:
            if response.status >= 400:
                return await response.read(MAX_ERROR_BYTES, strict=False)
            return await response.read(operation.limit_bytes)

    async def refusal(self, response: HttpResponse, operation: Operation) -> BakeryError:
        """Return the error for an unsuccessful response, with the hint that fits the login for this registry."""
        said = response
        if response.status == 400 and operation.method == "HEAD":
            said = await self.ping(operation)  # a response to HEAD has no body, and so does not say why
        is_in_page = said.status in (400, 403) and b"ssl certificate" in said.body.lower()
        if is_in_page or said.status in _NO_CERTIFICATE:
            why = f"{response.status}: {self.origin.authority} requires a client certificate"  # nginx, in a page
            hint = "pass it with --client-cert and --client-key"
            return Untrusted(operation.failed, about=operation.about, why=why, hint=hint)
        hint = await self.hint(operation.repository) if response.status in (401, 403) else ""
        return error_for(response, operation.action, operation.about, purpose=operation.purpose, hint=hint)

    async def hint(self, repository: Repository) -> str:
        """Return what to do about a refused login or a missing permission."""
        return await self._authorizer.hint(repository)

    async def lacks_login(self, repository: Repository) -> bool:
        """Return whether the registry has asked for a login and none is stored for the repository."""
        return self._authorizer.knows_challenge() and not await self._authorizer.has_login(repository)

    def lets_in(self) -> bool:
        """Return whether other requests may succeed after a 401 of this registry."""
        return self._authorizer.lets_in()

    async def hint_for(self, error: RegistryError, repository: Repository) -> str:
        """Return what to do about a write that was refused: about the login, or about a repository that is missing."""
        return create_hint(repository) if isinstance(error, NotFound) else await self.hint(repository)

    @asynccontextmanager
    async def open(self, operation: Operation) -> AsyncIterator[OpenResponse]:
        """Send as `send` does, but leave the body to the caller. A slot is held until the end of the block."""
        if not self._is_settled:
            await self._settle(operation)
        url, came_from, hops, logins = self.moved(operation.url), self.origin, 0, 0
        has_left = url.origin != self.origin
        while True:
            response: OpenResponse | None = None
            grant = NOTHING
            try:
                if has_left:
                    request = operation.request(url, allowed=check_hop(came_from, url, self._own_reach()))
                else:
                    grant = await self._authorizer.grant(operation)
                    request = operation.request(url, authorization=grant.header)
                await self.gate.enter(operation.lane, urgent=operation.urgent)
                try:
                    response = await self._transport.start(request, self.meter)
                    self.down_since, self._heard_at = None, self._clock.now()
                    self._authorizer.met()
                    if response.status == 401 and operation.insists and not has_left:
                        logins += 1
                        refused = await response.read(MAX_ERROR_BYTES, strict=False)
                    elif is_followed(response.status, operation.method):
                        hops += 1
                        await response.read(MAX_ERROR_BYTES, strict=False)
                        came_from, url = url.origin, next_hop(url, response.headers, hops)
                        # Once redirected elsewhere, the other side chooses: no login is sent even on the way back.
                        has_left = has_left or url.origin != self.origin
                        continue
                    else:
                        await self._note(response, operation)
                        yield response
                        return
                finally:
                    self.gate.leave(operation.lane)
            finally:
                self._authorizer.met()
                if response is not None:
                    response.close()
            await self._login_again(refused, url, operation, grant, logins)

    async def _settle(self, operation: Operation) -> None:
        """Find out whether a loopback host speaks TLS, before any request, and so any login, is sent to it."""
        has_waited = self._settling.locked()
        async with self._settling:
            if self._is_settled:
                return
            if has_waited and (failed := self._unsettled) is not None:  # one after another, they would wait too long
                why, hint = failed.why, failed.hint
                raise type(failed)(operation.failed, about=operation.about, why=why, hint=hint) from failed.__cause__
            try:
                if await self._transport.speaks_tls(operation.request(operation.url)):
                    self.origin = self._authorizer.origin = Origin("https", self.origin.host, self.origin.port)
                    self._transport.present_certificate_to(self.origin)
                self._is_settled = True
            except NotConnected as error:
                self._unsettled = error
                raise

    async def open_ahead(self, connections: int) -> None:
        """Open connections for requests that follow soon, so that they need not wait for TCP and TLS."""
        async with self._settling:  # a request may just be finding out whether the host speaks TLS
            if self._is_settled:
                self._transport.open_ahead(self.origin, min(connections, self.gate.width(Lane.SMALL)))

    def _own_reach(self) -> Reach:
        return self._transport.reach_of(self.origin)

    async def _note(self, response: OpenResponse, operation: Operation) -> None:
        """Report to the gate how the host is doing. A complaint is read here once; the caller reads it again."""
        if response.status < 400:
            self.gate.succeeded(operation.lane)
        elif response.status in (403, 429, 503):
            complaint = await response.read(MAX_ERROR_BYTES, strict=False)
            wait_s = retry_after_s(complaint)
            if is_throttled(complaint) or wait_s is not None:
                self.gate.pause(_PAUSE_S if wait_s is None else wait_s, summary_of(complaint)[1])
            elif response.status == 503:
                self.gate.narrow()

    async def _login_again(
        self, refused: HttpResponse, url: Url, operation: Operation, grant: Grant, logins: int
    ) -> None:
        """Return if the same request may now succeed. Raises AuthError, or LoginEnded if a body is spent."""
        self._stats.logins_refused += 1
        again = logins <= _MAX_LOGINS and self._authorizer.learn(refused, url, grant, operation.scopes)
        if not again and not self._authorizer.knows_challenge():
            # gcr.io has sent 401 without a challenge for real requests; its /v2/ has one.
            again = self._authorizer.learn(await self.ping(operation), url, grant, operation.scopes)
        if not again:
            raise await self.refusal(refused, operation)
        if isinstance(operation.body, HttpBody):
            refusal = await self.refusal(refused, operation)
            why = "the login expired while the body was sent"
            raise LoginEnded(operation.failed, about=operation.about, why=why) from refusal

    async def ping(self, operation: Operation) -> HttpResponse:
        """Return the response of the API's base to a request without a login. operation: for whose sake, for errors."""
        if not self._is_settled:
            await self._settle(operation)
        request = HttpRequest("GET", Url(self.origin, "/v2/"), action=operation.action, about=operation.about)
        return await self._exchange(request, MAX_ERROR_BYTES, strict=False)

    def proxy_of(self) -> str:
        """Return the address of the proxy that requests to this registry go through, or ""."""
        proxy = self._transport.config.proxies.for_origin(self.origin)
        return proxy.address if proxy is not None else ""

    def tls(self) -> TlsFacts | None:
        """Return what is known of the TLS session with this registry."""
        return self._transport.tls_of(self.origin)

    async def has_login(self, repository: Repository) -> bool:
        """Return whether a login is stored for the repository. Raises AuthError if what is stored cannot be used."""
        return await self._authorizer.has_login(repository)

    async def _send_token_request(self, request: HttpRequest) -> HttpResponse:
        self._stats.token_requests += 1
        return await self._exchange(request, MAX_TOKEN_BYTES, strict=True)

    async def _exchange(self, request: HttpRequest, limit_bytes: int, *, strict: bool) -> HttpResponse:
        await self.gate.enter(Lane.SMALL, urgent=True)  # a download that is resumed may need a token
        try:
            response = await self._transport.start(request, self.meter)
            try:
                return await response.read(limit_bytes, strict=strict)
            finally:
                response.close()
        finally:
            self.gate.leave(Lane.SMALL)
