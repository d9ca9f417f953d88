"""Stage an image at a destination, before any tag moves there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bakery.publish.engine import Engine
from bakery.publish.image import AssembledImage
from bakery.publish.progress import DestinationProgress
from bakery.tasks import together


async def stage(
    image: AssembledImage, place: DestinationProgress, engine: Engine, *, judge: Callable[[], Awaitable[None]]
) -> None:
    """Upload the image to a destination by digest, and meanwhile read what each of its tags names now.

    judge: called once that is known; raises if no tag may move here, and then the upload ends, too.
    """
    repository, tags = place.destination.repository, place.destination.tags

    async def read_tags() -> None:
        place.previous = dict(await engine.read_tags(repository, tags))
        await judge()

    async def upload() -> None:
        place.wrote_content = await engine.stage(image, repository)

    await together([upload(), read_tags()])
