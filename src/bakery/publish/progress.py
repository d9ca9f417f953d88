"""How far each target is, and the outcome that follows from it at any moment of a run."""

from __future__ import annotations

import asyncio

from msgspec import Struct, field

from bakery.oci.digest import Digest
from bakery.publish.image import AssembledImage
from bakery.publish.outcome import (
    ArtifactOutcome,
    DestinationOutcome,
    Failure,
    PlatformOutcome,
    State,
    Step,
    TagOutcome,
    TargetOutcome,
)
from bakery.publish.plan import Destination, PlannedTarget
from bakery.publish.policy import Action, PolicyRefused, Verdict


class DestinationProgress(Struct):
    """One target at one destination."""

    destination: Destination
    previous: dict[str, Digest | None] = field(default_factory=dict)  # what each tag named before this run, once read
    wrote_content: bool = False  # something of the image was missing here
    begun: set[str] = field(default_factory=set)  # tags that this run tried to move, or is about to
    in_flight: set[str] = field(default_factory=set)  # tags whose move has had no response yet
    written: set[str] = field(default_factory=set)  # tags that this run moved
    restored: set[str] = field(default_factory=set)  # tags that name again what they named before
    taken: set[str] = field(default_factory=set)  # tags that something else moved after this run did
    stuck: dict[str, str] = field(default_factory=dict)  # why a tag could not be restored
    verdicts: dict[str, Verdict] = field(default_factory=dict)  # of the tag policy, for tags that exist
    artifacts: tuple[ArtifactOutcome, ...] = ()  # what belongs to the image and is here
    verified: set[str] = field(default_factory=set)
    staged: asyncio.Event = field(default_factory=asyncio.Event)  # or failed: it no longer transfers content
    step: Step = Step.STAGE  # the current or last one
    failure: Failure | None = None

    @property
    def is_done(self) -> bool:
        """Whether every tag was verified."""
        left = set(self.destination.tags) - self.held - self.taken
        return self.verified.issuperset(left) and self.step is Step.VERIFY

    @property
    def refused(self) -> list[str]:
        """The tags that a policy refuses to move."""
        return [tag for tag, verdict in self.verdicts.items() if verdict.action is Action.REFUSE]

    @property
    def held(self) -> set[str]:
        """The tags that a policy leaves where they are."""
        return {tag for tag, verdict in self.verdicts.items() if verdict.action is not Action.MOVE}

    def outcome(self, target_failed: bool) -> DestinationOutcome:
        """Return the outcome at this destination."""
        tags = tuple(self._tag_outcome(tag) for tag in self.destination.tags)
        if self.failure is not None or target_failed:
            state = State.REFUSED if self.is_refused else State.FAILED
        elif any(tag.state in (State.STOPPED, State.UNSURE, State.MOVED) for tag in tags):
            state = State.STOPPED
        else:
            state = self.done_state
        return DestinationOutcome(self.destination.repository, state, tags, self.failure, self.artifacts)

    @property
    def is_refused(self) -> bool:
        """Whether a policy is the reason of the failure here."""
        return self.failure is not None and isinstance(self.failure.error, PolicyRefused)

    @property
    def done_state(self) -> State:
        """The state of a destination where everything succeeded."""
        if self.written or (self.wrote_content and not self.destination.tags):
            return State.PUBLISHED
        return State.REPAIRED if self.wrote_content else State.UNCHANGED

    def _tag_outcome(self, tag: str) -> TagOutcome:
        if tag in self.restored:
            state = State.RESTORED
        elif tag in self.taken:
            state = State.TAKEN
        elif tag in self.held and tag not in self.written:
            state = State.REFUSED if tag in self.refused else State.SKIPPED
        elif tag in self.verified:
            state = State.PUBLISHED if tag in self.written else State.UNCHANGED
        elif tag in self.written:
            state = State.MOVED
        elif tag in self.in_flight:
            state = State.UNSURE
        else:
            held_back = self.failure is None or (self.failure.is_consequence and tag not in self.begun)
            state = State.STOPPED if held_back else State.FAILED
        return TagOutcome(tag, state, self.previous.get(tag), self.stuck.get(tag, ""))


class TargetProgress(Struct):
    """One target of a run."""

    target: PlannedTarget
    places: tuple[DestinationProgress, ...] = ()
    image: AssembledImage | None = None
    notes: list[str] = field(default_factory=list)
    step: Step = Step.PLAN  # the current or last one, before any destination
    failure: Failure | None = None
    ended: bool = False
    elapsed_s: float = 0.0

    @property
    def state(self) -> State:
        """The state of the target as a whole."""
        failed = [place for place in self.places if place.failure]
        if self.failure is not None or failed:
            own = [place for place in failed if place.failure and not place.failure.is_consequence]
            refused = self.failure is None and bool(own) and all(place.is_refused for place in own)
            return State.REFUSED if refused else State.FAILED
        if not self.ended:
            return State.STOPPED
        states = {place.done_state for place in self.places}
        return next((state for state in (State.PUBLISHED, State.REPAIRED) if state in states), State.UNCHANGED)

    def outcome(self) -> TargetOutcome:
        """Return the outcome of the target."""
        target, image = self.target, self.image
        return TargetOutcome(
            target.uid,
            target.image,
            target.version,
            target.variant,
            target.os,
            self.state,
            image.digest if image else None,
            _platforms(image) if image else (),
            tuple(place.outcome(self.failure is not None) for place in self.places),
            self.failure,
            tuple(self.notes),
            self.elapsed_s,
            image.index.descriptor if image else None,
        )


def _platforms(image: AssembledImage) -> tuple[PlatformOutcome, ...]:
    return tuple(
        PlatformOutcome(
            str(child.descriptor.platform or ""),
            child.descriptor.digest,
            sum(blob.size for blob in child.manifest.blobs),
            len(child.manifest.layers),
        )
        for child in image.children
        if child.is_image
    )
