"""What a run would do: values, and the comparison of what tags name now with what they will name. Pure.

`publish.survey` reads the registries and fills them in. A digest is unknown (None) if the target cannot be assembled,
or if it is converted to SOCI first: its layers would have to be read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.publish.image import AssembledImage
from bakery.publish.plan import Plan, PlannedTarget, RefusedTarget, SkippedTarget
from bakery.publish.policy import Action, Verdict

BYTES_PER_S: Final = 25_000_000  # assumed for the estimate: what a hosted CI runner gets from one registry
AT_ONCE: Final = 16  # small requests to one host
_ROUNDS: Final = 6  # that follow each other: read, look, upload, put, tag, read back
Foresee = Callable[[PlannedTarget, AssembledImage], Awaitable[Sequence[str]]]  # what a run would note about an image


class Change(StrEnum):
    """What becomes of a tag."""

    NEW = "new"
    MOVES = "moves"
    EQUAL = "equal"
    REFUSED = "refused"  # by policy
    STAYS = "stays"  # by policy, with a note
    UNKNOWN = "unknown"


class TagForecast(Struct, frozen=True):
    """One tag: what it names now (None: it does not exist, or could not be read), and what it will name."""

    tag: str
    change: Change
    now: Digest | None = None
    then: Digest | None = None
    reason: str = ""


class DestinationForecast(Struct, frozen=True):
    """One repository of a target. lacking: blobs that it does not have; manifests: how many it does not have.

    failure: why it cannot be published to, such as a missing login.
    """

    repository: Repository
    tags: tuple[TagForecast, ...]
    lacking: tuple[Descriptor, ...] = ()
    manifests: int = 0
    failure: Exception | None = None


class TargetForecast(Struct, frozen=True):
    """One target. blobs: where each blob of its images is now, by digest. failure: why it cannot be published."""

    uid: str
    digest: Digest | None
    platforms: tuple[str, ...]
    missing_platforms: tuple[str, ...]
    destinations: tuple[DestinationForecast, ...]
    blobs: Mapping[Digest, str] = field(default_factory=dict)
    failure: Exception | None = None
    notes: tuple[str, ...] = ()


class Cost(Struct, frozen=True):
    """What a run would transfer. seconds: an estimate."""

    send_bytes: int = 0
    send_blobs: int = 0
    mount_blobs: int = 0
    requests: int = 0
    seconds: float = 0.0


class Forecast(Struct, frozen=True):
    """What a run would do with a plan."""

    targets: tuple[TargetForecast, ...]
    refused: tuple[RefusedTarget, ...] = ()
    skipped: tuple[SkippedTarget, ...] = ()
    warnings: tuple[str, ...] = ()
    cost: Cost = Cost()

    @property
    def would_fail(self) -> bool:
        """Whether the run would fail as things are now."""
        return bool(self.refused) or any(
            target.failure is not None
            or any(
                place.failure is not None or any(tag.change is Change.REFUSED for tag in place.tags)
                for place in target.destinations
            )
            for target in self.targets
        )

    def count(self, change: Change) -> int:
        """Return how many tags change in this way."""
        return sum(
            tag.change is change for target in self.targets for place in target.destinations for tag in place.tags
        )


def compare(tags: Iterable[str], now: Mapping[str, Digest | None], then: Digest | None) -> tuple[TagForecast, ...]:
    """Return what becomes of each tag. now: what those that exist name. then: what all will name; None: unknown."""
    return tuple(_compared(tag, now.get(tag), then) for tag in tags)


def _compared(tag: str, now: Digest | None, then: Digest | None) -> TagForecast:
    if now is None:
        return TagForecast(tag, Change.NEW, None, then)
    if then is None:
        return TagForecast(tag, Change.UNKNOWN, now)
    return TagForecast(tag, Change.EQUAL if now == then else Change.MOVES, now, then)


def judged(tags: Iterable[TagForecast], verdicts: Mapping[str, Verdict]) -> tuple[TagForecast, ...]:
    """Return the tags with what the tag policy decides about them."""
    return tuple(_judged(tag, verdicts[tag.tag]) if tag.tag in verdicts else tag for tag in tags)


def _judged(tag: TagForecast, verdict: Verdict) -> TagForecast:
    change = {Action.REFUSE: Change.REFUSED, Action.SKIP: Change.STAYS}.get(verdict.action, tag.change)
    return replace(tag, change=change, reason=verdict.text)


def undecided(
    tags: Iterable[str], *, now: Mapping[str, Digest | None] | None = None, then: Digest | None = None
) -> tuple[TagForecast, ...]:
    """Return the tags of a target that cannot be published, or of a repository that cannot be read."""
    return tuple(TagForecast(tag, Change.UNKNOWN, (now or {}).get(tag), then) for tag in tags)


def cost_of(targets: Sequence[TargetForecast], round_trip_s: Mapping[str, float]) -> Cost:
    """Return what publishing these targets transfers. round_trip_s: measured, by registry.

    A blob is sent once to each registry, however many targets need it; from then on, and if its source is in the same
    registry, it is mounted. Every lacking blob takes two requests (or one for a mount) and every lacking manifest two;
    what is there takes one, and so does each tag that is equal.
    """
    sent: set[tuple[str, Digest]] = set()
    send_bytes = send_blobs = mount_blobs = 0
    requests: dict[str, int] = {}
    for target in targets:
        for place in target.destinations:
            registry, lacking = place.repository.registry, {blob.digest for blob in place.lacking}
            moving = sum(tag.change in (Change.NEW, Change.MOVES, Change.UNKNOWN) for tag in place.tags)
            needed = 1 + len(target.blobs) + 2 * place.manifests + len(place.tags) + 2 * moving
            for blob in place.lacking:
                mounted = target.blobs.get(blob.digest) == registry or (registry, blob.digest) in sent
                sent.add((registry, blob.digest))
                mount_blobs += mounted
                send_blobs += not mounted
                send_bytes += 0 if mounted else blob.size
                needed += 1 if mounted else 2
            requests[registry] = requests.get(registry, 0) + needed
            for digest in lacking:
                source = target.blobs.get(digest, registry)
                requests[source] = requests.get(source, 0) + (source != registry)
    waits = (
        round_trip_s.get(registry, 0.0) * (_ROUNDS + count / AT_ONCE) for registry, count in requests.items() if count
    )
    seconds = max(waits, default=0.0) + send_bytes / BYTES_PER_S
    return Cost(send_bytes, send_blobs, mount_blobs, sum(requests.values()), seconds)


def held_together(
    targets: Sequence[TargetForecast], sets: Mapping[str, str], broken: Iterable[str] = ()
) -> tuple[TargetForecast, ...]:
    """Return the targets with the tags of a set at rest if a part of it would fail (--all-or-nothing).

    sets: the set of each target by uid, such as "image app" or "run". broken: those that fail for another reason.
    """
    failing = set(broken) | {
        sets[target.uid]
        for target in targets
        for place in target.destinations
        if target.failure is not None
        or place.failure is not None
        or any(tag.change is Change.REFUSED for tag in place.tags)
    }

    def held(target: TargetForecast) -> TargetForecast:
        name = sets[target.uid]
        if name not in failing:
            return target
        reason = f"another part of the {name} would fail"
        places = (replace(place, tags=at_rest(place.tags, reason)) for place in target.destinations)
        return replace(target, destinations=tuple(places))

    return tuple(held(target) for target in targets)


def at_rest(tags: Iterable[TagForecast], reason: str) -> tuple[TagForecast, ...]:
    """Return the tags, with those that would move staying where they are for this reason."""
    moving = (Change.NEW, Change.MOVES)
    return tuple(replace(tag, change=Change.STAYS, reason=reason) if tag.change in moving else tag for tag in tags)


def forecast(plan: Plan, targets: Sequence[TargetForecast], round_trip_s: Mapping[str, float]) -> Forecast:
    """Return the forecast of a plan's targets."""
    return Forecast(tuple(targets), plan.refused, plan.skipped, plan.warnings, cost_of(targets, round_trip_s))


def as_planned(plan: Plan) -> Forecast:
    """Return the forecast of a plan without a survey: what tags name, and will name, is unknown."""
    targets = [
        TargetForecast(
            uid=target.uid,
            digest=None,
            platforms=target.platforms,
            missing_platforms=(),
            destinations=tuple(
                DestinationForecast(place.repository, undecided(place.tags)) for place in target.destinations
            ),
        )
        for target in plan.targets
    ]
    return forecast(plan, targets, {})
