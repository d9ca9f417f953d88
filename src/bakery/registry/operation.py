"""An operation: one request to a registry as the client means it, and the counters of all of them. Values only."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from bakery.oci.reference import Repository
from bakery.registry.answers import Purpose
from bakery.registry.gate import Lane
from bakery.registry.http.address import EVERYWHERE, Reach
from bakery.registry.http.message import HttpBody, HttpRequest, Stats
from bakery.registry.http.url import Url
from bakery.registry.reasons import MAX_ERROR_BYTES
from bakery.values import repr_without


class ClientStats(Stats):
    """What was sent and received in a run, and how often a request was repeated."""

    retries: int = 0
    token_requests: int = 0
    logins_refused: int = 0  # 401 responses, the first one of each registry included


class Operation(Struct, frozen=True):
    """One request to a registry, before it is authorized.

    action: a verb phrase such as "read manifest". body None sends none; `lane` is where the request queues. limit_bytes
    bounds the response. lasting_s: how long its token must last. insists: whether to log in again after a 401.
    urgent: as in Gate.enter.
    """

    method: str
    url: Url
    repository: Repository
    scopes: tuple[str, ...]
    action: str
    about: str
    purpose: Purpose = Purpose.READ
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | HttpBody | None = None
    lane: Lane = Lane.SMALL
    limit_bytes: int = MAX_ERROR_BYTES
    lasting_s: float = 0.0
    insists: bool = True
    urgent: bool = False

    __repr__ = repr_without("headers", "body")

    @property
    def failed(self) -> str:
        """The first words of its errors."""
        return f"cannot {self.action}"

    def request(self, url: Url, *, authorization: str = "", allowed: frozenset[Reach] = EVERYWHERE) -> HttpRequest:
        """Return the HTTP request for it. url: its own, or what a redirect of it leads to."""
        headers = {**self.headers, "Authorization": authorization} if authorization else self.headers
        return HttpRequest(self.method, url, headers, self.body, allowed, self.action, self.about)
