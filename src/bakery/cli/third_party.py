"""Commands of third-party plugins: each is a Typer application behind a click command that passes on its arguments.

Typer contains its own click, whose commands cannot be part of one of our groups. It is only imported here, so that only
installations with such a plugin pay for it. Source: pipeline.md 7.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import click
import typer
from click.shell_completion import CompletionItem
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_group

from bakery.cli import general, output
from bakery.cli.group import WIDTH
from bakery.plugin_api import Plugin, is_interrupt
from bakery.text import clean

_log = logging.getLogger(__name__)


def commands(plugins: Iterable[Plugin]) -> dict[str, click.Command]:
    """Return the commands of plugins by name; the first of two with one name. A plugin that fails is a warning."""
    found: dict[str, click.Command] = {}
    for plugin in plugins:
        try:
            group = _group(plugin)
        except BaseException as error:  # third-party code, also sys.exit(): the others still work
            if is_interrupt(error):
                raise
            _log.warning("the commands of plugin %s cannot be added: %s", clean(plugin.name), clean(str(error)))
            continue
        for name in group.commands:
            found.setdefault(name, TyperCommand(name, group))
    return found


def _group(plugin: Plugin) -> TyperGroup:
    app = typer.Typer(
        context_settings={"max_content_width": WIDTH},
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    plugin.register_cli(app)
    return get_group(app)


class TyperCommand(click.Command):
    """One command (or group) of a Typer application, which parses its arguments itself, including `--help`."""

    def __init__(self, name: str, group: TyperGroup) -> None:
        theirs = group.commands[name]
        super().__init__(name, help=theirs.get_short_help_str(limit=1000), hidden=theirs.hidden, add_help_option=False)
        self._group, self._name = group, name

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.args = list(args)
        return ctx.args

    def invoke(self, ctx: click.Context) -> None:
        general.configure_logging()
        try:
            with self._group.make_context("bakery", [self._name, *ctx.args]) as theirs:
                self._group.invoke(theirs)
        except typer.Exit as error:
            raise click.exceptions.Exit(error.exit_code) from error
        except TyperException as error:
            if type(error).__name__ == "NoArgsIsHelpError":  # a private class; its message is the help
                output.print_line(error.format_message())
                raise click.exceptions.Exit(error.exit_code) from error
            from bakery.cli.usage import typer_error

            raise typer_error(error) from error

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # As click does for its own groups: follow the words as long as they name commands.
        command: Any = self._group
        theirs = command.make_context("bakery", [], resilient_parsing=True)
        for word in (self._name, *ctx.args):
            inner = command.get_command(theirs, word) if isinstance(command, TyperGroup) else None
            if inner is None:
                break
            command, theirs = inner, inner.make_context(word, [], parent=theirs, resilient_parsing=True)
        return [CompletionItem(item.value, item.type, item.help) for item in command.shell_complete(theirs, incomplete)]
