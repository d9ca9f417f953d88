"""Connections through a SOCKS5 proxy (RFC 1928, 1929). python-socks speaks the protocol; the extra `socks` brings it.

The proxy resolves the name of the target, as for Go's programs: names of a private network often exist only there.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from bakery.registry.http.config import Proxy
from bakery.registry.http.failure import ProxyRefused
from bakery.registry.http.url import Origin


async def open_through(proxy: Proxy, addresses: Sequence[str], target: Origin, *, limit_s: float) -> socket.socket:
    """Return a connection to the target. addresses: those of the proxy, tried in turn; at least one.

    Raises ProxyRefused, and TimeoutError.
    """
    from python_socks import ProxyConnectionError, ProxyError, ProxyType
    from python_socks.async_.asyncio import Proxy as SocksProxy

    assert proxy.socks is not None
    where, reason = proxy.origin.authority, ""
    for address in addresses:
        login = (proxy.socks.username or None, proxy.socks.password or None)
        client = SocksProxy(ProxyType.SOCKS5, address, proxy.origin.port, *login, rdns=True)
        try:
            opened = await client.connect(target.host.strip("[]"), target.port, timeout=limit_s)
        except ProxyConnectionError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
        except ProxyError as error:
            raise ProxyRefused(f"the SOCKS proxy {where} refuses: {error}") from error
        except ConnectionError as error:
            raise ProxyRefused(f"the SOCKS proxy {where} broke the connection: {error.strerror}") from error
        else:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return opened
    raise ProxyRefused(f"the SOCKS proxy {where} cannot be reached: {reason}")
