"""The servers and the client of one test, over plain HTTP or over TLS: large bodies take different code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from msgspec.structs import replace

from bakery.registry.client import Client
from bakery.registry.config import RegistryConfig
from tests.wire.attacks import Tls, names
from tests.wire.making import make_client
from tests.wire.script import ScriptedServer, raw_server


class Channel:
    """Plain HTTP if `tls` is None."""

    def __init__(self, tls: Tls | None) -> None:
        self.tls = tls

    def server(self, name: str = "registry.example") -> ScriptedServer:
        """Return a scripted server. Its name matters under TLS only."""
        return ScriptedServer() if self.tls is None else ScriptedServer(tls=self.tls.server(name), name=name)

    def raw_server(
        self, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    ) -> AbstractAsyncContextManager[str]:
        """Run a server that may send anything; yield its host."""
        if self.tls is None:
            return raw_server(serve)
        return raw_server(serve, tls=self.tls.server("registry.example"), name="registry.example")

    def client(self, *, config: RegistryConfig | None = None, **others: Any) -> Client:
        """Return a client that can reach these servers."""
        config = config or RegistryConfig()
        if self.tls is not None:
            config = replace(config, ca_file=self.tls.file)
            others["lookup"] = names(registry_example="127.0.0.1", storage_example="127.0.0.1")
        return make_client(config=config, **others)


PLAIN = Channel(None)
