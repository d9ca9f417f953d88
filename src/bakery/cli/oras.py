"""`bakery oras`: the old spelling of `bakery imagetools merge`."""

from __future__ import annotations

import typer

from bakery.cli.imagetools import merge_command

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
app.callback()(lambda: None)  # without it a group of one command would be that command itself
app.command("merge")(merge_command)
