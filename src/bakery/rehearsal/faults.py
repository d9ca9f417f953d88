"""Faults as data: effects, the rules that say when they apply, and the count of those that were met. Pure.

A rule is matched against each request and, if it has a probability, decided by its own seeded generator: the same
seed and the same order of requests produce the same faults. A rule is *met* when it changed what the client saw.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import Enum
from fnmatch import fnmatchcase
from typing import ClassVar, Final, Self

from msgspec import Struct
from msgspec.structs import replace

from bakery.rehearsal.responses import NO_RESPONSE, Delivery, Response, StoredContent, error_response
from bakery.rehearsal.routes import ApiRoute, Resource


class When(Enum):
    """The point in the life of a request at which an effect applies."""

    ARRIVAL = "arrival"  # the head was received, nothing was done
    COMMIT = "commit"  # the registry has done its work and is about to respond


class Effect(Struct, frozen=True):
    """Something that goes wrong. Methods return None if the effect does not apply.

    only: the point at which the effect applies whatever the rule says, or None if both points make sense.
    """

    only: ClassVar[When | None] = None

    def response(self) -> Response | None:
        """On arrival: return the response that is sent instead of the registry's."""
        return None

    def change(self, _response: Response, /) -> Response | None:
        """On commit: return the response that replaces the registry's."""
        return None


class _OnArrival(Effect, frozen=True):
    only = When.ARRIVAL


class _OnResponse(Effect, frozen=True):
    only = When.COMMIT


class Refuse(Effect, frozen=True):
    """An error response. code: an OCI error code. body: sent as is, instead of the JSON of `code` and `message`."""

    status: int
    code: str = "UNAVAILABLE"
    message: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None

    def response(self) -> Response:
        if self.body is not None:
            return Response(self.status, self.headers, self.body)
        return error_response(self.code, message=self.message, status=self.status, headers=self.headers)

    def change(self, _response: Response, /) -> Response:
        return self.response()


class Drop(Effect, frozen=True):
    """A connection reset: on arrival after `body_bytes` of the request body, on commit instead of the response.

    A request with a shorter body is read to its end, then reset; nothing is stored.
    """

    body_bytes: int = 0

    def response(self) -> Response:
        return NO_RESPONSE

    def change(self, _response: Response, /) -> Response:
        return NO_RESPONSE


class Cut(_OnResponse, frozen=True):
    """The response body ends early, after this share of it, with a reset or (by default) a clean close."""

    share: float = 0.5
    by_reset: bool = False

    def change(self, response: Response, /) -> Response | None:
        size = response.size_bytes
        if not size:
            return None
        delivery = replace(response.delivery, cut_after=int(size * self.share), by_reset=self.by_reset)
        return replace(response, delivery=delivery)


class Slow(_OnResponse, frozen=True):
    """The response body is sent in small pieces with a pause after each."""

    piece_bytes: int = 1024
    pause_s: float = 0.05

    def change(self, response: Response, /) -> Response | None:
        if not response.size_bytes:
            return None
        slow = Delivery(piece_bytes=self.piece_bytes, pause_s=self.pause_s, cut_after=response.delivery.cut_after)
        return replace(response, delivery=slow)


class Wait(_OnArrival, frozen=True):
    """The registry waits this long before it does anything."""

    seconds: float


class WrongDigest(_OnResponse, frozen=True):
    """Docker-Content-Digest names other content."""

    def change(self, response: Response, /) -> Response | None:
        if not response.header("Docker-Content-Digest"):
            return None
        return response.with_header("Docker-Content-Digest", "sha256:" + "0" * 64)


class WrongBytes(_OnResponse, frozen=True):
    """One bit in the middle of the body is flipped. The size stays right."""

    def change(self, response: Response, /) -> Response | None:
        size = response.size_bytes
        if not size:
            return None
        if isinstance(response.body, bytes):
            middle = size // 2
            body = response.body[:middle] + bytes([response.body[middle] ^ 1]) + response.body[middle + 1 :]
            return replace(response, body=body)
        return replace(response, body=_AlteredContent(response.body, response.start + size // 2))


class Lag(_OnArrival, frozen=True):
    """Reads of anything written less than this long ago return 404: manifests by digest or tag, and blobs."""

    seconds: float


class Stale(_OnArrival, frozen=True):
    """A tag that moved less than this long ago still returns what it named before."""

    seconds: float


class Endless(_OnArrival, frozen=True):
    """A 200 response whose body never ends."""

    content_type: str = "application/vnd.oci.image.index.v1+json"
    piece: bytes = b" " * 65536

    def response(self) -> Response:
        return Response(200, (("Content-Type", self.content_type),), _EndlessContent(self.piece))


class Relocate(_OnResponse, frozen=True):
    """Location names another origin, such as `http://127.0.0.1:5001`, with the same path and query."""

    origin: str

    def change(self, response: Response, /) -> Response | None:
        location = response.header("Location")
        if not location:
            return None
        path = location if location.startswith("/") else "/" + location.partition("://")[2].partition("/")[2]
        return response.with_header("Location", self.origin + path)


class ExpireToken(_OnArrival, frozen=True):
    """The token of the request expires on arrival."""


class _EndlessContent:
    """The same piece repeated without end."""

    size = None

    def __init__(self, piece: bytes) -> None:
        self._piece = piece

    def read(self, _offset: int, length: int, /) -> bytes:
        return self._piece[:length]

    def close(self) -> None:
        pass


class _AlteredContent:
    """Content with one bit flipped."""

    def __init__(self, content: StoredContent, position: int) -> None:
        self._content, self._position = content, position
        self.size = content.size
        self.close = content.close

    def read(self, offset: int, length: int) -> bytes:
        piece = bytearray(self._content.read(offset, length))
        if offset <= self._position < offset + len(piece):
            piece[self._position - offset] ^= 1
        return bytes(piece)


PHRASES: Final[dict[str, Effect]] = {
    "drop the connection": Drop(),
    "cut the body": Cut(),
    "cut the body by a reset": Cut(by_reset=True),
    "send the body slowly": Slow(),
    "lie about the digest": WrongDigest(),
    "alter the body": WrongBytes(),
    "expire the token": ExpireToken(),
    "answer 500": Refuse(500, "UNKNOWN"),
    "answer 503": Refuse(503),
    "answer 429": Refuse(429, "TOOMANYREQUESTS", headers=(("Retry-After", "1"),)),
}


class Rule(Struct, frozen=True, kw_only=True):
    """When an effect applies. A request must match every field.

    method: words such as "GET HEAD", or "*". path: a part of the path. repository: a pattern such as `acme/*`.
    times: how often at most, or None. skip: how many matching requests pass first.
    """

    effect: Effect
    name: str
    when: When = When.ARRIVAL
    method: str = "*"
    path: str = ""
    route: ApiRoute | None = None
    repository: str = "*"
    probability: float = 1.0
    times: int | None = None
    skip: int = 0

    @property
    def point(self) -> When:
        """The point at which the effect applies: the only one it has, or else `when`."""
        return self.effect.only or self.when

    def matches(self, method: str, path: str, resource: Resource) -> bool:
        """Return whether the rule applies to this request."""
        return (
            (self.method == "*" or method in self.method.split())
            and self.path in path
            and (self.route is None or resource.route is self.route)
            and (self.repository == "*" or fnmatchcase(resource.repository, self.repository))
        )


class ActiveRule:
    """A rule in force, and its counts. seen: the requests it matched. met: how often a client saw the effect."""

    def __init__(self, rule: Rule, generator: random.Random) -> None:
        self.rule, self._generator = rule, generator
        self.seen = 0
        self.met = 0
        self._claimed = 0  # requests in progress that may still meet it: two of them must not both take the last one

    @property
    def exhausted(self) -> bool:
        """Whether it was met as often as `times` allows, counting requests in progress."""
        return self.rule.times is not None and self.met + self._claimed >= self.rule.times

    def claim(self, method: str, path: str, resource: Resource) -> bool:
        """Return whether the effect applies to this request. Draws a random number if the rule has a probability."""
        if self.exhausted or not self.rule.matches(method, path, resource):
            return False
        self.seen += 1
        if self.seen <= self.rule.skip:
            return False
        if self.rule.probability < 1 and self._generator.random() >= self.rule.probability:
            return False
        self._claimed += 1
        return True

    def release(self, met: bool) -> None:
        """End a claim. met: whether the client saw the effect."""
        self._claimed -= 1
        self.met += met


class Faults:
    """The rules in force, in order, and how often each was met, by name."""

    def __init__(self, rules: Iterable[Rule] = (), seed: int = 0) -> None:
        self._seed = seed
        self._rules: list[ActiveRule] = []
        self._added = 0
        self.met: Counter[str] = Counter()
        for rule in rules:
            self.add(rule)

    def add(self, rule: Rule) -> ActiveRule:
        """Put a rule in force."""
        active = ActiveRule(rule, random.Random(f"{self._seed}:{self._added}"))
        self._added += 1
        self._rules.append(active)
        return active

    def clear(self) -> None:
        """Remove all rules; the counts stay."""
        self._rules.clear()

    def claim(self, method: str, path: str, resource: Resource) -> RequestFaults:
        """Return the rules that apply to this request."""
        return RequestFaults(self, [active for active in self._rules if active.claim(method, path, resource)])


class RequestFaults:
    """The rules that apply to one request. Use it with `with`: leaving the block counts those that were met."""

    def __init__(self, faults: Faults, claimed: list[ActiveRule]) -> None:
        self._faults, self._claimed = faults, claimed
        self._met: list[ActiveRule] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for active in self._claimed:
            active.release(active in self._met)
        self._faults.met.update(self.names)

    def at(self, point: When) -> Iterator[tuple[Effect, ActiveRule]]:
        """Yield the effects that apply at this point, each with the rule to pass to `meet`."""
        return ((active.rule.effect, active) for active in self._claimed if active.rule.point is point)

    def meet(self, active: ActiveRule) -> None:
        """Record that the client sees this effect."""
        self._met.append(active)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the rules that were met."""
        return tuple(active.rule.name for active in self._met)
