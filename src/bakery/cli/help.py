"""`bakery help COMMAND`: what `bakery COMMAND --help` prints."""

from __future__ import annotations

import click


@click.command("help")
@click.argument("command", nargs=-1)
@click.pass_context
def command(ctx: click.Context, command: tuple[str, ...]) -> None:
    """Print the help of a command."""
    program = ctx.find_root().command
    program.main(args=[*command, "--help"], prog_name=ctx.find_root().info_name, standalone_mode=False)
