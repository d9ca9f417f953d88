"""The result of a run: target × destination × tag, and the exit code that follows. Values only."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from bakery.errors import AuthError, BakeryError, ExitCode
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.publish.plan import SkippedTarget

SIGNATURE: Final = "signature"  # the kind of such an artifact


class Step(StrEnum):
    """The steps of the pipeline."""

    PLAN = "plan"
    WAIT = "wait"
    ASSEMBLE = "assemble"
    SOCI = "soci"
    STAGE = "stage"
    COMMIT = "commit"
    VERIFY = "verify"


class State(StrEnum):
    """How something ended."""

    PUBLISHED = "published"  # written or moved by this run, and read back
    REPAIRED = "repaired"  # missing content was put back; every tag named it already
    UNCHANGED = "unchanged"  # everything was in place already
    MOVED = "moved"  # of a tag: written by this run, but not read back before the run or its step ended
    UNSURE = "unsure"  # of a tag: the request was in flight when the run ended
    RESTORED = "restored"  # of a tag: it names what it named before the run, or is deleted again
    TAKEN = "taken"  # of a tag: moved by this run, and since then by something else; left as it is
    SKIPPED = "skipped"  # of a tag: it names a newer image (--no-downgrade)
    REFUSED = "refused"  # a policy does not let a tag move
    FAILED = "failed"
    STOPPED = "stopped"  # interrupted before it was done


class SetFailed(BakeryError):
    """A destination is fine, but its set is not: its tags did not move, or were restored (--all-or-nothing)."""

    error_code = "publish/set-failed"


class Failure(Struct, frozen=True):
    """In which step a target or destination failed, and why."""

    step: Step
    error: Exception

    @property
    def is_authentication(self) -> bool:
        """Whether other credentials might have helped."""
        return isinstance(self.error, AuthError)

    @property
    def is_consequence(self) -> bool:
        """Whether it only follows from the failure of another target or destination."""
        return isinstance(self.error, SetFailed)


class TagOutcome(Struct, frozen=True):
    """One tag at one destination. previous: what it named before this run; None if it was new or is unknown.

    problem: why it could not be restored, or "".
    """

    tag: str
    state: State
    previous: Digest | None = None
    problem: str = ""


class ArtifactOutcome(Struct, frozen=True):
    """Something that belongs to an image and is at a destination: a signature, an attachment, a copied referrer.

    subject: the index, or one of its children. kind: "signature", "referrer", "cosign.sig" (or .att, .sbom), or the
    media type of an attachment. digest: None if the program that made it does not report it.
    """

    subject: Digest
    kind: str
    digest: Digest | None = None


class DestinationOutcome(Struct, frozen=True):
    """One repository of one target."""

    repository: Repository
    state: State
    tags: tuple[TagOutcome, ...]
    failure: Failure | None = None
    artifacts: tuple[ArtifactOutcome, ...] = ()


class PlatformOutcome(Struct, frozen=True):
    """One image of the published index. size_bytes: config and layers together."""

    platform: str
    digest: Digest
    size_bytes: int
    layers: int


class TargetOutcome(Struct, frozen=True):
    """One target. digest: of the published index; None if it was never assembled. index: its descriptor."""

    uid: str
    image: str
    version: str
    variant: str
    os: str
    state: State
    digest: Digest | None
    platforms: tuple[PlatformOutcome, ...]
    destinations: tuple[DestinationOutcome, ...]
    failure: Failure | None = None  # of the target as a whole, before any destination
    notes: tuple[str, ...] = ()
    elapsed_s: float = 0.0
    index: Descriptor | None = None

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Its own failure and those of its destinations."""
        own = (self.failure,) if self.failure else ()
        return own + tuple(place.failure for place in self.destinations if place.failure)


class Outcome(Struct, frozen=True):
    """A whole run."""

    targets: tuple[TargetOutcome, ...]
    skipped: tuple[SkippedTarget, ...] = ()
    warnings: tuple[str, ...] = ()
    interrupted: bool = False
    elapsed_s: float = 0.0
    signum: int = 2  # the signal, if interrupted

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Every failure of every target."""
        return tuple(failure for target in self.targets for failure in target.failures)

    @property
    def exit_code(self) -> ExitCode:
        """0 done · 1 a target failed · 4 every failure is an authentication failure · 130, 143 (pipeline.md 5.9)."""
        if self.interrupted:
            return ExitCode(128 + self.signum)
        failures = self.failures
        if not failures:
            return ExitCode.DONE
        causes = [failure for failure in failures if not failure.is_consequence]
        if causes and all(failure.is_authentication for failure in causes):
            return ExitCode.AUTHENTICATION
        return ExitCode.FAILED
