"""What the registry answers, as values: status, headers, body, and how it is delivered.

The table of error codes follows OCI distribution-spec 1.1, "Error Codes". An answer says nothing about sockets;
`Delivery` is how a fault asks for an answer that is slow, cut or lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final, Protocol, Self

from msgspec import Struct
from msgspec.structs import replace


class Content(Protocol):
    """Bytes that lie somewhere and are read in pieces. size is None where they never end."""

    @property
    def size(self) -> int | None: ...

    def read(self, offset: int, length: int, /) -> bytes | memoryview:
        """Up to `length` bytes from `offset`; at least one where there is one."""
        ...

    def close(self) -> None:
        """Give back what reading took. Reading again afterwards is allowed."""
        ...


class Delivery(Struct, frozen=True):
    """How an answer travels. Sizes count body bytes.

    lost: nothing of it is sent. cut_after: the connection ends after so many bytes, by a reset or cleanly.
    piece_bytes, pause_s: it goes in pieces with a pause after each.
    """

    lost: bool = False
    cut_after: int | None = None
    by_reset: bool = True
    piece_bytes: int = 256 * 1024
    pause_s: float = 0.0


class Answer(Struct, frozen=True):
    """One answer. `body` of an answer to HEAD is what GET would send: its size is told, its bytes are not.

    start, length: the part of a Content that is sent; length None means to its end.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Content = b""
    start: int = 0
    length: int | None = None
    delivery: Delivery = Delivery()

    @property
    def size_bytes(self) -> int | None:
        """The body's size, or None where it never ends."""
        if isinstance(self.body, bytes):
            return len(self.body)
        if self.length is not None:
            return self.length
        return None if self.body.size is None else self.body.size - self.start

    def header(self, name: str) -> str:
        """The first header of this name, or ""."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def with_header(self, name: str, value: str) -> Self:
        """The same answer where this header has this one value."""
        others = tuple(pair for pair in self.headers if pair[0].lower() != name.lower())
        return replace(self, headers=(*others, (name, value)))

    def delivered(self, delivery: Delivery) -> Self:
        """The same answer, sent in another way."""
        return replace(self, delivery=delivery)


LOST: Final = Answer(0, delivery=Delivery(lost=True))  # no answer at all: the connection is reset

ERRORS: Final[dict[str, tuple[int, str]]] = {
    "BLOB_UNKNOWN": (404, "blob unknown to registry"),
    "BLOB_UPLOAD_INVALID": (400, "blob upload invalid"),
    "BLOB_UPLOAD_UNKNOWN": (404, "blob upload unknown to registry"),
    "DENIED": (403, "requested access to the resource is denied"),
    "DIGEST_INVALID": (400, "provided digest did not match uploaded content"),
    "MANIFEST_BLOB_UNKNOWN": (400, "manifest references a manifest or blob unknown to registry"),
    "MANIFEST_INVALID": (400, "manifest invalid"),
    "MANIFEST_UNKNOWN": (404, "manifest unknown to registry"),
    "NAME_INVALID": (400, "invalid repository name"),
    "NAME_UNKNOWN": (404, "repository name not known to registry"),
    "SIZE_INVALID": (400, "provided length did not match content length"),
    "TAG_INVALID": (400, "manifest tag did not match the rules"),
    "TOOMANYREQUESTS": (429, "too many requests"),
    "UNAUTHORIZED": (401, "authentication required"),
    "UNAVAILABLE": (503, "service unavailable"),
    "UNKNOWN": (500, "unknown error"),
    "UNSUPPORTED": (405, "the operation is unsupported"),
}


def failure(
    code: str,
    *,
    detail: object = None,
    message: str = "",
    status: int = 0,
    headers: Iterable[tuple[str, str]] = (),
) -> Answer:
    """The error answer of this OCI code; status and message as in the table unless given."""
    return failures(code, [detail], message=message, status=status, headers=headers)


def failures(
    code: str,
    details: Iterable[object],
    *,
    message: str = "",
    status: int = 0,
    headers: Iterable[tuple[str, str]] = (),
) -> Answer:
    """One answer that tells the same error of several things, one entry each."""
    usual_status, usual_message = ERRORS.get(code, (400, code))
    errors = [{"code": code, "message": message or usual_message, "detail": detail} for detail in details]
    body = json.dumps({"errors": errors}).encode()
    return Answer(status or usual_status, (("Content-Type", "application/json"), *headers), body)


def document(status: int, value: object, *headers: tuple[str, str], content_type: str = "application/json") -> Answer:
    """An answer whose body is this value as JSON."""
    return Answer(status, (("Content-Type", content_type), *headers), json.dumps(value).encode())
