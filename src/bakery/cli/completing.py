"""Completion of values, as click calls it: what the project, the metadata files and the catalogues have.

Nothing is imported before a shell asks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Completer = Callable[[click.Context, click.Parameter, str], list[Any]]


def project_names(kind: str) -> Completer:
    """Return the completion of a filter by names of the project in --context. kind: as in app.completing."""

    def complete(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
        from bakery.app.completing import project_names

        folder = ctx.params.get("context") or ctx.params.get("project") or Path()
        named = "" if kind == "image" else ctx.params.get("image_name") or ""
        return _starting(project_names(kind, Path(folder), named), incomplete)

    return complete


def metadata_keys(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Complete the key of a target by those in the files of --metadata."""
    from bakery.app.completing import metadata_keys

    return _starting(metadata_keys(ctx.params.get("metadata") or ()), incomplete)


def faults(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Complete --faults by the names of its profiles, and by files."""
    from click.shell_completion import CompletionItem

    from bakery.app.completing import fault_profiles

    return _starting(fault_profiles(), incomplete) or [CompletionItem(incomplete, type="file")]


def error_codes(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Complete an error code."""
    from bakery.app.completing import error_codes

    return _starting(error_codes(), incomplete)


def command_words(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Complete the words of a command, for `bakery help`."""
    command: click.Command | None = ctx.find_root().command
    for word in ctx.params.get("command") or ():
        command = command.get_command(ctx, word) if isinstance(command, click.Group) else None
    return _starting(command.list_commands(ctx), incomplete) if isinstance(command, click.Group) else []


def _starting(names: list[str], incomplete: str) -> list[Any]:
    return [name for name in names if name.startswith(incomplete)]
