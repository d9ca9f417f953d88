"""What goes wrong, as data: effects, the rules that say when, and the count of those that were met. Pure.

A rule is matched against a request and, where it is not certain, drawn by its own seeded generator: the same seed and
the same order of requests give the same faults. A rule is *met* when it changed what the client saw, not before.
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

from bakery.rehearsal.answers import LOST, Answer, Content, Delivery, failure
from bakery.rehearsal.routes import Found, Route


class When(Enum):
    """Where in a request's life an effect sets in."""

    ARRIVAL = "arrival"  # the head has come, nothing was done
    COMMIT = "commit"  # the registry has done it and is about to answer


class Effect(Struct, frozen=True):
    """Something that goes wrong. An effect that does not apply gives None.

    only: where it sets in, whatever the rule says; None where both points make sense.
    """

    only: ClassVar[When | None] = None

    def instead(self) -> Answer | None:
        """On arrival: the answer that is given without asking the registry."""
        return None

    def changed(self, _answer: Answer, /) -> Answer | None:
        """After the commit: what becomes of the registry's answer."""
        return None


class _OnArrival(Effect, frozen=True):
    only = When.ARRIVAL


class _OfAnswers(Effect, frozen=True):
    only = When.COMMIT


class Refuse(Effect, frozen=True):
    """An error answer. code: an OCI error code, or "" for a body that is none. body: sent as it is."""

    status: int
    code: str = "UNAVAILABLE"
    message: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None

    def instead(self) -> Answer:
        if self.body is not None:
            return Answer(self.status, self.headers, self.body)
        return failure(self.code, message=self.message, status=self.status, headers=self.headers)

    def changed(self, _answer: Answer, /) -> Answer:
        return self.instead()


class Drop(Effect, frozen=True):
    """The connection is reset. On arrival after `body_bytes` of the request's body; after the commit the reply is lost.

    A request whose body is shorter is read whole, then reset, and nothing of it is done.
    """

    body_bytes: int = 0

    def instead(self) -> Answer:
        return LOST

    def changed(self, _answer: Answer, /) -> Answer:
        return LOST


class Cut(_OfAnswers, frozen=True):
    """The answer's body ends early, after this share of it. by_reset: else the connection closes cleanly."""

    share: float = 0.5
    by_reset: bool = False

    def changed(self, answer: Answer, /) -> Answer | None:
        size = answer.size_bytes
        if not size:
            return None
        return answer.delivered(replace(answer.delivery, cut_after=int(size * self.share), by_reset=self.by_reset))


class Slow(_OfAnswers, frozen=True):
    """The answer's body comes in small pieces with a pause after each."""

    piece_bytes: int = 1024
    pause_s: float = 0.05

    def changed(self, answer: Answer, /) -> Answer | None:
        if not answer.size_bytes:
            return None
        slow = Delivery(piece_bytes=self.piece_bytes, pause_s=self.pause_s, cut_after=answer.delivery.cut_after)
        return answer.delivered(slow)


class Wait(_OnArrival, frozen=True):
    """The registry takes this long before it does anything."""

    seconds: float


class WrongDigest(_OfAnswers, frozen=True):
    """Docker-Content-Digest names other content."""

    def changed(self, answer: Answer, /) -> Answer | None:
        if not answer.header("Docker-Content-Digest"):
            return None
        return answer.with_header("Docker-Content-Digest", "sha256:" + "0" * 64)


class WrongBytes(_OfAnswers, frozen=True):
    """One bit of the body in the middle is another. Its size stays right."""

    def changed(self, answer: Answer, /) -> Answer | None:
        size = answer.size_bytes
        if not size:
            return None
        if isinstance(answer.body, bytes):
            middle = size // 2
            body = answer.body[:middle] + bytes([answer.body[middle] ^ 1]) + answer.body[middle + 1 :]
            return replace(answer, body=body)
        return replace(answer, body=_Altered(answer.body, answer.start + size // 2))


class Lag(_OnArrival, frozen=True):
    """Reads of what was written less than this ago answer 404: manifests by digest or tag, and blobs."""

    seconds: float


class Stale(_OnArrival, frozen=True):
    """A tag that moved less than this ago is still answered with what it named before."""

    seconds: float


class Endless(_OnArrival, frozen=True):
    """A good answer whose body never ends."""

    content_type: str = "application/vnd.oci.image.index.v1+json"
    piece: bytes = b" " * 65536

    def instead(self) -> Answer:
        return Answer(200, (("Content-Type", self.content_type),), _NoEnd(self.piece))


class Relocate(_OfAnswers, frozen=True):
    """Location names another origin, such as `http://127.0.0.1:5001`, with the same path and query."""

    origin: str

    def changed(self, answer: Answer, /) -> Answer | None:
        place = answer.header("Location")
        if not place:
            return None
        path = place if place.startswith("/") else "/" + place.partition("://")[2].partition("/")[2]
        return answer.with_header("Location", self.origin + path)


class ExpireToken(_OnArrival, frozen=True):
    """The token that came with the request has just ended."""


class _NoEnd:
    """Content that is one piece again and again."""

    size = None

    def __init__(self, piece: bytes) -> None:
        self._piece = piece

    def read(self, _offset: int, length: int, /) -> bytes:
        return self._piece[:length]

    def close(self) -> None:
        pass


class _Altered:
    """Content with one bit flipped."""

    def __init__(self, content: Content, position: int) -> None:
        self._content, self._position = content, position

    @property
    def size(self) -> int | None:
        return self._content.size

    def read(self, offset: int, length: int) -> bytes:
        piece = bytearray(self._content.read(offset, length))
        if offset <= self._position < offset + len(piece):
            piece[self._position - offset] ^= 1
        return bytes(piece)

    def close(self) -> None:
        self._content.close()


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
    """When an effect sets in. Everything that is given must hold.

    method: words such as "GET HEAD", "*" for all. path: a part of the path. repository: a pattern such as `acme/*`.
    times: how often at most, None without end. skip: how many matching requests pass first.
    """

    effect: Effect
    name: str
    when: When = When.ARRIVAL
    method: str = "*"
    path: str = ""
    route: Route | None = None
    repository: str = "*"
    probability: float = 1.0
    times: int | None = None
    skip: int = 0

    @property
    def point(self) -> When:
        """Where it sets in: where the effect can, whatever `when` says."""
        return self.effect.only or self.when

    def matches(self, method: str, path: str, found: Found) -> bool:
        """Whether this is a request that the rule is for."""
        return (
            (self.method == "*" or method in self.method.split())
            and self.path in path
            and (self.route is None or found.route is self.route)
            and (self.repository == "*" or fnmatchcase(found.repository, self.repository))
        )


class Armed:
    """A rule at work: how many requests it was for, and how often it was met."""

    def __init__(self, rule: Rule, generator: random.Random) -> None:
        self.rule, self._generator = rule, generator
        self.seen = 0
        self.met = 0
        self._claimed = 0  # requests that it struck and that may still see it: two at once do not both take the last

    @property
    def spent(self) -> bool:
        """Whether it has been met as often as it may, or is about to be."""
        return self.rule.times is not None and self.met + self._claimed >= self.rule.times

    def strikes(self, method: str, path: str, found: Found) -> bool:
        """Whether the effect is due for this request. Draws where the rule is not certain."""
        if self.spent or not self.rule.matches(method, path, found):
            return False
        self.seen += 1
        if self.seen <= self.rule.skip:
            return False
        if self.rule.probability < 1 and self._generator.random() >= self.rule.probability:
            return False
        self._claimed += 1
        return True

    def settle(self, met: bool) -> None:
        """The request that it struck is over, and did or did not see the effect."""
        self._claimed -= 1
        self.met += met


class Faults:
    """The rules in force, in order, and the count of what was met."""

    def __init__(self, rules: Iterable[Rule] = (), seed: int = 0) -> None:
        self._seed = seed
        self._rules: list[Armed] = []
        self._added = 0
        self.met: Counter[str] = Counter()
        for rule in rules:
            self.add(rule)

    def add(self, rule: Rule) -> Armed:
        """Put a rule in force."""
        armed = Armed(rule, random.Random(f"{self._seed}:{self._added}"))
        self._added += 1
        self._rules.append(armed)
        return armed

    def clear(self) -> None:
        """Take all rules away; the count stays."""
        self._rules.clear()

    def strike(self, method: str, path: str, found: Found) -> Struck:
        """The rules that strike at this request."""
        return Struck(self, self._due(method, path, found))

    def _due(self, method: str, path: str, found: Found) -> list[Armed]:
        return [armed for armed in self._rules if armed.strikes(method, path, found)] if self._rules else []


class Struck:
    """One request and the rules that strike at it. Use it with `with`: at the end it counts those that were met."""

    def __init__(self, faults: Faults, due: list[Armed]) -> None:
        self._faults, self._due = faults, due
        self._met: list[Armed] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for armed in self._due:
            armed.settle(armed in self._met)
        self._faults.met.update(self.names)

    def at(self, point: When) -> Iterator[tuple[Effect, Armed]]:
        """The effects that set in here, in order, each with the rule to tell `meet` of."""
        return ((armed.rule.effect, armed) for armed in self._due if armed.rule.point is point)

    def meet(self, armed: Armed) -> None:
        """The client is about to see this one."""
        self._met.append(armed)

    @property
    def names(self) -> tuple[str, ...]:
        """Those that were met."""
        return tuple(armed.rule.name for armed in self._met)
