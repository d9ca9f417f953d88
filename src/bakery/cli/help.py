"""`bakery help COMMAND`: what `bakery COMMAND --help` prints."""

from __future__ import annotations

import click

from bakery.cli import completing
from bakery.cli.group import Command


@click.command("help", cls=Command)
@click.argument("command", nargs=-1, help="The words of the command.", shell_complete=completing.command_words)
def command(command: tuple[str, ...]) -> None:
    """Print the help of a command."""
    root = click.get_current_context().find_root()
    assert isinstance(root.command, click.Group)
    root.command.main(args=[*command, "--help"], prog_name=root.info_name, standalone_mode=False)
