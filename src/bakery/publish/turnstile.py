"""The order of commits in one repository. Decides who may move tags and when; moves nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence


class Turnstile:
    """Nobody passes before everyone has staged or failed; then they pass one after another, in the order given.

    Registries list tags by push time, so the newest version must be written last (pipeline.md 1, "push order").
    """

    def __init__(self, order: Sequence[str]) -> None:
        self._order = tuple(order)
        self._absent = set(order)  # neither staged nor failed yet
        self._inside = set(order)  # not through yet
        self._may_pass = {name: asyncio.Event() for name in order}
        self._next = 0

    def arrive(self, name: str) -> None:
        """This one has staged (or failed) and will not delay the others by staging any more."""
        self._absent.discard(name)
        self._advance()

    def leave(self, name: str) -> None:
        """This one is through, or will never come."""
        self._absent.discard(name)
        self._inside.discard(name)
        self._advance()

    async def turn(self, name: str) -> None:
        """Return when it is this one's turn. It must `leave` afterwards, whatever happens."""
        await self._may_pass[name].wait()

    def _advance(self) -> None:
        if self._absent:
            return
        while self._next < len(self._order) and self._order[self._next] not in self._inside:
            self._next += 1
        if self._next < len(self._order):
            self._may_pass[self._order[self._next]].set()
