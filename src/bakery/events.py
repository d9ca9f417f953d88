"""Events of a run, as frozen records for users and reports. Log messages are for developers; these are not logs.

Code that has something to report is given an `emit`, which returns at once and never raises.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct


class StepStarted(Struct, frozen=True):
    """A target entered a step: `wait`, `assemble`, `soci`, `stage`, `commit`, `verify`; or `build`."""

    target: str  # uid
    step: str


class StepFinished(Struct, frozen=True):
    """A target left a step. `error` is one line, or "" on success."""

    target: str
    step: str
    elapsed_s: float
    error: str = ""


class StepRetried(Struct, frozen=True):
    """A command or step of a target is tried again after `wait_s`. `attempt` is the one that failed (1-based)."""

    target: str
    step: str
    attempt: int
    wait_s: float
    reason: str


class StepOutput(Struct, frozen=True):
    """A line that the command of a step wrote. `target` is "" if the command works on several targets."""

    target: str
    step: str
    text: str


class RequestRetried(Struct, frozen=True):
    """A request to a registry is repeated after `wait_s`. action: a verb phrase such as "read manifest"."""

    host: str
    action: str
    about: str
    attempt: int
    wait_s: float
    reason: str


class HostPaused(Struct, frozen=True):
    """A registry asked clients to wait; every request to it is held back."""

    host: str
    wait_s: float
    reason: str


class SourcesMissing(Struct, frozen=True):
    """A target is still waiting for these sources."""

    target: str
    missing: tuple[str, ...]
    waited_s: float
    limit_s: float


class TagMoved(Struct, frozen=True):
    """A tag was moved. `previous` is the digest that it named before, or "" for a new tag."""

    target: str
    reference: str
    digest: str
    previous: str


class TargetFinished(Struct, frozen=True):
    """A target has ended. `state` is `published`, `unchanged`, `done` (not publishing), `failed` or `stopped`."""

    target: str
    state: str
    elapsed_s: float


class Noted(Struct, frozen=True):
    """A note or a warning for the user; not a failure. `target` is "" if it is about the whole run."""

    target: str
    message: str
    warning: bool = True


class ProblemFound(Struct, frozen=True):
    """Something is wrong or doubtful in bakery.yaml, and the command goes on.

    text: the message as shown to users, with its place and the line of the file. line, column: 1-based, 0 if unknown.
    """

    file: str
    line: int
    column: int
    text: str


Event = (
    StepStarted
    | StepFinished
    | StepRetried
    | StepOutput
    | RequestRetried
    | HostPaused
    | SourcesMissing
    | TagMoved
    | TargetFinished
    | Noted
    | ProblemFound
)
Emit = Callable[[Event], None]


def ignore(event: Event) -> None:
    """An `Emit` that ignores every event."""
