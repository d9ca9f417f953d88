"""Reads the journal of a run, of any version of Bakery, and adds up its events. Pure.

A journal may be cut off by a kill, may have several runs one after another, and may be newer than this code: a line
that is not a known event is left out, and so is an unknown member.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, get_args

import msgspec
from msgspec import Struct

from bakery.errors import BadDocument
from bakery.events import Event, RunStarted
from bakery.report.model import Run

_KINDS: Final = {kind.__name__: kind for kind in get_args(Event)}


class Entry(Struct, frozen=True):
    """An event of a journal, and when it occurred, in seconds since 1970."""

    at: float
    event: Event


def entries(lines: Iterable[str]) -> list[Entry]:
    """Return the events of a journal, in order. Raises BadDocument if it does not contain any."""
    found = [entry for line in lines if (entry := _entry(line)) is not None]
    if not found:
        raise BadDocument("invalid journal", why="none of its lines is an event")
    return found


def runs(found: Iterable[Entry]) -> list[Run]:
    """Return the runs of a journal. Events before any RunStarted, which older journals lack, are a run of their own."""
    all_runs: list[Run] = []
    for entry in found:
        if not all_runs or isinstance(entry.event, RunStarted):
            all_runs.append(Run(doing="publish", started_at=entry.at))
        run = all_runs[-1]
        run.apply(entry.event, max(run.now, entry.at - run.started_at))  # a clock may have been set back
    return all_runs


def _entry(line: str) -> Entry | None:
    try:
        fields: Any = json.loads(line)
        kind = _KINDS[fields["event"]]
        return Entry(datetime.fromisoformat(fields["time"]).timestamp(), msgspec.convert(fields, kind))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
