"""Commands and groups whose help is made for people: options by purpose, examples, exit codes, old names at the end.

What only a printed help needs is imported when it is printed.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

WIDTH = 110  # columns of help in wider terminals
_UNCUT = 1000  # characters; click would cut a line at the terminal's width and end it with "..."
_OLD = "Old name of"  # how the help of a command begins that is kept for old callers


def _write_examples(formatter: click.HelpFormatter, lines: Sequence[str]) -> None:
    if lines:
        with formatter.section("Examples"):
            for line in lines:
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


class Command(click.Command):
    """A click command; click itself lists all options in one section, and has no examples."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from bakery.cli.help_sections import in_sections

        for section, records in in_sections(self.get_params(ctx), ctx).items():
            with formatter.section(section):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from bakery.cli.help_sections import EXIT_CODES, examples

        super().format_epilog(ctx, formatter)
        _write_examples(formatter, examples(ctx.command_path))
        with formatter.section("Exit codes"):
            formatter.write_text(EXIT_CODES)


class Group(click.Group):
    """A click group; click itself sorts the names and cuts the sentences."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)

    def listing(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Return the commands as help lists them: name and sentence."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        return [(name, one.get_short_help_str(_UNCUT)) for name, one in found if one is not None and not one.hidden]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from bakery.cli.help_sections import examples

        listed = self.listing(ctx)
        old = [entry for entry in listed if entry[1].startswith(_OLD)]
        current = [entry for entry in listed if entry not in old] or old
        with formatter.section("Commands"):
            formatter.write_dl(current)
        _write_examples(formatter, examples(ctx.command_path))
        if old and current != old:
            with formatter.section("Old names"):
                formatter.write_dl(old)
