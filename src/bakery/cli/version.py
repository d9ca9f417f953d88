"""`bakery version`."""

from bakery import __version__


def command() -> None:
    """Print the version."""
    print(f"Bakery v{__version__}")
