"""`bakery registry serve`: the embedded registry on a loopback port, for people's own tests."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakery.cli import options
from bakery.errors import UsageError

if TYPE_CHECKING:
    from bakery.rehearsal import EmbeddedRegistry

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Serve the embedded registry for tests of your own."""


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1; 0 takes a free one.", min=0, max=65535)] = 0,
    storage: Annotated[
        Path | None, typer.Option(help="Keep everything in this folder. Without it: in memory.", file_okay=False)
    ] = None,
    faults: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Behave as ghcr, hub, ecr, flaky, hostile … (docs/faults.md), or as a NAME.json says.",
            show_default="none",
        ),
    ] = "",
    seed: Annotated[int, typer.Option(help="Which run of the faults' dice.")] = 0,
    lag: Annotated[float, typer.Option(metavar="SECONDS", help="Let reads after a write answer 404 so long.")] = 0.0,
    user: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:PASSWORD", help="Ask for credentials; may be given more than once."),
    ] = None,
    basic: Annotated[bool, typer.Option("--basic", help="Ask for Basic credentials, not for bearer tokens.")] = False,
    _verbose: options.Verbose = False,
    _quiet: options.Quiet = False,
    _debug: options.Debug = False,
) -> None:
    """Serve a registry on 127.0.0.1 until SIGINT or SIGTERM.

    On stdout: one JSON line when it listens, one with the counts when it has stopped.
    """
    from bakery.rehearsal import serving

    users = dict(_login(text) for text in user or [])
    asked = serving.Asked(port, storage, faults, seed, lag, users, basic)
    asyncio.run(_serve(serving.registry(asked), asked.about))


def _login(text: str) -> tuple[str, str]:
    name, colon, password = text.partition(":")
    if not name or not colon:
        raise UsageError("reading --user", about=repr(name), hint="write it as NAME:PASSWORD")
    return name, password


async def _serve(registry: EmbeddedRegistry, about: str) -> None:
    from bakery.rehearsal import serving

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with registry:
        _say(f"a registry at {registry.url}: {about}. Stop it with Ctrl-C")
        print(json.dumps({"event": "listening", "address": registry.address, "url": registry.url}), flush=True)
        await stop.wait()
        counts = serving.counts(registry)
    for line in serving.told(counts):
        _say(line)
    print(json.dumps({"event": "stopped", **counts}), flush=True)


def _say(text: str) -> None:
    if not options.quiet_wanted():
        print(text, file=sys.stderr, flush=True)
