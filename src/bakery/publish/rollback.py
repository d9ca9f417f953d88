"""Take back what a run did to tags: each names again what it named before, where it still names what the run put there.

Every tag stands for itself, and what was restored stays restored when another fails. A second rollback finds tags that
are back and leaves them; two at once write the same and end in the same state. A rollback moves tags as a run does,
with the same events, so that its journal can be rolled back too. Source: docs/release.md, "Rollback".
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from bakery.errors import BakeryError, ExitCode, NotFound, reason
from bakery.events import Emit, RunFinished, RunStarted, TagMoved, TagMoving, ignore
from bakery.ledger import Ledger, owning
from bakery.oci import manifest as views
from bakery.oci.digest import Digest
from bakery.oci.manifest import Index
from bakery.oci.reference import DigestReference
from bakery.publish.changes import Change
from bakery.publish.engine import Engine
from bakery.publish.plan import LATEST
from bakery.publish.restore import put_back
from bakery.publish.rolled_back import Found, Rollback, RolledBack
from bakery.tasks import together

VERIFY_S: Final = 60.0  # how long a tag that was restored may be read with another digest


async def survey(changes: Sequence[Change], engine: Engine) -> Rollback:
    """Return what a rollback would do. Registries are only read."""
    return await _each(changes, engine, ignore, is_dry=True)


async def roll_back(changes: Sequence[Change], engine: Engine, *, emit: Emit) -> Rollback:
    """Restore every tag that may be restored: `latest` last, as when they moved."""
    emit(RunStarted("rollback"))
    state = "interrupted"
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        done = await _each(changes, engine, emit, is_dry=False)
        state = "done" if done.exit_code is ExitCode.DONE else "failed"
        return done
    finally:
        emit(RunFinished(state, loop.time() - started))


async def _each(changes: Sequence[Change], engine: Engine, emit: Emit, *, is_dry: bool) -> Rollback:
    ordinary = [change for change in changes if change.tag.tag != LATEST]
    latest = [change for change in changes if change.tag.tag == LATEST]
    done: list[RolledBack] = []
    async with owning() as owner:
        rolling = _Rolling(engine, emit, Ledger(owner), is_dry=is_dry)
        for batch in (ordinary, latest):
            done += await together(rolling.one(change) for change in batch)
    return Rollback(tuple(done))


class _Rolling:
    """The tags of one rollback, and the manifests that are known to be readable."""

    def __init__(self, engine: Engine, emit: Emit, readable: Ledger[None], *, is_dry: bool) -> None:
        self._engine, self._emit, self._readable, self._is_dry = engine, emit, readable, is_dry

    async def one(self, change: Change) -> RolledBack:
        try:
            return await self._restore(change)
        except BakeryError as error:
            return RolledBack(change, Found.FAILED, error=error)
        except Exception as error:  # noqa: BLE001  # a bug at one tag does not stop the others
            return RolledBack(change, Found.FAILED, error=BakeryError("cannot restore tag", why=reason(error)))

    async def _restore(self, change: Change) -> RolledBack:
        named = await self._engine.read_tag(change.tag)
        if named == change.before:
            return RolledBack(change, Found.ALREADY, named)
        if named not in change.ours:
            return RolledBack(change, Found.LEFT, named)
        if change.before is not None:
            reference = change.tag.repository.with_digest(change.before)
            await self._readable.once(reference, partial(self._check_readable, reference))
        if self._is_dry:
            return RolledBack(change, Found.RESTORE, named)
        fields = ("", str(change.tag), str(change.before or ""), str(named or ""))
        self._emit(TagMoving(*fields))
        await put_back(self._engine, change.tag, change.before)
        self._emit(TagMoved(*fields))
        await self._verify(change, named)
        return RolledBack(change, Found.RESTORED, named)

    async def _verify(self, change: Change, named: Digest | None) -> None:
        if change.before is None:
            return  # the registry acknowledged that it deleted the tag
        try:
            async with asyncio.timeout(VERIFY_S):
                await self._engine.verify_tag(change.tag, change.before, previous=named)
        except TimeoutError:
            raise BakeryError(
                "cannot verify tag",
                about=change.tag,
                why=f"it still names {named} {VERIFY_S:.0f} s after it was restored",
                hint="check which other run writes this tag, then run the rollback again",
            ) from None

    async def _check_readable(self, reference: DigestReference) -> None:
        """Raise NotFound unless a manifest and, if it is an index, each manifest in it can be read."""
        found = await self._engine.find(reference)
        lost = [reference] if found is None else []
        if found is not None:
            view = views.parse(found.raw, media_type=found.descriptor.media_type, about=reference)
            if isinstance(view, Index):
                children = [reference.repository.with_digest(entry.digest) for entry in view.manifests]
                seen = await together(self._engine.find(child) for child in children)
                lost = [child for child, one in zip(children, seen, strict=True) if one is None]
        if lost:
            why = f"{lost[0].digest} is no longer in the repository"
            hint = "publish that release again; --keep-previous keeps what tags named before"
            raise NotFound("cannot restore", about=reference, status=404, why=why, hint=hint)
