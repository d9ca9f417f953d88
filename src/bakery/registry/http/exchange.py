"""One request and its answer on one wire, as HTTP/1.1 frames them (RFC 9112). The reading is h11's.

Only the body of an answer whose length is told may go past h11, straight to whoever takes it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from typing import Final

import h11

from bakery.extent import Extent, Piece
from bakery.registry.answers import Fields
from bakery.registry.http.wire import Broken, Take, Wire
from bakery.tasks import in_thread

_MAX_HEAD_BYTES: Final = 64 * 1024  # upload Locations and signed URLs run to kilobytes
_WORTH_A_THREAD_BYTES: Final = 256 * 1024
_PIECE_BYTES: Final = 256 * 1024


class Malformed(Exception):  # internal, as Broken is
    """What came is no HTTP answer."""


class Exchange:
    """`ask` or `ask_with`, then `answer`, then `chunk` or `pour` until they end."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
        self._response: h11.Response | None = None
        self._fields = Fields()  # of the response
        self._length: int | None = None  # of the answer's body, where it is told
        self._past_h11 = False
        self.complete = False
        """Whether the answer was read to its end."""

    @property
    def reusable(self) -> bool:
        """Whether the wire is as it was before, so that another request may follow."""
        # Our state is not DONE if the response says "Connection: close" or is of HTTP/1.0, however its body is read.
        if not self.complete or self._http.our_state is not h11.DONE or self.wire.has_news:
            return False
        return self._past_h11 or (self._http.their_state is h11.DONE and not self._http.trailing_data[0])

    async def ask(self, method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> None:
        """Send a request whole."""
        await self.wire.send(self._head(method, target, headers) + self._framed(body) + self._end())

    async def ask_with(
        self,
        method: str,
        target: str,
        headers: list[tuple[str, str]],
        pieces: AsyncIterator[Piece],
        moved: Callable[[int], None],
    ) -> bool:
        """Send a request with a body piece by piece. False where an answer or the end came before all was sent.

        moved: told of bytes as they go. Raises what the pieces raise, as it is.
        """
        await self.wire.send(self._head(method, target, headers))
        async for piece in pieces:
            if not isinstance(piece, Extent):
                await self.wire.send(self._framed(piece))
                moved(len(piece))
            elif self.wire.is_secret:
                for part in piece.pieces(_PIECE_BYTES):
                    await self.wire.send(self._framed(await in_thread(part.read)))
                    moved(len(part))
            else:
                self._count(piece)
                if not await self._send_file(piece, moved):
                    return False
            if await self._is_answered():
                return False
        self._end()
        return True

    async def _send_file(self, left: Extent, moved: Callable[[int], None]) -> bool:
        while left.size:
            async with aclosing(self.wire.send_file(left)) as going:
                async for sent in going:
                    left = left.after(sent)
                    moved(sent)
            if left.size and await self._is_answered():
                return False
        return True

    async def answer(self) -> tuple[int, Fields]:
        """Status and header fields. Raises Broken or Malformed."""
        while self._response is None:
            await self._read_on()
        return self._response.status_code, self._fields

    async def chunk(self) -> bytes:
        """The next bytes of the body, b"" at its end. Raises Broken or Malformed."""
        while not self.complete:
            event = await self._event()
            if isinstance(event, h11.Data):
                return bytes(event.data)
            if isinstance(event, h11.EndOfMessage):
                self.complete = True
        return b""

    async def pour(self, take: Take) -> AsyncGenerator[int, None]:
        """Hand the rest of the body to `take`; gives how many bytes went, as they go.

        A large body is taken in threads. Raises Broken, Malformed, and what `take` raises, as it is.
        """
        if self._length is not None and self._length >= _WORTH_A_THREAD_BYTES and not self.wire.is_secret:
            async with aclosing(self._pour_past_h11(take, self._length)) as coming:
                async for size in coming:
                    yield size
            return
        while data := await self.chunk():
            if len(data) >= _WORTH_A_THREAD_BYTES // 8:
                await in_thread(partial(take, memoryview(data)))
            else:
                take(memoryview(data))
            yield len(data)

    async def _pour_past_h11(self, take: Take, left: int) -> AsyncGenerator[int, None]:
        self._past_h11 = True
        begun, _ = self._http.trailing_data  # what came together with the head
        begun = begun[:left]
        if begun:
            take(memoryview(begun))
            left -= len(begun)
            yield len(begun)
        async with aclosing(self.wire.receive_by(take, left)) as coming:
            async for size in coming:
                left -= size
                yield size
        if left:
            raise Broken
        self.complete = True

    # HTTP

    def _head(self, method: str, target: str, headers: list[tuple[str, str]]) -> bytes:
        return self._http.send(h11.Request(method=method, target=target, headers=headers)) or b""

    def _framed(self, piece: bytes) -> bytes:
        return self._http.send(h11.Data(data=piece)) or b""

    def _count(self, extent: Extent) -> None:
        """An extent is counted only: a body with a length has nothing between its pieces."""
        self._http.send_with_data_passthrough(h11.Data(data=extent))  # type: ignore[arg-type]  # what has a len() will do

    def _end(self) -> bytes:
        return self._http.send(h11.EndOfMessage()) or b""

    async def _is_answered(self) -> bool:
        """Whether the final answer, or the end, has come while the body was still being sent."""
        while self.wire.has_news and self._response is None:
            try:
                await self._read_on()
            except (Broken, Malformed):
                return True  # told again by `answer`
        return self._response is not None

    async def _read_on(self) -> None:
        event = self._next()
        if event is h11.NEED_DATA:
            await self._feed()
        elif isinstance(event, h11.Response):
            self._response = event
            pairs = event.headers.raw_items()  # at once; its own iteration makes each pair anew
            self._fields = Fields([(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs])
            self._length = _length(event.status_code, self._fields)
        # What else may come before a response are those of 1xx, which say nothing to us.

    async def _event(self) -> object:
        while (event := self._next()) is h11.NEED_DATA:
            await self._feed()
        return event

    async def _feed(self) -> None:
        self._http.receive_data(await self.wire.receive())

    def _next(self) -> object:
        try:
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            if self._http.trailing_data[1]:
                raise Broken from error
            raise Malformed(str(error)) from error
        if isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
            raise Broken
        return event


def _length(status: int, fields: Fields) -> int | None:
    """The length of the body where the answer tells one and means it."""
    told = fields.get("Content-Length")
    if not told or fields.getall("Transfer-Encoding") or status in (204, 304):
        return None
    return int(told)
