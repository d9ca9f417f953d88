"""`python -m bakery` is `bakery`."""

from bakery.cli.main import run

if __name__ == "__main__":
    run()
