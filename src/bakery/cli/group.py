"""A group whose help lists commands in the order in which they were added, each with its whole first sentence."""

from __future__ import annotations

import click

WIDTH = 110  # columns of help in wider terminals
_UNCUT = 1000  # characters; click would cut a line at the terminal's width and end it with "..."


class Group(click.Group):
    """A click group; click itself sorts the names and cuts the sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)

    def listing(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Return the commands as help lists them: name and sentence."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        return [(name, one.get_short_help_str(_UNCUT)) for name, one in found if one is not None and not one.hidden]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(self.listing(ctx))
