"""One turn of a thread that moves large content between a socket and a file or hash. It never waits for the network."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from bakery.extent import Extent, part_of
from bakery.registry.http.tls import Tls

TURN_BYTES: Final = 8 * 1024 * 1024  # the most that one turn moves
BUFFER_BYTES: Final = 256 * 1024  # fits the processor's cache between the socket, the hash and the file
RECORDS_BYTES: Final = (
    64 * 1024
)  # encrypted at once; larger results are mapped by malloc each time, which doubles the CPU
_NO_SENDFILE: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})

Take = Callable[[memoryview], object]
"""Consumes the next bytes of a body. Runs in a thread, never twice at once; the memory is valid during the call."""


class Turn(Struct):
    """The result of one turn in a thread. ended: the connection has no more bytes. unsent: is to be sent next."""

    size: int = 0
    ended: bool = False
    error: OSError | None = None
    unsent: bytes | memoryview = b""


def receive(handle: socket.socket, buffer: bytearray, most: int, take: Take) -> Turn:
    turn, view = Turn(), memoryview(buffer)
    while turn.size < most:
        try:
            got = handle.recv_into(view, min(len(buffer), most - turn.size))
        except BlockingIOError:
            break
        except OSError as error:
            turn.error = error
            break
        if not got:
            turn.ended = True
            break
        take(view[:got])
        turn.size += got
    return turn


def receive_encrypted(handle: socket.socket, tls: Tls, buffer: bytearray, most: int, take: Take) -> Turn:
    turn, half = Turn(), len(buffer) // 2
    view, encrypted, filled = memoryview(buffer)[:half], memoryview(buffer)[half:], 0
    while turn.size + filled < most and not turn.ended:
        space = view[filled : most - turn.size]
        try:
            got, turn.ended = tls.read_into(space)
            filled += got
            if got < len(space) and not turn.ended:
                tls.feed(encrypted[: handle.recv_into(encrypted)])
        except BlockingIOError:
            break
        except OSError as error:  # of the network or of TLS
            turn.error = error
            break
        if filled == half:
            take(view)
            turn.size, filled = turn.size + filled, 0
    if filled:
        take(view[:filled])
    turn.size += filled
    return turn


def send_encrypted(handle: socket.socket, tls: Tls, buffer: bytearray, content: memoryview | Extent) -> Turn:
    turn, most, view = Turn(), min(len(content), TURN_BYTES), memoryview(buffer)[:RECORDS_BYTES]
    while turn.size < most:
        size = min(most - turn.size, len(view))
        part = part_of(content, turn.size, size)
        turn.unsent = memoryview(tls.encrypt(part.read_into(view) if isinstance(part, Extent) else part))
        turn.size += size
        try:
            while turn.unsent:
                turn.unsent = turn.unsent[handle.send(turn.unsent) :]
        except BlockingIOError:
            break
        except OSError as error:
            turn.error, turn.unsent = error, b""
            break
    return turn


def send(handle: socket.socket, content: memoryview | Extent) -> Turn:
    turn, most = Turn(), min(len(content), TURN_BYTES)
    while turn.size < most:
        try:
            part = part_of(content, turn.size, most - turn.size)
            turn.size += _send_file(handle, part) if isinstance(part, Extent) else handle.send(part)
        except BlockingIOError:
            break
        except OSError as error:
            turn.error = error
            break
    return turn


def _send_file(handle: socket.socket, extent: Extent) -> int:
    try:
        sent = os.sendfile(handle.fileno(), extent.file, extent.offset, extent.size)
    except OSError as error:
        if error.errno not in _NO_SENDFILE:  # some file systems do not support it
            raise
        sent = handle.send(Extent(extent.file, extent.offset, min(extent.size, BUFFER_BYTES)).read())
    if not sent:
        raise EOFError(f"the file ends before {extent.offset + extent.size} bytes")
    return sent
