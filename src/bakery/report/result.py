"""The end of a run's report: what changed and nothing else, failures last, and a closing line. Pure.

    hello 1.0.0  linux/amd64 linux/arm64  sha256:7ad7c02…  → ghcr.io/acme/hello  :1.0.0 :latest (was sha256:1b2c3d4…)
    error: docs-2.0.0: [stage] docker.io/acme/docs: cannot write blob …: 403 DENIED
    hint: …
    ❌ Publish failed: 1 failure · 1 published · 1 failed · 12 s · 24.1 MB sent · 312 requests (45 saved)

Failures are in `report.outcome`. Unchanged targets are a count. Digests are short unless `full`; JSON has them whole. A
log also has the whole digest that a tag named before, so that a user can restore it by hand.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from bakery.oci.digest import Digest
from bakery.publish.outcome import DestinationOutcome, Outcome, State, TargetOutcome
from bakery.report.columns import display_width, pad, shown, wrapped
from bakery.report.lines import Form, Line, render
from bakery.report.model import Run
from bakery.report.outcome import failure_report
from bakery.report.units import duration, short_digest, size
from bakery.text import clean, plural


class Look(Struct, frozen=True):
    """How a result is laid out. width: of the terminal; None: no terminal, one line per target, however long.

    full: digests in full length. everything: unchanged and failed targets have rows too, and notes are repeated.
    """

    width: int | None = None
    unicode: bool = True
    full: bool = False
    everything: bool = False

    def digest(self, digest: Digest | None) -> str:
        """Return a digest, short on a terminal; "" without one."""
        text = str(digest or "")
        return text if self.full or self.width is None else short_digest(text)


class _Change(Struct, frozen=True):
    """A target that changed. cells: what it is called, its platforms, its digest. moves: where which tags moved."""

    target: TargetOutcome
    cells: tuple[str, str, str]
    moves: tuple[str, ...]


def result_lines(outcome: Outcome, run: Run, *, doing: str, look: Look) -> list[Line]:
    """Return the lines of a report: warnings, skipped targets, changes, failures, and the closing line."""
    return [
        *(Line(logging.WARNING, clean(text), style="report") for text in outcome.warnings),
        *(Line(logging.INFO, clean(f"skipped: {one.uid}: {one.reason}"), style="report") for one in outcome.skipped),
        *change_lines(outcome, look),
        *(_notes(outcome) if look.everything else ()),
        *failure_report(outcome),
        closing(outcome, run, doing=doing, look=look),
    ]


def change_lines(outcome: Outcome, look: Look) -> list[Line]:
    """Return what changed: one row per target, or several rows if the terminal is too narrow for any of them."""
    changes = [found for target in outcome.targets if (found := _change(target, look)) is not None]
    order = {image: number for number, image in enumerate(dict.fromkeys(one.target.image for one in changes))}
    changes.sort(key=lambda one: order[one.target.image])  # grouped by image; within one, in push order
    widths = [max((display_width(one.cells[number]) for one in changes), default=0) for number in range(3)]
    texts = []
    for one in changes:
        cells = [pad(cell, width) for cell, width in zip(one.cells, widths, strict=True)]
        texts.append("  ".join([*cells, *one.moves]))
    if look.width is not None and any(display_width(text) > look.width for text in texts):
        texts = ["\n".join(_narrow(one, look)) for one in changes]
    return [
        Line(logging.INFO, clean(text, lines=True), style="report", members=_members(one.target))
        for text, one in zip(texts, changes, strict=True)
    ]


def _notes(outcome: Outcome) -> list[Line]:
    """Return the notes of targets. They were printed when they were noted; a file has them too."""
    return [
        Line(logging.INFO, clean(f"note: {target.uid}: {note}"), style="report")
        for target in outcome.targets
        for note in target.notes
    ]


def closing(outcome: Outcome, run: Run, *, doing: str, look: Look) -> Line:
    """Return the last line: how it ended, how many targets, how long, what was sent, what was saved."""
    states = Counter(str(target.state) for target in outcome.targets)
    level, start = logging.INFO, f"✅ {doing} completed"
    if outcome.interrupted:
        level, start = logging.ERROR, f"❌ {doing} interrupted; run the same command again to continue"
    elif outcome.failures:
        level, start = logging.ERROR, f"❌ {doing} failed: {plural(len(outcome.failures), 'failure')}"
    requests = plural(run.requests, "request") + (f" ({run.saved:,} saved)" if run.saved else "")
    parts = [
        start,
        *(f"{count:,} {state}" for state, count in states.items()),
        duration(outcome.elapsed_s),
        f"{size(run.bytes_out)} sent" if run.bytes_out else "",
        f"{size(run.bytes_spared)} reused" if run.bytes_spared else "",
        plural(run.artifacts, "artifact") if run.artifacts else "",
        requests if run.requests else "",
        plural(run.retries, "retry", "retries") if run.retries else "",
    ]
    text = "\n".join(wrapped(_separated(parts, look), look.width, indent="   "))
    return Line(level, text, style="plain", members=_totals(outcome, run, states))


def _separated(parts: Sequence[str], look: Look) -> list[str]:
    """Return the words of the first part, and the others that are not empty, after a separator that stays with each."""
    first, *others = [part for part in parts if part]
    separator = shown("·", unicode=look.unicode)
    return [*first.split(" "), *(f"{separator} {part}" for part in others)]


def _change(target: TargetOutcome, look: Look) -> _Change | None:
    """Return what changed of a target, or None if nothing did."""
    moves: dict[str, list[str]] = {}  # the same tags of several repositories are written once
    for place in target.destinations:
        if words := _words(place, look):
            moves.setdefault(words, []).append(str(place.repository))
    if not moves and not look.everything:
        return None
    label = " ".join(filter(None, (target.image, target.version, target.variant, target.os)))
    digest = str(target.digest or "")
    cells = (
        clean(label if target.image and target.version else target.uid),
        clean(" ".join(item.platform for item in target.platforms)),
        digest if look.full else short_digest(digest),
    )
    arrow = shown("→", unicode=look.unicode)
    texts = tuple(f"{arrow} {', '.join(repositories)}  {words}" for words, repositories in moves.items())
    texts = texts or (str(target.state),)
    return _Change(target, cells, texts) if look.unicode else _plain(target, cells, texts)


def _plain(target: TargetOutcome, cells: tuple[str, str, str], moves: tuple[str, ...]) -> _Change:
    label, platforms, digest = (shown(cell, unicode=False) for cell in cells)
    return _Change(target, (label, platforms, digest), tuple(shown(move, unicode=False) for move in moves))


def _words(place: DestinationOutcome, look: Look) -> str:
    """Return the tags that moved at a destination: new ones first, then those that named something else, with what."""
    if place.state is State.REPAIRED:
        return "content put back"
    by_previous: dict[str, list[str]] = {}
    for tag in place.tags:
        if tag.state is State.PUBLISHED:
            by_previous.setdefault(str(tag.previous or ""), []).append(f":{tag.tag}")
    words = by_previous.pop("", [])
    for previous, tags in by_previous.items():
        named = previous if look.full or look.width is None else short_digest(previous)
        was = f"{'was' if len(tags) == 1 else 'were'} {named}"
        words += [*tags[:-1], f"{tags[-1]} ({was})"]
    return " ".join(words)


def _narrow(change: _Change, look: Look) -> list[str]:
    """Return a change as rows: what it is, then a row per destination, each as wide as the terminal at most."""
    label, platforms, digest = change.cells
    first, *others = platforms.split(" ")
    rows = wrapped([label, *(part for part in (f" {first}", *others, f" {digest}") if part.strip())], look.width)
    for move in change.moves:
        rows += [f"  {row}" for row in wrapped(move.split(" "), (look.width or 0) - 2, indent="    ")]
    return rows


def _members(target: TargetOutcome) -> dict[str, Any]:
    """Return a change for programs."""
    return {
        "event": "target",
        "target": target.uid,
        "state": str(target.state),
        "digest": str(target.digest) if target.digest else None,
        "platforms": [item.platform for item in target.platforms],
        "tags": [
            {
                "reference": f"{place.repository}:{tag.tag}",
                "previous": str(tag.previous) if tag.previous else None,
            }
            for place in target.destinations
            for tag in place.tags
            if tag.state is State.PUBLISHED
        ],
    }


def _totals(outcome: Outcome, run: Run, states: Counter[str]) -> dict[str, Any]:
    """Return the closing line for programs."""
    ended = "failed" if outcome.failures else "done"
    return {
        "event": "finished",
        "state": "interrupted" if outcome.interrupted else ended,
        "targets": dict(states),
        "failures": len(outcome.failures),
        "elapsed_s": round(outcome.elapsed_s, 3),
        "bytes_in": run.bytes_in,
        "bytes_out": run.bytes_out,
        "bytes_reused": run.bytes_spared,
        "requests": run.requests,
        "requests_saved": run.saved,
        "retries": run.retries,
    }


def as_text(lines: Sequence[Line]) -> str:
    """Return lines as the text of a file."""
    return "".join(f"{render(line, datetime.fromtimestamp(0, UTC), Form())}\n" for line in lines)
