"""Survey the registries for a plan: what every tag names now, what is missing, what would be sent. Reads only.

Nothing is waited for: a build that is not there yet is reported. The failure of one target or destination is a value,
so that the others are surveyed. What the answers mean is decided in `forecast`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from bakery.errors import BakeryError
from bakery.events import Emit, Noted, ignore
from bakery.oci.digest import Digest
from bakery.oci.reference import LayoutPath, Repository
from bakery.publish.assemble import DEFAULT_OPTIONS, AssemblyOptions, assemble_target, missing_platforms
from bakery.publish.choose import ResolvedSource
from bakery.publish.engine import Engine
from bakery.publish.forecast import (
    DestinationForecast,
    Forecast,
    Foresee,
    TargetForecast,
    at_rest,
    compare,
    forecast,
    held_together,
    judged,
    undecided,
)
from bakery.publish.govern import Governor
from bakery.publish.image import AssembledImage, Lacking
from bakery.publish.plan import Destination, Plan, PlannedTarget
from bakery.publish.policy import PolicyRefused, Verdict
from bakery.publish.progress import DestinationProgress
from bakery.publish.read import read_sources
from bakery.publish.sets import Whole, set_name
from bakery.publish.sources import wait_for_sources
from bakery.retry import Clock
from bakery.tasks import together


class Surveyor(Engine, Protocol):
    """An engine that can also tell what a repository lacks. Only its reading methods are called."""

    async def lacks(self, image: AssembledImage, repository: Repository) -> Lacking:
        """Return what would have to be written to stage the image. If its index is there, so is everything else.

        Raises AuthError if the repository requires a login and none is stored.
        """
        ...


class _Assembled(Struct):
    """What is known of a target before its destinations are looked at."""

    image: AssembledImage | None = None
    digest: Digest | None = None  # that will be published
    platforms: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    failure: Exception | None = None
    notes: tuple[str, ...] = ()


async def survey(
    plan: Plan,
    engine: Surveyor,
    *,
    assembly: AssemblyOptions = DEFAULT_OPTIONS,
    whole: Whole | None = None,
    convert: bool = False,
    foresee: Foresee | None = None,
    clock: Clock,
    emit: Emit = ignore,
) -> Forecast:
    """Return what a run would do with the plan. Nothing is written. whole: what is published whole or not at all.

    convert: convert to SOCI what a run would convert; all its layers are read. Otherwise its digest is unknown.
    foresee: returns what the hooks of a run would note about an image, and raises if it would not be staged.
    """
    surveyor = _Survey(engine, assembly, convert, foresee, clock, emit)
    async with engine:
        targets = await together(surveyor.target(target) for target in plan.targets)
        round_trip_s = await _round_trips(plan, engine, clock)
    if whole is not None:
        sets = {target.uid: set_name(whole, target, target.uid) for target in plan.targets}
        targets = list(held_together(targets, sets, _broken(plan, whole)))
    return forecast(plan, targets, round_trip_s)


def _broken(plan: Plan, whole: Whole) -> set[str]:
    """Return the sets that a part is missing from: a target that is refused, or that has no build."""
    left_out = [image for image, _, _ in plan.not_staged]
    if whole is Whole.TARGET or not left_out:
        return set()
    return {"run"} if whole is Whole.RUN else {f"image {image}" for image in left_out}


class _Survey:
    """Looks at the targets of a plan."""

    def __init__(
        self,
        engine: Surveyor,
        assembly: AssemblyOptions,
        convert: bool,
        foresee: Foresee | None,
        clock: Clock,
        emit: Emit,
    ) -> None:
        self._engine, self._assembly, self._convert, self._foresee = engine, assembly, convert, foresee
        self._clock, self._emit = clock, emit

    async def target(self, target: PlannedTarget) -> TargetForecast:
        """Return what would become of a target. Its failure is in the result."""
        made = await self._assembled(target)
        image, digest = made.image, made.digest
        places = await together(self._destination(target, place, made) for place in target.destinations)
        notes = (*(image.notes if image is not None else ()), *made.notes)
        if digest is None and made.failure is None:
            notes = (*notes, "converted to SOCI before it is published: pass --convert to know its digest")
        return TargetForecast(
            uid=target.uid,
            digest=digest,
            platforms=made.platforms,
            missing_platforms=made.missing,
            destinations=tuple(places),
            blobs=_origins(image),
            failure=made.failure,
            notes=notes,
        )

    async def _assembled(self, target: PlannedTarget) -> _Assembled:
        made, engine = _Assembled(), self._engine
        try:
            found = await wait_for_sources(target, engine, limit_s=0, clock=self._clock, emit=self._emit)
            sources = await read_sources(target, engine, found)
            made.platforms = _platforms(sources)
            children = (child for source in sources for child in source.children)
            made.missing = missing_platforms(children, target.platforms)
            made.image = assemble_target(target, sources, self._assembly)
            if self._foresee is not None:
                made.notes = tuple(await self._foresee(target, made.image))
                for note in made.notes:
                    self._emit(Noted(target.uid, note))
            if target.soci is not None and not self._convert:
                return made
            if target.soci is not None:
                made.image = await engine.convert(made.image, target.soci, towards=())
            made.digest = made.image.digest
        except Exception as error:  # noqa: BLE001  # the border of a target
            made.failure = error
        return made

    async def _destination(self, target: PlannedTarget, place: Destination, made: _Assembled) -> DestinationForecast:
        image, then = made.image, made.digest
        try:
            lacking = await self._engine.lacks(image, place.repository) if image is not None else Lacking()
            now = await self._engine.read_tags(place.repository, place.tags)
            verdicts, is_held = await self._verdicts(target, place, made, now)
        except Exception as error:  # noqa: BLE001  # the border of a destination
            return DestinationForecast(place.repository, undecided(place.tags, then=then), failure=error)
        if image is None:
            return DestinationForecast(place.repository, undecided(place.tags, now=now))
        tags = judged(compare(place.tags, now, then), verdicts)
        if is_held:
            tags = at_rest(tags, "another tag of the target may not move")
        return DestinationForecast(place.repository, tags, lacking.blobs, lacking.manifests)

    async def _verdicts(
        self, target: PlannedTarget, place: Destination, made: _Assembled, now: Mapping[str, Digest | None]
    ) -> tuple[Mapping[str, Verdict], bool]:
        """Return what the tag policy decides about the tags that exist, and whether no tag of the target moves here."""
        if made.image is None or made.digest is None:
            return {}, False
        progress = DestinationProgress(place, previous=dict(now))
        governor = Governor(target, made.image, progress, self._engine, clock=self._clock, note=lambda _text: None)
        try:
            await governor.foresee(is_whole=False)
        except PolicyRefused:
            return progress.verdicts, True
        return progress.verdicts, False


def _platforms(sources: tuple[ResolvedSource, ...]) -> tuple[str, ...]:
    found = (child for source in sources for child in source.children if child.is_image)
    return tuple(dict.fromkeys(str(child.descriptor.platform) for child in found if child.descriptor.platform))


def _origins(image: AssembledImage | None) -> dict[Digest, str]:
    """Return the registry that has each blob, by digest; "" for a layout."""
    if image is None:
        return {}
    return {blob.digest: "" if isinstance(origin, LayoutPath) else origin.registry for blob, origin in image.blobs}


async def _round_trips(plan: Plan, engine: Surveyor, clock: Clock) -> Mapping[str, float]:
    """Return the seconds that one small read takes at each destination registry that answers."""
    first = {place.repository.registry: place for target in plan.targets for place in target.destinations if place.tags}

    async def measured(place: Destination) -> float:
        started = clock.now()
        try:
            await engine.read_tag(place.references[0])
        except BakeryError:
            return 0.0
        return clock.now() - started

    times = await together(measured(place) for place in first.values())
    return dict(zip(first, times, strict=True))
