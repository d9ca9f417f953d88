"""`bakery version`, and the options `--version` and `-V` that print the same."""

import click

from bakery import __version__
from bakery.cli.group import Command


def _print() -> None:
    print(f"Bakery v{__version__}")


def _show(ctx: click.Context, _option: click.Parameter, given: bool) -> None:
    if given and not ctx.resilient_parsing:
        _print()
        ctx.exit()


showing = click.option(
    "--version", "-V", is_flag=True, is_eager=True, callback=_show, expose_value=False, help="Print the version."
)


@click.command("version", cls=Command)
def command() -> None:
    """Print the version."""
    _print()
