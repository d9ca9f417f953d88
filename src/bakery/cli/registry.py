"""`bakery registry serve`: the embedded registry on a loopback port, for people's own tests."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bakery.cli import options
from bakery.cli.group import Group
from bakery.errors import UsageError

if TYPE_CHECKING:
    from bakery.rehearsal import EmbeddedRegistry


@click.group("registry", cls=Group)
def group() -> None:
    """Serve the embedded registry for tests of your own."""


@group.command("serve")
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="PORT", default=0,
    help="The port on 127.0.0.1; 0 takes a free one.",
)  # fmt: skip
@click.option(
    "--storage", type=click.Path(file_okay=False, path_type=Path),
    help="Keep everything in this folder. Without it: in memory.",
)  # fmt: skip
@options.faults
@options.seed
@click.option("--lag", type=float, metavar="SECONDS", default=0.0, help="Let reads after a write answer 404 so long.")
@click.option(
    "--user", metavar="NAME:PASSWORD", multiple=True, help="Ask for credentials; may be given more than once."
)
@click.option("--basic", is_flag=True, help="Ask for Basic credentials, not for bearer tokens.")
@options.general
def serve_command(
    port: int, storage: Path | None, faults: str, seed: int, lag: float, user: tuple[str, ...], basic: bool
) -> None:
    """Serve a registry on 127.0.0.1 until SIGINT or SIGTERM.

    On stdout: one JSON line when it listens, one with the counts when it has stopped.
    """
    import asyncio

    from bakery.rehearsal import serving

    users = dict(_login(text) for text in user)
    asked = serving.ServeOptions(port, storage, faults, seed, lag, users, basic)
    asyncio.run(_serve(serving.create_registry(asked), asked.summary))


def _login(text: str) -> tuple[str, str]:
    name, colon, password = text.partition(":")
    if not name or not colon:
        raise UsageError("reading --user", about=repr(name), hint="write it as NAME:PASSWORD")
    return name, password


async def _serve(registry: EmbeddedRegistry, about: str) -> None:
    import asyncio

    from bakery.rehearsal import serving

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with registry:
        _say(f"a registry at {registry.url}: {about}. Stop it with Ctrl-C")
        print(json.dumps({"event": "listening", "address": registry.address, "url": registry.url}), flush=True)
        await stop.wait()
        counts = serving.counts(registry)
    for line in serving.count_lines(counts):
        _say(line)
    print(json.dumps({"event": "stopped", **counts}), flush=True)


def _say(text: str) -> None:
    if not options.quiet_wanted():
        print(text, file=sys.stderr, flush=True)
