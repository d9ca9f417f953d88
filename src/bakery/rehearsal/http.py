"""HTTP/1.1 as a server must read and write it: request heads, body framing, answer heads. Pure, no sockets.

Strict on purpose (RFC 9112): a request that two programs could frame in two ways is refused, never repaired.
It does not know what the requests mean. Written here and not taken from a library so that the client, which does use
one, is tested against another reading of the protocol, and so that answers can be broken exactly where a fault says.
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


class Malformed(Exception):
    """What came is no request. `status` is the answer to give before the connection is closed."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class Head(Struct, frozen=True):
    """A request without its body. Header names are lower case; repeated headers are joined by a comma.

    path is as it came, still percent-encoded. length is the body's size in bytes, or None where it comes in chunks.
    """

    method: str
    path: str
    query_text: str
    version: str
    headers: dict[str, str]
    length: int | None

    @property
    def keeps_alive(self) -> bool:
        """Whether the client wants the connection to stay open after the answer."""
        wish = self.headers.get("connection", "").lower()
        return "close" not in wish and (self.version == "HTTP/1.1" or "keep-alive" in wish)

    @property
    def expects_continue(self) -> bool:
        """Whether the client holds the body back until it is told to go on."""
        return self.headers.get("expect", "").lower() == "100-continue"

    @property
    def segments(self) -> list[str]:
        """The path's segments, decoded one by one: an encoded slash stays inside its segment."""
        return [unquote(segment) if "%" in segment else segment for segment in self.path.split("/")[1:]]

    def query(self) -> list[tuple[str, str]]:
        """The query's parameters in order. One without `=` has an empty value."""
        pairs = (part.partition("=") for part in self.query_text.split("&") if part)
        return [(unquote_plus(name), unquote_plus(value)) for name, _, value in pairs]


def could_begin(raw: bytes) -> bool:
    """Whether a request can begin so. A TLS greeting cannot: who tries that first must be told so at once."""
    return raw[:1].isalpha() or raw[:1] in (b"\r", b"\n", b"")


def parse_head(raw: bytes) -> Head:
    """Read a request head, given without its closing empty line. Raises Malformed."""
    try:
        lines = raw.decode("latin-1").lstrip("\r\n").split("\r\n")
        method, target, version = lines[0].split(" ")
    except ValueError:
        raise Malformed("the request line has no three parts") from None
    if _TOKEN.fullmatch(method) is None or version not in ("HTTP/1.1", "HTTP/1.0"):
        raise Malformed("no HTTP/1.1 request line")
    if _TARGET.fullmatch(target) is None:
        raise Malformed("the request target has characters that must be encoded")
    if not target.startswith("/"):
        target = _origin_form(target)
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or _TOKEN.fullmatch(name) is None or "\n" in value or "\r" in value or "\0" in value:
            raise Malformed("a header line is malformed")
        key, value = name.lower(), value.strip(" \t")
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    path, _, query_text = target.partition("#")[0].partition("?")
    return Head(method, path, query_text, version, headers, _body_length(headers))


def _origin_form(target: str) -> str:
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() != "http":
        raise Malformed("the request target is no path")
    return "/" + rest.partition("/")[2]


def _body_length(headers: dict[str, str]) -> int | None:
    encoding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if encoding is not None:
        if length is not None:
            raise Malformed("both Transfer-Encoding and Content-Length")  # RFC 9112 6.1: request smuggling
        if encoding.lower() != "chunked":
            raise Malformed("only the chunked transfer coding is known", 501)
        return None
    if length is None:
        return 0
    if not (length.isascii() and length.isdigit() and len(length) < 20):
        raise Malformed("Content-Length is no number")
    return int(length)


class ChunkedBody:
    """Takes a chunked body's bytes as they come and gives its data. `done` once the last chunk has come.

    What is given does not depend on how the bytes were cut. Trailers are read and dropped.
    """

    def __init__(self) -> None:
        self.done = False
        self.leftover = b""  # what came after the body: the next request
        self._pending = b""
        self._in_chunk = 0  # bytes of the current chunk still to come
        self._closing = False  # the chunk's data is over, its line end is due
        self._trailers = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give the data that these bytes complete. Raises Malformed."""
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
                    raise Malformed("a chunk's size line is too long")
                self._pending, data = data, b""
                continue
            self._take_line(line)
            data = rest
        if self.done:
            self.leftover = data

    def _take_line(self, line: bytes) -> None:
        if self._closing:
            if line:
                raise Malformed("a chunk is longer than its size")
            self._closing = False
        elif self._trailers:
            self.done = not line
        else:
            digits = line.partition(b";")[0].strip()
            if re.fullmatch(rb"[0-9a-fA-F]{1,15}", digits) is None:
                raise Malformed("a chunk's size is no number")
            self._in_chunk = int(digits, 16)
            self._trailers = not self._in_chunk


def answer_head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """The bytes of an answer's head, its closing empty line included."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
