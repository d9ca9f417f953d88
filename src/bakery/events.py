"""Events of a run, as frozen records for users and reports. Log messages are for developers; these are not logs.

Code that has something to report is given an `emit`, which returns at once and never raises. An event has no time: who
receives it first (`report.recorder`) notes when that was, once for all that show it. What they add up to is
`report.model`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from msgspec import Struct

FORMAT: Final = 2  # of the events as JSON lines in a journal: incremented if one changes its meaning or gets members

# The target that the current task works for, "" outside of targets. Tasks that it starts inherit it.
working_for: ContextVar[str] = ContextVar("working_for", default="")


class RunPlace(Struct, frozen=True):
    """A repository that a target goes to, and its tags there."""

    repository: str
    tags: tuple[str, ...] = ()


class RunTarget(Struct, frozen=True):
    """What is known of a target before a run: its uid, and what it is called by people."""

    uid: str
    image: str = ""
    version: str = ""
    os: str = ""
    variant: str = ""
    platforms: tuple[str, ...] = ()
    places: tuple[RunPlace, ...] = ()


class RunStarted(Struct, frozen=True):
    """A run began. doing: publish, convert, rehearse, build, clean or test. targets: in the order to show them in."""

    doing: str
    targets: tuple[RunTarget, ...] = ()


class RunFinished(Struct, frozen=True):
    """A run ended. state: `done`, `failed` or `interrupted`."""

    state: str
    elapsed_s: float


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
    """A request to a registry is repeated after `wait_s`. action: a verb phrase such as "read manifest".

    target: that the request was for; content that several targets share is requested for the first one.
    """

    host: str
    action: str
    about: str
    attempt: int
    wait_s: float
    reason: str
    target: str = ""


class HostTraffic(Struct, frozen=True):
    """What was exchanged with a registry since the run began: totals, at most four times a second and at the end.

    The token service and the storage of a registry count as the registry. bytes_in, bytes_out: of bodies. reused: blobs
    that were there already, mounted: blobs that the registry took from another repository; neither was sent.
    """

    host: str
    requests: int
    bytes_in: int
    bytes_out: int
    reused: int = 0
    reused_bytes: int = 0
    mounted: int = 0
    mounted_bytes: int = 0


class RequestsSaved(Struct, frozen=True):
    """So many requests were not sent, because another target needed the same content: the total of the run."""

    count: int


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


class TagMoving(Struct, frozen=True):
    """A tag is about to be moved, so a run that is killed may have moved it. Fields as those of TagMoved."""

    target: str
    reference: str
    digest: str
    previous: str


class TagMoved(Struct, frozen=True):
    """A tag was moved. `previous` is the digest that it named before, or "" for a new tag."""

    target: str
    reference: str
    digest: str
    previous: str


class TagRestored(Struct, frozen=True):
    """A tag that this run moved names again what it named before: `digest`, or "" if it was new and is deleted."""

    target: str
    reference: str
    digest: str
    replaced: str  # what the run had put there


class ArtifactAdded(Struct, frozen=True):
    """Something that belongs to a staged image is at its destination, before any tag moves there.

    subject: the image, or one of its children, by digest. kind: "signature", "referrer", or the media type of an
    attachment. digest: of the artifact, "" if the program that made it does not report it.
    """

    target: str
    subject: str
    kind: str
    digest: str = ""


class ManifestDeleting(Struct, frozen=True):
    """A clean-up is about to delete a manifest: if it is killed, the same command with this journal continues."""

    target: str  # the repository
    repository: str
    digest: str
    reason: str


class ManifestDeleted(Struct, frozen=True):
    """A clean-up deleted a manifest, or a tag of one that stays. reference: by digest, or the tag."""

    target: str  # the repository
    reference: str
    reason: str


class TargetFinished(Struct, frozen=True):
    """A target has ended. `state` is that of `publish.outcome.State`, or `done` (not publishing)."""

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
    RunStarted
    | RunFinished
    | StepStarted
    | StepFinished
    | StepRetried
    | StepOutput
    | RequestRetried
    | HostTraffic
    | RequestsSaved
    | HostPaused
    | SourcesMissing
    | TagMoving
    | TagMoved
    | TagRestored
    | ArtifactAdded
    | ManifestDeleting
    | ManifestDeleted
    | TargetFinished
    | Noted
    | ProblemFound
)
Emit = Callable[[Event], None]


def ignore(event: Event) -> None:
    """An `Emit` that ignores every event."""
