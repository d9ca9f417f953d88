"""`python -m bakery` is `bakery`."""

from bakery.cli.main import run

run()
