"""HTTP/1.1 from the server's side: request heads, body framing, response heads. Pure, no sockets.

Strict on purpose (RFC 9112): a request that two programs could frame in two ways is refused, never repaired. Knows
nothing about registries. It does not use an HTTP library: the client uses one, and is tested here against a second
reading of the protocol; and a fault can break a response at any byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote, unquote_plus

from msgspec import Struct

MAX_HEAD_BYTES: Final = 64 * 1024
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(r"[\x21-\x7e]+")
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


class MalformedRequest(Exception):
    """The received bytes are not a valid request. status: of the response sent before the connection closes."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class RequestHead(Struct, frozen=True):
    """A request without its body. Header names are lower case; repeated headers are joined with commas.

    path: as received, still percent-encoded. length: size of the body in bytes, or None for a chunked body.
    """

    method: str
    path: str
    query_text: str
    version: str
    headers: dict[str, str]
    length: int | None

    @property
    def keeps_alive(self) -> bool:
        """Whether the client wants the connection to stay open after the response."""
        connection = self.headers.get("connection", "").lower()
        return "close" not in connection and (self.version == "HTTP/1.1" or "keep-alive" in connection)

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends the body."""
        return self.headers.get("expect", "").lower() == "100-continue"

    @property
    def segments(self) -> list[str]:
        """The segments of the path, decoded one by one: an encoded slash stays inside its segment."""
        return [unquote(segment) if "%" in segment else segment for segment in self.path.split("/")[1:]]

    def query(self) -> list[tuple[str, str]]:
        """Return the query parameters in order. A parameter without `=` has an empty value."""
        pairs = (part.partition("=") for part in self.query_text.split("&") if part)
        return [(unquote_plus(name), unquote_plus(value)) for name, _, value in pairs]


def looks_like_http(raw: bytes) -> bool:
    """Return whether these bytes can start a request. A TLS greeting cannot, and is refused at once."""
    return raw[:1].isalpha() or raw[:1] in (b"\r", b"\n", b"")


def parse_head(raw: bytes) -> RequestHead:
    """Parse a request head without its final empty line. Raises MalformedRequest."""
    try:
        lines = raw.decode("latin-1").lstrip("\r\n").split("\r\n")
        method, target, version = lines[0].split(" ")
    except ValueError:
        raise MalformedRequest("the request line does not have three parts") from None
    if _TOKEN.fullmatch(method) is None or version not in ("HTTP/1.1", "HTTP/1.0"):
        raise MalformedRequest("not an HTTP/1.1 request line")
    if _TARGET.fullmatch(target) is None:
        raise MalformedRequest("the request target contains characters that must be encoded")
    if not target.startswith("/"):
        target = _origin_form(target)
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or _TOKEN.fullmatch(name) is None or "\n" in value or "\r" in value or "\0" in value:
            raise MalformedRequest("a header line is malformed")
        key, value = name.lower(), value.strip(" \t")
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    path, _, query_text = target.partition("#")[0].partition("?")
    return RequestHead(method, path, query_text, version, headers, _body_length(headers))


def _origin_form(target: str) -> str:
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() != "http":
        raise MalformedRequest("the request target is not a path")
    return "/" + rest.partition("/")[2]


def _body_length(headers: dict[str, str]) -> int | None:
    encoding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if encoding is not None:
        if length is not None:
            raise MalformedRequest("both Transfer-Encoding and Content-Length")  # RFC 9112 6.1: request smuggling
        if encoding.lower() != "chunked":
            raise MalformedRequest("expected the transfer coding chunked", 501)
        return None
    if length is None:
        return 0
    if not (length.isascii() and length.isdigit() and len(length) < 20):
        raise MalformedRequest("Content-Length is not a number")
    return int(length)


class ChunkedBody:
    """Decodes a chunked body, however the bytes are cut. `done` is set after the last chunk; trailers are dropped."""

    def __init__(self) -> None:
        self.done = False
        self.leftover = b""  # received after the body: the next request
        self._pending = b""
        self._in_chunk = 0  # bytes missing from the current chunk
        self._closing = False  # the data of the chunk is complete, its line end is due
        self._trailers = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the data that these bytes complete. Raises MalformedRequest."""
        data = self._pending + data
        self._pending = b""
        while data and not self.done:
            if self._in_chunk:
                piece, data = data[: self._in_chunk], data[self._in_chunk :]
                self._in_chunk -= len(piece)
                self._closing = not self._in_chunk
                yield piece
                continue
            line, end, rest = data.partition(b"\r\n")
            if not end:
                if len(data) > 4096:
                    raise MalformedRequest("the size line of a chunk is too long")
                self._pending, data = data, b""
                continue
            self._take_line(line)
            data = rest
        if self.done:
            self.leftover = data

    def _take_line(self, line: bytes) -> None:
        if self._closing:
            if line:
                raise MalformedRequest("a chunk is longer than its size")
            self._closing = False
        elif self._trailers:
            self.done = not line
        else:
            digits = line.partition(b";")[0].strip()
            if re.fullmatch(rb"[0-9a-fA-F]{1,15}", digits) is None:
                raise MalformedRequest("the size of a chunk is not a number")
            self._in_chunk = int(digits, 16)
            self._trailers = not self._in_chunk


def response_head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """Return the bytes of a response head, including its final empty line."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
