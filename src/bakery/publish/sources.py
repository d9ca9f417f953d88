"""Wait for the sources of a target.

Source: pipeline.md 5.3 ("→ ours": each target waits for its own sources, missing ones are named).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bakery.errors import NotFound
from bakery.events import Emit, Noted, SourcesMissing
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import DigestReference, SourceReference
from bakery.polling import poll_delays
from bakery.publish.engine import Engine
from bakery.publish.plan import PlannedTarget
from bakery.retry import Clock
from bakery.tasks import together


async def wait_for_sources(
    target: PlannedTarget, engine: Engine, *, limit_s: float, clock: Clock, emit: Emit
) -> dict[SourceReference, RawManifest]:
    """Poll for every source of the target until it is in its registry. A tag is resolved once.

    Raises NotFound, naming the missing sources, after `limit_s` seconds (at once if that is 0), and at once for one
    that must exist; any other failure ends the waiting at once.
    """
    pending = list(dict.fromkeys(source.reference for source in target.sources))
    must_exist = {source.reference for source in target.sources if source.must_exist}
    found: dict[SourceReference, RawManifest] = {}
    started, delays = clock.now(), poll_delays()
    while True:
        results = await together(engine.find(reference) for reference in pending)
        found |= {at: content for at, content in zip(pending, results, strict=True) if content is not None}
        pending = [reference for reference in pending if reference not in found]
        if not pending:
            _report_pinned(target, found, emit)
            return found
        waited_s, delay_s = clock.now() - started, next(delays)
        if lost := [reference for reference in pending if reference in must_exist]:
            raise NotFound("cannot find", about=_names(lost), status=404, why="it must exist already")
        if waited_s + delay_s > limit_s:
            raise _missing(target, pending, waited_s, may_wait=limit_s > 0)
        emit(SourcesMissing(target.uid, tuple(str(reference) for reference in pending), waited_s, limit_s))
        await clock.sleep(delay_s)


def _report_pinned(target: PlannedTarget, found: Mapping[SourceReference, RawManifest], emit: Emit) -> None:
    for reference, content in found.items():
        if not isinstance(reference, DigestReference):
            emit(Noted(target.uid, f"{reference} is {content.descriptor.digest}", warning=False))


def _missing(target: PlannedTarget, pending: Sequence[SourceReference], waited_s: float, *, may_wait: bool) -> NotFound:
    check = "check that the build pushed them"
    return NotFound(
        f"cannot find {len(pending)} of {len(target.sources)} builds:",
        about=_names(pending),
        status=404,
        why=f"still missing after {waited_s:.0f} s" if may_wait else "not found",
        hint=f"{check}, or wait longer with --wait-timeout and --time-budget" if may_wait else check,
        error_code="publish/source-missing",
    )


def _names(references: Iterable[SourceReference]) -> str:
    return ", ".join(str(reference) for reference in references)
