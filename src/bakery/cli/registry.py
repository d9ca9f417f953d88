"""`bakery registry serve`: the embedded registry on a loopback port, for the user's own tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bakery.cli import general, options, output
from bakery.cli.group import Group
from bakery.errors import UsageError

if TYPE_CHECKING:
    from bakery.rehearsal import EmbeddedRegistry


@click.group("registry", cls=Group)
def group() -> None:
    """Serve the embedded registry, for your own tests."""


@group.command("serve")
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="PORT", default=0, help="Port on 127.0.0.1; 0 picks a free one."
)
@click.option(
    "--storage", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER",
    help="Store content in this folder instead of memory.",
)  # fmt: skip
@options.faults
@options.seed
@click.option(
    "--lag", type=float, metavar="SECONDS", default=0.0,
    help="Return 404 for content written less than SECONDS ago.",
)  # fmt: skip
@click.option("--user", metavar="NAME:PASSWORD", multiple=True, help="Require these credentials; repeatable.")
@click.option("--basic", is_flag=True, help="Use Basic authentication instead of bearer tokens.")
@general.options
def serve_command(
    port: int, storage: Path | None, faults: str, seed: int, lag: float, user: tuple[str, ...], basic: bool
) -> None:
    """Serve a registry on 127.0.0.1 until SIGINT or SIGTERM.

    Prints one JSON line on stdout when it accepts connections, and one with counts when it has stopped.
    """
    from bakery.app.serve import serve
    from bakery.rehearsal import serving

    wanted = serving.ServeOptions(port, storage, faults, seed, lag, dict(_login(text) for text in user), basic)

    def listening(registry: EmbeddedRegistry) -> None:
        output.note(f"Serving a registry at {registry.url} ({wanted.summary}). Press Ctrl-C to stop.")
        print(json.dumps({"event": "listening", "address": registry.address, "url": registry.url}), flush=True)

    counts = serve(wanted, on_listening=listening)
    for line in serving.count_lines(counts):
        output.note(line)
    print(json.dumps({"event": "stopped", **counts}), flush=True)


def _login(text: str) -> tuple[str, str]:
    name, colon, password = text.partition(":")
    if not name or not colon:
        raise UsageError("invalid value for --user", about=repr(name), why="expected NAME:PASSWORD")
    return name, password
