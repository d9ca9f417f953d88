"""Move tags: who may move them when in one repository, and in which order those of one target move."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from bakery.events import Emit, TagMoved, TagMoving
from bakery.publish.engine import Engine, TagChanged
from bakery.publish.govern import Governor
from bakery.publish.image import AssembledImage
from bakery.publish.plan import LATEST
from bakery.publish.progress import DestinationProgress
from bakery.retry import Clock
from bakery.tasks import each_to_its_end

_ATTEMPTS: Final = 3  # to move a tag that changes between the look at it and its conditional write


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


class TagMover:
    """Moves the tags of one target at one destination, as the policy allows."""

    def __init__(
        self,
        image: AssembledImage,
        place: DestinationProgress,
        engine: Engine,
        governor: Governor,
        *,
        moves: Moves,
        clock: Clock,
        uid: str,
        emit: Emit,
    ) -> None:
        self._image, self._place, self._engine, self._governor = image, place, engine, governor
        self._moves, self._clock, self._uid, self._emit = moves, clock, uid, emit

    async def move_all(self) -> None:
        """Move every tag that does not name the image yet. `latest` is last, the others move together.

        All moves finish before a failure is raised; then `latest` stays where it is. What the policy holds back is not
        a failure here: Governor.check raises it.
        """
        place = self._place
        moving = [tag for tag in place.destination.tags if place.previous[tag] != self._image.digest]
        for batch in ([tag for tag in moving if tag != LATEST], [tag for tag in moving if tag == LATEST]):
            await each_to_its_end(self._moves.finish(self._move(tag)) for tag in batch if tag not in place.held)

    async def move_again(self) -> None:
        """Move those tags once more that another run set to an older image at the same time (`--if-newer`)."""
        lost = await self._governor.after_window(sorted(self._place.written))
        await each_to_its_end(self._moves.finish(self._write(tag)) for tag in lost)

    async def _move(self, tag: str) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            began = self._clock.now()
            if not await self._governor.right_before(tag):
                return
            try:
                await self._write(tag)
            except TagChanged:
                if attempt == _ATTEMPTS:
                    raise
            else:
                self._governor.wrote(tag, began)
                return

    async def _write(self, tag: str) -> None:
        place, digest = self._place, self._image.digest
        reference, previous = place.destination.repository.with_tag(tag), place.previous[tag]
        fields = (self._uid, str(reference), str(digest), str(previous or ""))
        self._emit(TagMoving(*fields))  # in the journal before the request is sent
        place.begun.add(tag)
        place.in_flight.add(tag)
        try:
            bound = self._governor.binds(tag)
            await self._engine.tag(self._image, reference, previous=previous, unmoved=bound)
        except Exception:
            place.in_flight.discard(tag)  # refused. If it is cancelled instead, it stays: the tag may have moved
            raise
        place.in_flight.discard(tag)
        place.written.add(tag)
        self._emit(TagMoved(*fields))
