"""How long a healthy destination takes next to a hostile one: `python -m bench.hostile [REPEAT]`.

Eight small targets to two destinations, in one process together with the registries. The peer is the same publish with
two healthy destinations; what is compared is the time until the last tag of the first destination has moved.
Goal: at most 1.2 times the peer's time.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

from msgspec.structs import replace
from tests.engines.workload import add_target, layer, plan
from tests.wire.script import raw_server
from tests.wire.test_hostile_hosts import repeats

from bakery.engines.native import NativeEngine
from bakery.events import Event, TagMoved
from bakery.oci.reference import Repository
from bakery.publish.pipeline import Pipeline, PipelineOptions
from bakery.publish.plan import Destination
from bakery.registry.client import Client
from bakery.registry.config import RegistryConfig
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.retry import RetryPolicy

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
TARGETS: Final = 8


async def _redirects(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    count = 0
    while True:
        await reader.readuntil(b"\r\n\r\n")
        count += 1
        writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /v2/%d\r\nContent-Length: 0\r\n\r\n" % count)
        await writer.drain()


HOSTILE: Final[dict[str, Serve]] = {
    "interim responses without end": repeats(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "tiny chunks without end": repeats(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 2000),
    "a head that trickles": repeats(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n", wait_s=0.05),
    "redirects without end": _redirects,
}


async def last_tag_s(serve: Serve | None) -> float:
    """Return when the last tag of the healthy destination moved. serve: the other one, None for a healthy one."""
    async with AsyncExitStack() as stack:
        source, healthy = [await stack.enter_async_context(EmbeddedRegistry()) for _ in range(2)]
        if serve is None:
            other = (await stack.enter_async_context(EmbeddedRegistry())).address
        else:
            other = await stack.enter_async_context(raw_server(serve))
        targets = []
        for number in range(TARGETS):
            path, tags = f"acme/app-{number}", ("1.0", "latest")
            one = add_target(source, (healthy,), f"t{number}", tags=tags, shared=(layer(f"{number}"),), path=path)
            targets.append(replace(one, destinations=(*one.destinations, Destination(Repository(other, path), tags))))
        moved: list[float] = []
        began = time.perf_counter()

        def emit(event: Event) -> None:
            if isinstance(event, TagMoved) and event.reference.startswith(healthy.address):
                moved.append(time.perf_counter() - began)

        config = replace(RegistryConfig.from_environment({}), stall_s=2.0)
        client = Client(config=config, policy=RetryPolicy(base_delay=0.2), emit=emit)
        options = PipelineOptions(time_budget_s=8)
        await Pipeline(plan(*targets), NativeEngine(client), options=options, emit=emit).execute()
        assert len(moved) == 2 * TARGETS, "a healthy destination was not published"
        return max(moved)


async def main(repeat: int) -> None:
    """Measure each in turn, and print the medians."""
    kinds: dict[str, Serve | None] = {"a second healthy destination": None, **HOSTILE}
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(repeat):
        for name, serve in kinds.items():
            times[name].append(await last_tag_s(serve))
    peer = statistics.median(times["a second healthy destination"])
    for name, found in times.items():
        median = statistics.median(found)
        print(f"{name:32} {median:.3f} s  {median / peer:.2f}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 9))
