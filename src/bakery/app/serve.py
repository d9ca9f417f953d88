"""Serving the embedded registry on a loopback port, for tests of other programs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bakery.rehearsal import serving

if TYPE_CHECKING:
    from bakery.rehearsal import EmbeddedRegistry


def serve(options: serving.ServeOptions, *, on_listening: Callable[[EmbeddedRegistry], None]) -> Mapping[str, Any]:
    """Serve a registry until SIGINT or SIGTERM, and return its counts (serving.counts).

    on_listening: called once it accepts connections.
    """
    return asyncio.run(_serve(serving.create_registry(options), on_listening))


async def _serve(registry: EmbeddedRegistry, on_listening: Callable[[EmbeddedRegistry], None]) -> Mapping[str, Any]:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with registry:
        on_listening(registry)
        await stop.wait()
        return serving.counts(registry)
