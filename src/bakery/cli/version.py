"""`bakery version`."""

import click

from bakery import __version__


@click.command("version")
def command() -> None:
    """Print the version."""
    print(f"Bakery v{__version__}")
