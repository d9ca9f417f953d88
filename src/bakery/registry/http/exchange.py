"""One request and its response on one wire, as HTTP/1.1 frames them (RFC 9112). h11 does the parsing.

Content bypasses h11 if its length is known: what is sent always, what is received if it is large.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

import h11

from bakery.errors import InvalidContent
from bakery.extent import Piece
from bakery.registry.http.message import Fields, HttpBody
from bakery.registry.http.turns import Take
from bakery.registry.http.wire import Broken, Wire
from bakery.tasks import in_thread

_MAX_HEAD_BYTES: Final = 64 * 1024  # upload Locations and signed URLs run to kilobytes
_LARGE_BYTES: Final = 256 * 1024  # a body from here on bypasses the event loop
_MOST_INTERIM: Final = 100
_PIECES_A_TURN: Final = 250
_LEAST_CHUNK_BYTES: Final = 16  # on average, over many: smaller ones are an attack on our CPU
_WORTH_A_THREAD_BYTES: Final = 32 * 1024


# h11's words for the end of a connection: in a response, and before its first byte.
_ENDED: Final = ("peer ", "can't handle event type ConnectionClosed")
# h11's words for a response that it refuses, and ours. The first that occurs counts.
_FAULTS: Final = (
    ("status line", "it does not begin with a status line"),
    ("request line", "it does not begin with a status line"),
    ("no response line", "it does not begin with a status line"),
    ("buffer too long", f"its head is longer than {_MAX_HEAD_BYTES >> 10} KiB"),
    ("header line", "a header is malformed"),
    ("Content-Length", "its Content-Length is invalid"),
    ("Transfer-Encoding", "its Transfer-Encoding is not supported"),
    ("chunk", "a chunk is malformed"),
    ("at start of headers", "a header is malformed"),
)


class NotHttp(Exception):  # internal, as Broken is
    """The server's response is not valid HTTP. The text says what is wrong with it."""


def _fault(text: str) -> str:
    """Return what h11 says is wrong with a response in words for users, without the bytes it quotes."""
    return next((ours for theirs, ours in _FAULTS if theirs in text), "it is malformed")


class Exchange:
    """Call `request`, then `chunk` or `move` until the body ends."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.status = 0
        self.headers = Fields()
        self.is_sent = False  # the whole request
        self.is_complete = False  # the response was read to its end
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
        self._failure: Broken | NotHttp | None = None
        self._pieces = self._chunk_bytes = self._interim = 0  # chunks of the body and their bytes, 1xx responses
        self._heard = False
        self._left: int | None = None  # bytes of the body still to come, if it bypasses h11

    @property
    def is_reusable(self) -> bool:
        """Whether another request may follow on the wire."""
        # h11's own state is not DONE after "Connection: close" or HTTP/1.0, however the body is read.
        if not self.is_complete or self._http.our_state is not h11.DONE or self.wire.has_news:
            return False
        return self._left is not None or (self._http.their_state is h11.DONE and not self._http.trailing_data[0])

    @property
    def met_closed(self) -> bool:
        """Whether a connection that was used before ended without a byte of the response."""
        return bool(self.wire.idle_since) and not self._heard

    async def request(
        self,
        method: str,
        target: str,
        headers: list[tuple[str, str]],
        body: bytes | HttpBody = b"",
        *,
        waits: Callable[[], object] = lambda: None,
        moved: Callable[[int], object] = lambda _: None,
        sent: Callable[[], object] = lambda: None,
    ) -> None:
        """Send a request and wait for the head of its response. The response may arrive before the whole body is sent.

        waits: called before a piece of the body is awaited, which is not the server's fault. moved: called with the
        number of bytes of the body as they are sent, 0 once there is a piece. sent: called after the whole request.
        Raises Broken, NotHttp, InvalidContent for a body of another size, and whatever its reader raises.
        """
        head = self._http.send(h11.Request(method=method, target=target, headers=headers)) or b""
        if isinstance(body, bytes):
            await self.wire.send(head + self._framed(body) + self._framed(None))
            self.is_sent = True
        else:
            await self.wire.send(head)
            waits()
            async for piece in body.open():
                left = self._counted(piece)
                moved(0)
                while left and not self._has_head():
                    left = await self.wire.send(left, moved)
                if left or (self.wire.is_full and self._has_head()):
                    break
                waits()
            else:
                self._end_body()
                self.is_sent = True
        sent()
        while not self._has_head():
            await self.wire.change()
        if self._failure is not None:
            raise self._failure

    async def chunk(self) -> bytes:
        """Return the next bytes of the body, b"" at its end. Raises Broken or NotHttp."""
        while not self.is_complete:
            event = self._next()
            if isinstance(event, h11.Data):
                await self._count(len(event.data))
                return bytes(event.data)
            if isinstance(event, h11.EndOfMessage):
                self.is_complete = True
            elif event is h11.NEED_DATA:
                while not self.wire.has_news:
                    await self.wire.change()
                self._http.receive_data(self.wire.take_arrived())
        return b""

    async def move(self, take: Take) -> int:
        """Pass the next bytes of the body to `take`, in a thread if they are many. Return how many, 0 at the end.

        Raises Broken, NotHttp, and whatever `take` raises.
        """
        if self._left is None:
            length = self._content_length()
            if length >= _LARGE_BYTES:
                begun = self._http.trailing_data[0][:length]  # arrived together with the head
                self._left = length - len(begun)
                if begun:
                    take(memoryview(begun))
                    self.is_complete = not self._left
                    return len(begun)
        if self._left is None:
            data = await self.chunk()
            if len(data) >= _WORTH_A_THREAD_BYTES:
                await in_thread(partial(take, memoryview(data)))
            elif data:
                take(memoryview(data))
            return len(data)
        size = await self.wire.receive_by(take, self._left) if self._left else 0
        if self._left and not size:
            raise Broken
        self._left -= size
        self.is_complete = not self._left
        return size

    async def _count(self, size: int) -> None:
        """Let other tasks run between the chunks of a body. Raises InvalidContent if these are tiny and many."""
        self._pieces += 1
        self._chunk_bytes += size
        if self._pieces % _PIECES_A_TURN == 0:
            if self._chunk_bytes < self._pieces * _LEAST_CHUNK_BYTES:
                why = f"its first {self._pieces} chunks contain {self._chunk_bytes} bytes in total"
                raise InvalidContent("cannot read response", why=why)
            await asyncio.sleep(0)

    def _framed(self, data: bytes | None) -> bytes:
        """Return a piece of the body, or its end, as sent."""
        return self._http.send(h11.EndOfMessage() if data is None else h11.Data(data=data)) or b""

    def _counted(self, piece: Piece) -> Piece:
        """Let h11 count a piece: with a Content-Length, nothing is sent between the pieces of a body."""
        try:
            self._http.send_with_data_passthrough(h11.Data(data=piece))  # type: ignore[arg-type]  # it only needs len()
        except h11.LocalProtocolError as error:
            raise InvalidContent("cannot send a body", why="it is longer than its stated size") from error
        return piece

    def _end_body(self) -> None:
        try:
            self._framed(None)
        except h11.LocalProtocolError as error:
            raise InvalidContent("cannot send a body", why="it is shorter than its stated size") from error

    def _has_head(self) -> bool:
        """Parse what arrived, without waiting. Return whether the head of the response, or a failure, is among it."""
        try:
            while not self.status:
                event = self._next()
                if event is h11.NEED_DATA:
                    if not self.wire.has_news:
                        return False
                    data = self.wire.take_arrived()
                    self._heard = self._heard or bool(data)
                    self._http.receive_data(data)
                elif isinstance(event, h11.Response):
                    self.status = event.status_code
                    pairs = event.headers.raw_items()  # h11's own iteration creates each pair again
                    self.headers = Fields([(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs])
                else:  # a 1xx response, which needs no action
                    self._interim += 1
                    if self._interim > _MOST_INTERIM:
                        raise InvalidContent("cannot read response", why=f"more than {_MOST_INTERIM} interim responses")
        except (Broken, NotHttp) as error:
            self._failure = self._failure or error
        return True

    def _next(self) -> object:
        try:
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            if str(error).startswith(_ENDED):
                raise Broken from error
            raise NotHttp(_fault(str(error))) from error
        if isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
            raise Broken
        return event

    def _content_length(self) -> int:
        """Return the length of the body, 0 if the response does not state it."""
        length = self.headers.get("Content-Length")
        if not length or self.headers.getall("Transfer-Encoding") or self.status in (204, 304):
            return 0
        return int(length)
