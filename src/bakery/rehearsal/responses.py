"""Responses as values: status, headers, body, and how they are delivered.

A response knows nothing about sockets; a fault that wants it slow, cut short or lost says so in its `Delivery`.
Source of the error codes: OCI distribution-spec 1.1, "Error Codes".
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final, Protocol, Self

from msgspec import Struct
from msgspec.structs import replace


class StoredContent(Protocol):
    """Bytes in memory or in a file, read in pieces. size is None if they never end."""

    @property
    def size(self) -> int | None: ...

    def read(self, offset: int, length: int, /) -> bytes | memoryview:
        """Return up to `length` bytes from `offset`; at least one unless the content ends there."""
        ...

    def close(self) -> None:
        """Release what reading acquired. The content can be read again afterwards."""
        ...


class Delivery(Struct, frozen=True):
    """How a response is sent. Sizes count bytes of the body.

    lost: nothing is sent and the connection is reset. cut_after: the connection ends after this many bytes, with a
    reset or cleanly. piece_bytes, pause_s: the body is sent in pieces with a pause after each.
    """

    lost: bool = False
    cut_after: int | None = None
    by_reset: bool = True
    piece_bytes: int = 256 * 1024
    pause_s: float = 0.0


class Response(Struct, frozen=True):
    """One response. In a response to HEAD, `body` is what GET would send: its size is sent, its bytes are not.

    start, length: the part of a StoredContent that is sent; without a length, everything from `start`.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | StoredContent = b""
    start: int = 0
    length: int | None = None
    delivery: Delivery = Delivery()

    @property
    def size_bytes(self) -> int | None:
        """The size of the body, or None if it never ends."""
        if isinstance(self.body, bytes):
            return len(self.body)
        if self.length is not None:
            return self.length
        return None if self.body.size is None else self.body.size - self.start

    def header(self, name: str) -> str:
        """Return the first header with this name, or ""."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def with_header(self, name: str, value: str) -> Self:
        """Return a copy in which this header has only this value."""
        others = tuple(pair for pair in self.headers if pair[0].lower() != name.lower())
        return replace(self, headers=(*others, (name, value)))


NO_RESPONSE: Final = Response(0, delivery=Delivery(lost=True))  # the connection is reset

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


def error_response(
    code: str,
    *details: object,
    message: str = "",
    status: int = 0,
    headers: Iterable[tuple[str, str]] = (),
) -> Response:
    """Return the error response for an OCI code, one entry per detail. Status and message default to ERRORS."""
    usual_status, usual_message = ERRORS.get(code, (400, code))
    errors = [{"code": code, "message": message or usual_message, "detail": detail} for detail in details or (None,)]
    return json_response(status or usual_status, {"errors": errors}, *headers)


def json_response(
    status: int, value: object, *headers: tuple[str, str], content_type: str = "application/json"
) -> Response:
    """Return a response whose body is this value as JSON."""
    return Response(status, (("Content-Type", content_type), *headers), json.dumps(value).encode())
