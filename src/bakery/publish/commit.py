"""Move tags: who may move them when in one repository, and in which order those of one target move."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from bakery.events import Emit, TagMoved, TagMoving
from bakery.publish.engine import Engine
from bakery.publish.image import AssembledImage
from bakery.publish.plan import LATEST
from bakery.publish.progress import DestinationProgress
from bakery.tasks import each_to_its_end


class CommitOrder:
    """The order in which the targets of one repository commit.

    No target commits before every one has staged or failed; then they commit one after another, in the given order.
    Registries list tags by push time, so the newest version must be written last (pipeline.md 1, "push order").
    """

    def __init__(self, order: Sequence[str]) -> None:
        self._order = tuple(order)
        self._staging = set(order)  # neither staged nor failed yet
        self._waiting = set(order)  # not done yet
        self._may_commit = {uid: asyncio.Event() for uid in order}
        self._next = 0

    def staged(self, uid: str) -> None:
        """Record that a target has staged and no longer delays the others."""
        self._staging.discard(uid)
        self._advance()

    def leave(self, uid: str) -> None:
        """Record that a target has committed or never will."""
        self._staging.discard(uid)
        self._waiting.discard(uid)
        self._advance()

    async def turn(self, uid: str) -> None:
        """Return when it is this target's turn. It must `leave` afterwards, whatever happens."""
        await self._may_commit[uid].wait()

    def _advance(self) -> None:
        if self._staging:
            return
        while self._next < len(self._order) and self._order[self._next] not in self._waiting:
            self._next += 1
        if self._next < len(self._order):
            self._may_commit[self._order[self._next]].set()


class Moves:
    """The moves of a run that are under way. One that is interrupted goes on until `end`: what it did is then known."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def finish(self, move: Coroutine[Any, Any, None]) -> None:
        """Carry out a move. If the caller is cancelled, the move is not."""
        task = asyncio.ensure_future(move)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        await asyncio.shield(task)

    async def end(self, *, within_s: float) -> None:
        """Wait for the moves under way, and cancel those that take longer."""
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=within_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved: the caller may be gone


async def move_tags(
    image: AssembledImage, place: DestinationProgress, engine: Engine, moves: Moves, *, uid: str, emit: Emit
) -> None:
    """Move every tag of a destination that does not name the image yet. `latest` is last, the others move together.

    All moves finish before a failure is raised; then `latest` stays where it is.
    """

    async def move(tag: str) -> None:
        reference, previous = place.destination.repository.with_tag(tag), place.previous[tag]
        fields = (uid, str(reference), str(image.digest), str(previous or ""))
        emit(TagMoving(*fields))  # in the journal before the request is sent
        place.begun.add(tag)
        place.in_flight.add(tag)
        try:
            await engine.tag(image, reference, previous=previous)
        except Exception:
            place.in_flight.discard(tag)  # refused. If it is cancelled instead, it stays: the tag may have moved
            raise
        place.in_flight.discard(tag)
        place.written.add(tag)
        emit(TagMoved(*fields))

    moving = [tag for tag in place.destination.tags if place.previous[tag] != image.digest]
    for batch in ([tag for tag in moving if tag != LATEST], [tag for tag in moving if tag == LATEST]):
        await each_to_its_end(moves.finish(move(tag)) for tag in batch)
