"""Rolling back what a run did to tags, from its journal or its JSON summary."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from bakery.defaults import TIME_BUDGET_S
from bakery.events import Emit, ignore

if TYPE_CHECKING:
    from bakery.engines.native import NativeEngine
    from bakery.publish.changes import Change
    from bakery.publish.rolled_back import Rollback

_MAX_BYTES: Final = 256 * 1024 * 1024
_HINT: Final = "pass the journal or the JSON summary of the run"


class RollbackRequest(Struct, frozen=True):
    """What to roll back. file: a journal or a JSON summary of a run. time_budget: seconds for the registries."""

    file: Path
    time_budget: float = TIME_BUDGET_S
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


def read_changes(request: RollbackRequest) -> tuple[Change, ...]:
    """Return the changes that the file records. Raises RecordError if it cannot be read, or is not a record."""
    from bakery.app.records import read_record, record_of
    from bakery.oci.canonical import parse_object
    from bakery.publish.changes import changes_of_journal, changes_of_summary, is_summary

    raw = read_record(request.file, limit_bytes=_MAX_BYTES, hint=_HINT)
    with record_of(request.file, hint=_HINT):
        if is_summary(raw):
            document = parse_object(raw, about=request.file, limit_bytes=_MAX_BYTES)
            return changes_of_summary(document, about=request.file)
        return changes_of_journal(raw, about=request.file)


def survey(changes: Sequence[Change], request: RollbackRequest, *, emit: Emit = ignore) -> Rollback:
    """Return what a rollback would do. Registries are only read."""
    from bakery.parallel.root import run_interruptible
    from bakery.publish.rollback import survey

    async def looking() -> Rollback:
        async with _engine(changes, request, emit) as engine:
            return await survey(changes, engine)

    return run_interruptible(looking())


def roll_back(changes: Sequence[Change], request: RollbackRequest, *, emit: Emit = ignore) -> Rollback:
    """Restore the tags, and return what became of each. Raises ExecutorInterrupted after a signal."""
    from bakery.parallel.root import run_interruptible
    from bakery.publish.rollback import roll_back

    async def rolling() -> Rollback:
        async with _engine(changes, request, emit) as engine:
            return await roll_back(changes, engine, emit=emit)

    return run_interruptible(rolling())


def _engine(changes: Sequence[Change], request: RollbackRequest, emit: Emit) -> NativeEngine:
    from bakery.app.engine import make_client
    from bakery.engines.native import NativeEngine
    from bakery.publish.changes import repositories
    from bakery.retry import SystemClock

    places = repositories(changes)
    clock = SystemClock()
    client = make_client(
        request.environment,
        clock=clock,
        emit=emit,
        deadline=clock.now() + request.time_budget,
        hosts=len({place.registry for place in places}),
    )
    client.announce_writes(places)
    return NativeEngine(client)
