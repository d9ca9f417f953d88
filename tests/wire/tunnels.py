"""Proxies on loopback whose tunnels all lead to one port of this machine, whatever host was requested."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from abc import ABC, abstractmethod
from typing import Self


class LoopbackProxy(ABC):
    """A server that passes bytes on. What opens a tunnel, and how, is left to the proxies that derive from it."""

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self.passed = bytearray()  # what clients sent through tunnels
        self._port, self._tls = port, tls
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.host = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.sleep(0)  # closed transports report it in the next iteration of the loop

    @abstractmethod
    async def opens(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read what a client requests, and answer. Return whether a tunnel follows."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
            if await self.opens(reader, writer):
                await self._tunnel(reader, writer)
        writer.transport.abort()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while piece := await source.read(65536):
                    if source is reader:
                        self.passed += piece
                    sink.write(piece)
                    await sink.drain()
            sink.close()

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(pump(reader, inner_writer))
                group.create_task(pump(inner_reader, writer))
        finally:
            inner_writer.transport.abort()
