"""Stage an image at a destination, before any tag moves there."""

from __future__ import annotations

from bakery.publish.engine import Engine
from bakery.publish.image import AssembledImage
from bakery.publish.progress import DestinationProgress
from bakery.tasks import together


async def stage(image: AssembledImage, place: DestinationProgress, engine: Engine) -> None:
    """Upload the image to a destination by digest, and meanwhile read what each of its tags names now."""
    repository, tags = place.destination.repository, place.destination.tags

    async def read_tags() -> None:
        place.previous = dict(await engine.read_tags(repository, tags))

    async def upload() -> None:
        place.wrote_content = await engine.stage(image, repository)

    await together([upload(), read_tags()])
