"""A small SOCKS5 proxy (RFC 1928 and 1929) on loopback, for tests."""

from __future__ import annotations

import asyncio
import struct

from tests.wire.tunnels import LoopbackProxy

_NONE, _LOGIN, _UNACCEPTABLE = 0, 2, 0xFF
_CONNECT, _NAME = 1, 3


class SocksProxy(LoopbackProxy):
    """Speaks SOCKS5, and never resolves a name.

    login: the only user name and password that are accepted; None accepts every client. reply: the code of the reply
    to a request; only 0 opens a tunnel. mute: it closes each connection without a byte.
    """

    def __init__(self, port: int, *, login: tuple[str, str] | None = None, reply: int = 0, mute: bool = False) -> None:
        super().__init__(port)
        self.asked: list[tuple[str, int]] = []  # host and port of each request
        self._login, self._reply, self._mute = login, reply, mute

    async def opens(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        return not self._mute and await self._greet(reader, writer) and await self._open(reader, writer)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        version, count = await reader.readexactly(2)
        assert version == 5
        offered = await reader.readexactly(count)
        wanted = _NONE if self._login is None else _LOGIN
        writer.write(bytes([5, wanted if wanted in offered else _UNACCEPTABLE]))
        if wanted not in offered or self._login is None:
            return wanted in offered
        await reader.readexactly(1)
        given = tuple([(await self._text(reader)).decode() for _ in range(2)])
        writer.write(bytes([1, 0 if given == self._login else 1]))
        await writer.drain()
        return given == self._login

    async def _open(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        version, command, _, kind = await reader.readexactly(4)
        assert (version, command, kind) == (5, _CONNECT, _NAME), "names are resolved by the proxy"
        host = (await self._text(reader)).decode()
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        self.asked.append((host, port))
        writer.write(bytes([5, self._reply, 0, 1, 127, 0, 0, 1]) + struct.pack("!H", port))
        await writer.drain()
        return self._reply == 0

    async def _text(self, reader: asyncio.StreamReader) -> bytes:
        (length,) = await reader.readexactly(1)
        return await reader.readexactly(length)
