"""A relay that makes registries as distant as real ones: it adds round trips, also for connecting.

`python -m bench.relay 0.04 HOST:PORT…` listens once per registry and prints the addresses as one line of JSON. Every
byte is delayed by half a round trip in each direction, the first bytes of a new connection by two more round trips (TCP
and TLS). It is a delay line, not a lock step: bodies flow at full speed behind their first byte, and all clients are
treated alike.

It counts requests by method, bytes of request bodies, received bytes and connections. The line `stats` on stdin prints
the counts as JSON, `reset` resets them. The process ends with stdin. It does not change the data.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections import Counter, deque
from typing import cast

_HEAD_LIMIT = 1 << 20
_QUEUE_LIMIT = 16 << 20  # more than one round trip of loopback traffic: above it, the sender must wait
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked", re.IGNORECASE)


class RequestCounter:
    """Counts the HTTP/1.1 requests of a client, however the bytes are cut. Parses heads and skips bodies."""

    def __init__(self) -> None:
        self.methods: Counter[str] = Counter()
        self.body_bytes = 0
        self._buffer = b""
        self._skip = 0  # bytes missing from the current body
        self._chunked = False
        self._seen = self._is_opaque = False  # of a connection over TLS, only connections and bytes are counted

    def feed(self, data: bytes) -> None:
        if self._is_opaque:
            return
        if not self.methods and not self._buffer and not self._seen and data[:1] == b"\x16":
            self._is_opaque = True
            return
        self._seen = True
        if self._skip >= len(data) and not self._buffer:
            self._skip -= len(data)
            self.body_bytes += len(data)
            return
        self._buffer += data
        while self._buffer and self._step():
            pass

    def _step(self) -> bool:
        """Consume one piece of the buffer. Return False if more bytes are needed."""
        if self._skip:
            taken = min(self._skip, len(self._buffer))
            self._skip -= taken
            self.body_bytes += taken
            self._buffer = self._buffer[taken:]
            return True
        if self._chunked:
            return self._chunk_size()
        head, mark, rest = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            if len(self._buffer) > _HEAD_LIMIT:
                raise ValueError("request head too large")
            return False
        self._buffer = rest
        self.methods[head.split(b" ", 1)[0].decode("ascii", "replace")] += 1
        if _CHUNKED.search(head):
            self._chunked = True
        elif length := _LENGTH.search(head):
            self._skip = int(length[1])
        return True

    def _chunk_size(self) -> bool:
        line, mark, rest = self._buffer.partition(b"\r\n")
        if not mark:
            return False
        if not line:  # the end of the chunk's data
            self._buffer = rest
            return True
        size = int(line.split(b";")[0], 16)
        if size == 0:
            if not rest.startswith(b"\r\n"):
                return False
            self._chunked = False
            self._buffer = rest[2:]
            return True
        self._buffer = rest
        self._skip = size
        return True


class Counts:
    """What passed through one relay since the last reset."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        self.requests.clear()
        self.sent_bytes = 0
        self.received_bytes = 0
        self.connections = 0

    def as_json(self) -> dict[str, object]:
        return {
            "requests": dict(self.requests),
            "sent_bytes": self.sent_bytes,
            "received_bytes": self.received_bytes,
            "connections": self.connections,
        }


class _Line:
    """One direction of one connection: bytes enter now and leave later, in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop, delay_s: float, not_before: float) -> None:
        self._loop = loop
        self._delay_s = delay_s
        self._not_before = not_before
        self._queue: deque[bytes | None] = deque()  # None: the sender closed the connection
        self._queued = 0
        self.source: asyncio.Transport | None = None
        self.sink: asyncio.Transport | None = None

    def put(self, data: bytes | None) -> None:
        due = max(self._loop.time() + self._delay_s, self._not_before)
        self._queue.append(data)
        self._queued += len(data or b"")
        if self._queued > _QUEUE_LIMIT and self.source is not None:
            self.source.pause_reading()
        if self._delay_s == 0 and self.sink is not None and len(self._queue) == 1:
            self.flush_one()
        else:
            # A timer takes the first piece: timers due together may fire in any order, but bytes must stay in order.
            self._loop.call_at(due, self.flush_one)

    def flush_one(self) -> None:
        if self.sink is None or not self._queue:  # the other side is not connected yet, or disconnected
            if self._queue:
                self._loop.call_later(0.001, self.flush_one)
            return
        data = self._queue.popleft()
        if data is None:
            self.sink.close()
            return
        self._queued -= len(data)
        if not self.sink.is_closing():
            self.sink.write(data)
        if self._queued < _QUEUE_LIMIT // 2 and self.source is not None and not self.source.is_closing():
            self.source.resume_reading()


class _End(asyncio.Protocol):
    """One end of a relayed connection: it passes received bytes to `out`."""

    def __init__(self, out: _Line, back: _Line, counts: Counts, counter: RequestCounter | None) -> None:
        self._out, self._back, self._counts, self._counter = out, back, counts, counter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._out.source = self._back.sink = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._counter is None:
            self._counts.received_bytes += len(data)
        else:
            before = self._counter.body_bytes
            self._counter.feed(data)
            self._counts.sent_bytes += self._counter.body_bytes - before
            self._counts.requests.update(self._counter.methods)
            self._counter.methods.clear()
        self._out.put(data)

    def pause_writing(self) -> None:
        if self._back.source is not None:
            self._back.source.pause_reading()

    def resume_writing(self) -> None:
        if self._back.source is not None and not self._back.source.is_closing():
            self._back.source.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # in both cases, close the other side
        self._out.put(None)


class Relay:
    """Relays connections to one registry."""

    def __init__(self, upstream: str, round_trip_s: float) -> None:
        self.counts = Counts()
        self._host, _, port = upstream.rpartition(":")
        self._port = int(port)
        self._round_trip_s = round_trip_s
        self._connecting: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def listen(self) -> str:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accepted, "127.0.0.1", 0, backlog=1024)
        return "127.0.0.1:" + str(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening, and wait until open connections have ended."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _accepted(self) -> asyncio.Protocol:
        loop = asyncio.get_running_loop()
        self.counts.connections += 1
        half = self._round_trip_s / 2
        there = _Line(loop, half, loop.time() + 2 * self._round_trip_s + half)
        back = _Line(loop, half, 0)
        task = loop.create_task(self._connect(there, back))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return _End(there, back, self.counts, RequestCounter())

    async def _connect(self, there: _Line, back: _Line) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: _End(back, there, self.counts, None), self._host, self._port)
        except OSError:
            if back.sink is not None:
                back.sink.abort()


async def main(round_trip_s: float, upstreams: list[str]) -> None:
    relays = [Relay(upstream, round_trip_s) for upstream in upstreams]
    print(json.dumps([await relay.listen() for relay in relays]), flush=True)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        if line.strip() == b"stats":
            print(json.dumps([relay.counts.as_json() for relay in relays]), flush=True)
        elif line.strip() == b"reset":
            for relay in relays:
                relay.counts.reset()
            print("{}", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal ends the bench, which ends this process
    asyncio.run(main(float(sys.argv[1]), sys.argv[2:]))
