"""The errors of this room, besides those of finding a program. A caller handles each of them differently."""

from __future__ import annotations

from bakery.errors import BakeryError


class NotStarted(BakeryError):
    """The program is missing, or may not be run."""

    error_code = "program/not-started"


class CommandTimedOut(BakeryError):
    """The command exceeded its time limit and was ended."""

    error_code = "program/timeout"
    transient = True


class OutputTooLarge(BakeryError):
    """The command wrote more than the cap and was ended: truncated output could be mistaken for the whole."""

    error_code = "program/output"
