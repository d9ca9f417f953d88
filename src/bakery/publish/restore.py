"""Put tags back: after a failure or an interrupt while the tags of a set moved, and for `bakery rollback`.

A tag is only put back while it still names what we put there. The distribution API has no compare-and-set, so another
writer may come between the read and the write; docs/release.md states how long that window is.
"""

from __future__ import annotations

import asyncio
from typing import Final

from bakery.errors import BakeryError, reason
from bakery.events import Emit, TagRestored
from bakery.oci.digest import Digest
from bakery.oci.reference import TagReference
from bakery.publish.engine import Engine
from bakery.publish.image import AssembledImage
from bakery.publish.outcome import Failure, SetFailed
from bakery.publish.plan import LATEST
from bakery.publish.progress import DestinationProgress
from bakery.publish.sets import ReleaseSet
from bakery.tasks import together

RESTORE_S: Final = 60.0  # to restore a set after a failure
INTERRUPTED_S: Final = 9.0  # to restore every set after an interrupt; 10 s are documented
IN_FLIGHT_S: Final = 3.0  # of these, for the moves under way to end
_LAG_S: Final = 5.0  # how long a tag that we moved may be read with its old digest


async def restore_set(one: ReleaseSet, engine: Engine, *, emit: Emit, within_s: float = RESTORE_S) -> None:
    """Put back every tag that the set moved, everywhere. What cannot be put back is recorded with its reason.

    Every delivery that moved a tag and has no failure of its own gets one that names the cause. Never raises.
    """
    begun = [delivery for delivery in one.deliveries if delivery.place.begun]
    work = [
        asyncio.ensure_future(_restore_place(delivery.progress.image, delivery.place, engine, delivery.key[0], emit))
        for delivery in begun
        if delivery.progress.image is not None
    ]
    if work:
        engine.extend(within_s)
        try:
            await asyncio.wait(work, timeout=within_s)
        finally:
            late = [task for task in work if not task.done()]
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
    for delivery in begun:
        place = delivery.place
        settled = place.restored | place.taken | place.stuck.keys()
        for tag in (place.written | place.in_flight) - settled:
            place.stuck[tag] = f"not restored within {within_s:.0f} s"
        if place.failure is None:
            what = f"restored the tags of the {one.name}" if not place.stuck else f"the {one.name} is not whole"
            place.failure = Failure(place.step, SetFailed(what, why=one.broken or "interrupted"))


async def _restore_place(
    image: AssembledImage, place: DestinationProgress, engine: Engine, uid: str, emit: Emit
) -> None:
    """Put back the tags of one destination: `latest` last, as when they moved."""

    async def restore(tag: str) -> None:
        reference, before = place.destination.repository.with_tag(tag), place.previous[tag]
        try:
            if not await is_ours(engine, reference, image.digest, before, moved=tag in place.written):
                if tag in place.written:
                    place.taken.add(tag)
                return
            await put_back(engine, reference, before)
        except Exception as error:  # noqa: BLE001  # listed, so that the others are restored
            place.stuck[tag] = reason(error)
            return
        place.in_flight.discard(tag)
        place.restored.add(tag)
        emit(TagRestored(uid, str(reference), str(before or ""), str(image.digest)))

    left = place.begun - place.restored
    for batch in (left - {LATEST}, left & {LATEST}):
        await together(restore(tag) for tag in sorted(batch))


async def is_ours(engine: Engine, reference: TagReference, ours: Digest, before: Digest | None, *, moved: bool) -> bool:
    """Return whether a tag names what we put there. moved: the registry acknowledged it, so its old digest is lag."""
    found = await engine.read_tag(reference)
    if found == ours or not moved or found not in (None, before):
        return found == ours
    try:
        async with asyncio.timeout(_LAG_S):
            await engine.verify_tag(reference, ours, previous=before)
    except TimeoutError:
        return True  # it lags for long: the acknowledgement counts
    return True


async def put_back(engine: Engine, reference: TagReference, before: Digest | None) -> None:
    """Make a tag name what it named before; delete it if it was new. Raises BakeryError if the registry refuses."""
    if before is not None:
        await engine.set_tag(reference, before)
    elif not await engine.remove_tag(reference):
        raise BakeryError("cannot delete the new tag", about=reference, why="the registry does not allow it")
