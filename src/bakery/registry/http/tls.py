"""TLS as a transformation of bytes: no I/O. One caller at a time, in any thread; the large calls release the GIL."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

from msgspec import Struct

TLS_ANSWERS: Final = (b"\x15", b"\x16")  # the first byte of an alert, and of a handshake message
_READ_BYTES: Final = 256 * 1024


class TlsFacts(Struct, frozen=True):
    """What is known of an established session. expires: of the server's certificate; None if it was not verified."""

    version: str
    issuer: str = ""
    expires: datetime | None = None


class Tls:
    """One TLS session, over the network or over another one: TLS to a proxy, and through it TLS to a registry."""

    def __init__(self, context: ssl.SSLContext, server_name: str, *, below: Tls | None = None) -> None:
        self._in, self._out, self._below = ssl.MemoryBIO(), ssl.MemoryBIO(), below
        self._object = context.wrap_bio(self._in, self._out, server_hostname=server_name)

    @property
    def facts(self) -> TlsFacts:
        """The version of the session, and the certificate of the server."""
        certificate: Mapping[str, Any] = self._object.getpeercert() or {}
        names = {key: text for part in certificate.get("issuer", ()) for key, text in part}
        issuer = str(names.get("organizationName") or names.get("commonName") or "")
        end = certificate.get("notAfter")
        expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(end), UTC) if end else None
        return TlsFacts(self._object.version() or "", issuer, expires)

    def handshake(self) -> bool:
        """Go on with the handshake; return whether it is complete. Send what `outgoing` returns in every case."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def feed(self, data: bytes | memoryview) -> None:
        """Take bytes from the network, b"" at its end."""
        if self._below is None:
            self._take(data)
            return
        self._below.feed(data)
        while (content := self._below.read()) is not None:
            self._take(content)
            if not content:
                break

    def _take(self, data: bytes | memoryview) -> None:
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()

    def read_into(self, view: memoryview) -> tuple[int, bool]:
        """Decrypt into a buffer until it is full or more must be fed. Raises SSLError.

        Return how many bytes, and whether the session ended in order.
        """
        filled, read, ended = 0, self._object.read, False
        try:
            while filled < len(view) and not ended:
                got = cast(int, read(len(view) - filled, view[filled:]))  # one record, of 16 KiB at most
                filled, ended = filled + got, got == 0
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            ended = True
        return filled, ended

    def read(self) -> bytes | None:
        """Return decrypted bytes, b"" at the orderly end, None if more must be fed. Raises SSLError."""
        try:
            return self._object.read(_READ_BYTES)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLZeroReturnError:
            return b""

    def encrypt(self, content: bytes | memoryview) -> bytes:
        """Return the bytes to send for this content, after whatever else has to be sent."""
        self._object.write(content)
        return self.outgoing()

    def outgoing(self) -> bytes:
        """Return what has to be sent: parts of the handshake, alerts, responses to a change of keys."""
        data = self._out.read()
        if self._below is None:
            return data
        return self._below.encrypt(data) if data else self._below.outgoing()


def hello() -> bytes:
    """Return the first message of a handshake: only a server of TLS responds to it with TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # no content follows it
    context.verify_mode = ssl.CERT_NONE
    out = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out).do_handshake()
    return out.read()
