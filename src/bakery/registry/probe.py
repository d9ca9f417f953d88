"""Look at a registry for a diagnosis: is it reachable, what is its TLS, which login is known, may it push?

Nothing is retried: a diagnosis shows what happens now. Nothing is left behind: an upload that was opened to learn about
the permission is cancelled.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from bakery.errors import BakeryError, NotFound
from bakery.oci.reference import Repository
from bakery.registry.answers import Purpose, error_for
from bakery.registry.challenge import parse, preferred
from bakery.registry.http.message import HttpResponse
from bakery.registry.http.tls import TlsFacts
from bakery.registry.links import session_in
from bakery.registry.retries import ClientState

_FREE_TO_READ: Final = {"docker.io": "ratelimitpreview/test"}  # Docker's own image for reading the limit; HEAD is free
_COUNT: Final = re.compile(r"\s*([0-9]{1,9})(?:\s*;\s*w=([0-9]{1,9}))?")
_LIMITS: Final = (("ratelimit-limit", "ratelimit-remaining"), ("x-ratelimit-limit", "x-ratelimit-remaining"))


class Reached(Struct, frozen=True):
    """A registry that responded. proxy: its origin, or "". scheme: of its logins, such as `Bearer`, or "".

    date: the registry's time; None if it sends none. tls: None for plain HTTP.
    """

    origin: str
    proxy: str
    status: int
    seconds: float
    scheme: str
    date: datetime | None
    tls: TlsFacts | None


class Headroom(Struct, frozen=True):
    """A rate limit as the registry states it. limit and window_s: None if it does not."""

    remaining: int
    limit: int | None = None
    window_s: int | None = None


class Probes:
    """Looks at the registries of one client."""

    def __init__(self, state: ClientState) -> None:
        self._state = state

    async def reach(self, repository: Repository) -> Reached:
        """Connect to the registry of a repository, and return what it says. Raises what a connection may raise."""
        endpoint, clock = self._state.endpoint(repository), self._state.clock
        operation = self._state.operation("GET", repository, "", "connect to", repository.registry)
        await endpoint.ping(operation)  # the second time, nothing has to be looked up or negotiated
        started = clock.now()
        response = await endpoint.ping(operation)
        seconds = clock.now() - started
        challenge = preferred(parse(response.headers.getall("WWW-Authenticate")))
        return Reached(
            str(endpoint.origin),
            endpoint.proxy_of(),
            response.status,
            seconds,
            challenge.scheme.title() if challenge else "",
            _date(response),
            endpoint.tls(),
        )

    async def has_login(self, repository: Repository) -> bool:
        """Return whether a login is stored for a repository. Raises AuthError if what is stored cannot be used."""
        return await self._state.endpoint(repository).has_login(repository)

    async def check_push(self, repository: Repository) -> None:
        """Open an upload session and cancel it. Raises the error that a publish would have.

        A registry that does not cancel forgets the session by itself, after hours.
        """
        self._state.will_write(repository)
        endpoint = self._state.endpoint(repository)
        opening = self._state.operation(
            "POST", repository, "blobs/uploads/", "push to", repository, purpose=Purpose.OPEN_UPLOAD, body=b""
        )
        response = await endpoint.send(opening)
        if response.status >= 400:
            error = await endpoint.refusal(response, opening)
            if isinstance(error, NotFound):
                error.hint = await endpoint.hint_for(error, repository)
            raise error
        session = session_in(response, repository, endpoint.origin)
        if session is None:
            raise error_for(response, "push to", repository, purpose=Purpose.OPEN_UPLOAD)
        try:
            await endpoint.send(self._state.operation("DELETE", repository, session, "cancel an upload to", repository))
        except BakeryError:
            return  # it was open: that was the question

    async def headroom(self, repository: Repository) -> Headroom | None:
        """Return what the registry says about its rate limit when a manifest is looked for; None if it says nothing."""
        free = _FREE_TO_READ.get(repository.registry)
        asked = Repository(repository.registry, free) if free else repository
        looking = self._state.operation("HEAD", asked, "manifests/latest", "read rate limit of", asked)
        try:
            response = await self._state.endpoint(asked).send(looking)
        except BakeryError:
            return None
        for limit, remaining in _LIMITS:
            if (left := _COUNT.match(response.header(remaining))) is not None:
                most = _COUNT.match(response.header(limit))
                window = left[2] or (most[2] if most else None)
                return Headroom(int(left[1]), int(most[1]) if most else None, int(window) if window else None)
        return None


def _date(response: HttpResponse) -> datetime | None:
    from email.utils import parsedate_to_datetime

    try:
        found = parsedate_to_datetime(response.header("Date"))
    except (ValueError, TypeError, IndexError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
