"""Verify a publish: every tag is read back until it names the image."""

from __future__ import annotations

from bakery.publish.engine import Engine
from bakery.publish.image import AssembledImage
from bakery.publish.progress import DestinationProgress
from bakery.tasks import each_to_its_end


async def verify_tags(image: AssembledImage, place: DestinationProgress, engine: Engine) -> None:
    """Read every tag of a destination back that is ours. All are read before a failure is raised."""

    async def verify(tag: str) -> None:
        reference = place.destination.repository.with_tag(tag)
        await engine.verify_tag(reference, image.digest, previous=place.previous[tag])
        place.verified.add(tag)

    left = place.held | place.taken
    await each_to_its_end(verify(tag) for tag in place.destination.tags if tag not in left)
