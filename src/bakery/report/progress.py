"""A run as lines, where no live view shows it: one per target that changed, and one per notable event. Pure.

Whatever happens many times is one line: the retries of one registry and reason, the builds that are awaited, the same
failure of many targets. Single retries and moves are lines of level DEBUG.
"""

from __future__ import annotations

import logging
from typing import Final

from msgspec.structs import replace

from bakery.events import (
    Event,
    HostPaused,
    ManifestDeleted,
    RequestRetried,
    SourcesMissing,
    StepOutput,
    TagRestored,
    TargetFinished,
)
from bakery.report.lines import Line, line_of
from bakery.report.model import Run, Target
from bakery.report.units import duration
from bakery.text import clean, plural

_EVERY_S: Final = 10.0  # the least time between two lines about one registry and reason
_WAITING_EVERY_S: Final = 30.0  # and about the builds that are awaited
_LIVE_AFTER_S: Final = 10.0  # a live view shows short waits by itself; it has no room for names and the option
_CHANGED: Final = frozenset({"published", "repaired", "built", "done"})


class Progress:
    """Turns the events of a run into lines. is_live: a live view shows the run, so that few are needed."""

    def __init__(self, *, is_live: bool = False) -> None:
        self._is_live = is_live
        self._reported: dict[int, tuple[float, int]] = {}  # by cause: when, and how many requests it had then
        self._waiting_at = float("-inf")
        self._failures: set[str] = set()

    def lines(self, event: Event, run: Run, at: float) -> list[Line]:
        """Return the lines for an event. run: after it. at: its time."""
        match event:
            case RequestRetried() | HostPaused():
                line = line_of(event)
                detail = Line(logging.DEBUG, line.text, line.target)
                return [detail, *([] if self._is_live else self._wait(event, run, at))]
            case StepOutput():
                return [] if self._is_live else [replace(line_of(event), style="output")]
            case SourcesMissing():
                return [] if self._is_live and event.waited_s < _LIVE_AFTER_S else self._missing(event, run, at)
            case TargetFinished():
                return [] if self._is_live else self._finished(event, run.targets[event.target])
            case ManifestDeleted() if run.doing != "clean":
                return [replace(line_of(event), level=logging.DEBUG)]  # a part of a publish, which counts them
            case TagRestored() if self._is_live:
                return []  # the result lists it
            case _:
                return [line_of(event)]

    def _wait(self, event: RequestRetried | HostPaused, run: Run, at: float) -> list[Line]:
        cause = run.hosts[event.host].cause(event.reason)
        before = self._reported.get(id(cause))
        if before is not None and at - before[0] < _EVERY_S:
            return []
        self._reported[id(cause)] = (at, len(cause.subjects))
        fresh = len(cause.subjects) - (before[1] if before is not None else 0)
        return [Line(logging.WARNING, clean(_wait_text(event, max(1, fresh))), members={"host": event.host})]

    def _missing(self, event: SourcesMissing, run: Run, at: float) -> list[Line]:
        detail = line_of(event)
        lines = [Line(logging.DEBUG, detail.text, detail.target, detail.step)]
        if at - self._waiting_at >= _WAITING_EVERY_S:
            self._waiting_at = at
            waiting = [target for target in run.targets.values() if target.missing]
            names = {name for target in waiting for name in target.missing}
            text, first = "waiting for ", clean(event.missing[0])
            if len(names) > 1:
                text += f"{plural(len(names), 'build')} of {plural(len(waiting), 'target')}, such as "
            limit = "" if run.doing == "rehearse" else "; --wait-timeout sets the limit"  # which rehearse has not
            lines.append(Line(logging.INFO, f"{text}{first} ({event.waited_s:.0f} of {event.limit_s:.0f} s{limit})"))
        return lines

    def _finished(self, event: TargetFinished, target: Target) -> list[Line]:
        members = {"state": event.state, "elapsed_s": round(event.elapsed_s, 3)}
        uid = clean(event.target)
        if event.state == "failed":
            step = target.errors[-1] if target.errors else None
            said = step.error.partition(" (hint: ")[0] if step else ""
            why = clean(said.partition(": ")[2] or said)  # what was tried is known from the step
            if why in self._failures:
                return [Line(logging.DEBUG, f"failed: {why}", uid, members=members)]
            self._failures.add(why)
            place = f"{step.name} {step.place}".rstrip() if step else ""
            return [Line(logging.INFO, clean(": ".join(filter(None, ("failed", place, why)))), uid, members=members)]
        level = logging.INFO if event.state in _CHANGED else logging.DEBUG
        return [Line(level, f"{clean(event.state)} in {duration(event.elapsed_s)}", uid, members=members)]


def _wait_text(event: RequestRetried | HostPaused, fresh: int) -> str:
    if isinstance(event, HostPaused):
        return f"{event.host} requests a wait of {event.wait_s:.1f} s: {event.reason}"
    return f"{event.host}: {event.reason}, {plural(fresh, 'request')} waiting {event.wait_s:.1f} s"
