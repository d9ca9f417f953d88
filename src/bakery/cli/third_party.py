"""Commands of plugins that bakery did not bring: a Typer application each, behind commands that hand over their words.

Typer has a click of its own inside, whose commands cannot stand in a group of ours. It is imported here and nowhere
else, so only those wait for it who have such a plugin. Source: pipeline.md 7.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import click
import typer
from click.shell_completion import CompletionItem
from typer.core import TyperGroup
from typer.main import get_group

from bakery.cli import general
from bakery.cli.group import WIDTH
from bakery.plugin_api import Plugin

_log = logging.getLogger(__name__)


def commands(plugins: Iterable[Plugin]) -> dict[str, click.Command]:
    """What the plugins add, by name; the first of two of one name. A plugin that fails is a warning."""
    found: dict[str, click.Command] = {}
    for plugin in plugins:
        try:
            group = _group(plugin)
        except Exception as error:  # noqa: BLE001 - somebody else's code: a warning, and the others go on
            _log.warning("the commands of plugin %s cannot be added: %s", plugin.name, error)
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
    """One command (or group) of a Typer application. It reads its words itself, `--help` among them."""

    def __init__(self, name: str, group: TyperGroup) -> None:
        theirs = group.commands[name]
        super().__init__(name, help=theirs.get_short_help_str(limit=1000), hidden=theirs.hidden, add_help_option=False)
        self._group, self._name = group, name

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.args = list(args)
        return ctx.args

    def invoke(self, ctx: click.Context) -> None:
        general.configure_logging()
        self._group.main([self._name, *ctx.args], prog_name="bakery")  # it ends in SystemExit, with the command's code

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # What click does for its own groups: go down the words as far as they name commands.
        command: Any = self._group
        theirs = command.make_context("bakery", [], resilient_parsing=True)
        for word in (self._name, *ctx.args):
            inner = command.get_command(theirs, word) if isinstance(command, TyperGroup) else None
            if inner is None:
                break
            command, theirs = inner, inner.make_context(word, [], parent=theirs, resilient_parsing=True)
        return [CompletionItem(item.value, item.type, item.help) for item in command.shell_complete(theirs, incomplete)]
