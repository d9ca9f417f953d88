"""What a publish would do to one target, found by reading only: its index, and which tags would move."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from bakery.events import Emit, ignore
from bakery.oci.digest import Digest
from bakery.oci.reference import TagReference
from bakery.publish.assemble import assemble_target
from bakery.publish.engine import Engine
from bakery.publish.forecast import Foresee
from bakery.publish.image import AssembledImage
from bakery.publish.pipeline import PipelineOptions
from bakery.publish.plan import PlannedTarget
from bakery.publish.read import read_sources
from bakery.publish.sources import wait_for_sources
from bakery.retry import Clock
from bakery.tasks import together


class Preview(Struct, frozen=True):
    """The image that would be published, what each tag names now (None: it does not exist), and what would be noted."""

    image: AssembledImage
    tags: Mapping[TagReference, Digest | None]
    notes: tuple[str, ...] = ()


async def preview(
    target: PlannedTarget,
    engine: Engine,
    *,
    options: PipelineOptions,
    foresee: Foresee | None = None,
    clock: Clock,
    emit: Emit = ignore,
) -> Preview:
    """Return what a publish of the target would do. Nothing is written. Raises the errors that it would have.

    foresee: returns what the hooks of the run would note.
    """
    async with engine:
        limit_s = min(options.wait_limit_s, options.time_budget_s)
        found = await wait_for_sources(target, engine, limit_s=limit_s, clock=clock, emit=emit)
        image = assemble_target(target, await read_sources(target, engine, found), options.assembly)
        notes = () if foresee is None else await foresee(target, image)
        if target.soci is not None:
            image = await engine.convert(image, target.soci, towards=())
        named = await together(engine.read_tags(place.repository, place.tags) for place in target.destinations)
    tags = {
        place.repository.with_tag(tag): digests[tag]
        for place, digests in zip(target.destinations, named, strict=True)
        for tag in place.tags
    }
    return Preview(image, tags, (*image.notes, *notes))
