"""`bakery explain`: what an error code means."""

from __future__ import annotations

from pathlib import Path

import click

from bakery.cli import completing, general, output
from bakery.cli.group import Command


@click.command("explain", cls=Command)
@click.argument(
    "code",
    metavar="[CODE]",
    default="",
    shell_complete=completing.error_codes,
    help="Error code, such as registry/quota, or its first part.",
)
@click.option("--pages", metavar="FOLDER", type=click.Path(path_type=Path), hidden=True)
@general.options
def command(code: str, pages: Path | None) -> None:
    """Explain an error code: its meaning, causes and remedies. Without a code, list all codes."""
    from bakery.app import explaining

    if pages is None:
        output.write(explaining.explain(code), end="")
        return
    for name, page in explaining.pages().items():
        (pages / name).parent.mkdir(parents=True, exist_ok=True)
        (pages / name).write_text(page, encoding="utf-8")
