"""`python -m bakery` is `bakery`."""

import signal


def run() -> None:
    """The entry point of the `bakery` executable.

    Until the command line is imported, which takes a tenth of a second, SIGINT ends the process as a signal does:
    Python's own handler would print the traceback of an import.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from bakery.cli import main

    main.run()


if __name__ == "__main__":
    run()
