"""Before any tag: wait for the builds of a target, and stage the image at a destination.

Source: pipeline.md 5.3 ("→ ours": each target waits for its own builds, missing ones are named).
"""

from __future__ import annotations

from bakery.errors import NotFound
from bakery.events import Emit, SourcesMissing
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import DigestReference
from bakery.polling import poll_delays
from bakery.publish.engine import Engine
from bakery.publish.image import AssembledImage
from bakery.publish.plan import PlannedTarget
from bakery.publish.progress import DestinationProgress
from bakery.retry import Clock
from bakery.tasks import together


async def wait_for_builds(
    target: PlannedTarget, engine: Engine, *, limit_s: float, clock: Clock, emit: Emit
) -> dict[DigestReference, RawManifest]:
    """Poll for every build of the target until it is in its registry.

    Raises NotFound, naming the missing builds, after `limit_s` seconds; any other failure ends the waiting at once.
    """
    pending = [build.reference for build in target.builds]
    found: dict[DigestReference, RawManifest] = {}
    started, delays = clock.now(), poll_delays()
    while True:
        results = await together(engine.find(reference) for reference in pending)
        found |= {at: content for at, content in zip(pending, results, strict=True) if content is not None}
        pending = [reference for reference in pending if reference not in found]
        if not pending:
            return found
        waited_s, delay_s = clock.now() - started, next(delays)
        if waited_s + delay_s > limit_s:
            raise NotFound(
                f"cannot find {len(pending)} of {len(target.builds)} builds:",
                about=", ".join(str(reference) for reference in pending),
                status=404,
                why=f"still missing after {waited_s:.0f} s",
                hint="check that the build pushed them, or wait longer with --wait-timeout and --time-budget",
            )
        emit(SourcesMissing(target.uid, tuple(str(reference) for reference in pending), waited_s, limit_s))
        await clock.sleep(delay_s)


async def stage(image: AssembledImage, place: DestinationProgress, engine: Engine) -> None:
    """Upload the image to a destination by digest, and meanwhile read what each of its tags names now."""
    repository, tags = place.destination.repository, place.destination.tags

    async def read_tags() -> None:
        place.previous = dict(await engine.read_tags(repository, tags))

    await together([engine.stage(image, repository), read_tags()])
