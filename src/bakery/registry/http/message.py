"""Requests and responses as values, and the counters of what was sent and received. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Final

from msgspec import Struct, field

from bakery.extent import OpenBody
from bakery.registry.http.address import EVERYWHERE, Reach
from bakery.registry.http.url import Url
from bakery.values import repr_without

_PIECE_BYTES: Final = 256 * 1024
_MAX_DIGITS: Final = 18  # of a length in a header


class Fields:
    """The header fields of a response. Names are case-insensitive."""

    def __init__(self, pairs: Iterable[tuple[str, str]] | Mapping[str, str] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs.items() if isinstance(pairs, Mapping) else pairs:
            self._values.setdefault(name.lower(), []).append(value)

    def getall(self, name: str) -> list[str]:
        """Return every value of a field, in order."""
        return self._values.get(name.lower(), [])

    def get(self, name: str, default: str = "") -> str:
        """Return the first value of a field."""
        values = self._values.get(name.lower())
        return values[0] if values else default


class HttpBody(Struct, frozen=True):
    """Content to send: `open` starts a new reader for each attempt; size in bytes."""

    open: OpenBody
    size: int


def in_pieces(content: bytes) -> HttpBody:
    """Return bytes as a body that is sent piece by piece, so that one long write does not block the event loop."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), _PIECE_BYTES):
            yield content[start : start + _PIECE_BYTES]

    return HttpBody(pieces, len(content))


class HttpRequest(Struct, frozen=True):
    """One request to one address.

    allowed: the classes of addresses that the host may have. action and about: for errors ("cannot {action} {about}").
    """

    method: str
    url: Url
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | HttpBody | None = None
    allowed: frozenset[Reach] = EVERYWHERE
    action: str = "send request to"
    about: str = ""

    __repr__ = repr_without("headers", "body")

    @property
    def subject(self) -> str:
        """What errors are about: `about`, or the URL without its secrets."""
        return self.about or self.url.redacted


class HttpResponse(Struct, frozen=True):
    """A response with its body, which may be truncated at a limit. url: what sent it, after redirects."""

    status: int
    headers: Fields = field(default_factory=Fields)
    body: bytes = b""
    url: Url | None = None

    __repr__ = repr_without("headers", "body")

    def header(self, name: str) -> str:
        """Return the first value of a header, or ""."""
        return self.headers.get(name)

    def number(self, name: str) -> int | None:
        """Return a header that is a number of at most 18 digits, or None. `²` is a digit to Python, but not here."""
        text = self.header(name)
        return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None


class Stats(Struct):
    """What was sent."""

    requests: Counter[tuple[str, str]] = field(default_factory=Counter)  # by host and method


class Traffic:
    """Counts requests, and the bytes of their bodies and of those of the responses. A subclass may act on `changed`."""

    def __init__(self) -> None:
        self.requests = self.bytes_in = self.bytes_out = 0

    def asked(self) -> None:
        """Count a request."""
        self.requests += 1
        self.changed()

    def received(self, size: int) -> None:
        """Count bytes of a response."""
        self.bytes_in += size
        self.changed()

    def sent(self, size: int) -> None:
        """Count bytes of a request."""
        self.bytes_out += size
        self.changed()

    def changed(self) -> None:
        """Do nothing."""
