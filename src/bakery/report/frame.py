"""What the live view shows of a run at a moment: a few lines that fit the terminal. Pure; `report.live` draws them.

    Publishing 3 of 7 done · 1 failed · 24.1 MB · 3.2 MB/s · 0:12 · 0:15 left
    ▸ hello-1.0.0   stage ghcr.io, docker.io                                0:05
      and 2 queued
    ✗ hello-2.0.0   stage docker.io: cannot write blob …: 403 DENIED
    ghcr.io     132 requests · ↑ 12.0 MB · ↓ 3.1 MB · throttled, 3 s

First what runs, longest first; then failures, which stay; then a line per registry. Nothing in it turns or blinks: a
frame changes with the run and with the seconds, so it is drawn no more often than that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from bakery.report.columns import Terminal, clip, display_width, fitting, pad, shown
from bakery.report.model import QUEUED, Host, Run, Step, Target
from bakery.report.units import clock, size
from bakery.text import plural

Segment = tuple[str, str]  # text, and its style: "", "bold", "dim", "red", "yellow", "green" or "cyan"
FrameLine = tuple[Segment, ...]

_DOING: Final = {
    "publish": "Publishing",
    "rehearse": "Rehearsing",
    "convert": "Converting",
    "build": "Building",
    "clean": "Cleaning",
    "test": "Testing",
}
_MOST_HOSTS: Final = 4
_FRESH_S: Final = 5.0  # how long a retry is the state of its registry
_WIDEST: Final = 110  # columns of a target's line: its time must not be far from its name
_LABEL_SHARE: Final = 0.45  # of the width, at most
_SEPARATOR: Final = " · "


def title(doing: str) -> str:
    """Return what a run does, as the first word of a headline: "Publishing"."""
    return _DOING.get(doing, doing.capitalize())


def frame(run: Run, now: float, terminal: Terminal) -> list[FrameLine]:
    """Return the lines: none wider than the terminal, and one fewer than it is high."""
    room = max(1, terminal.height - 1)
    hosts = _hosts(run, now, terminal, min(_MOST_HOSTS, (room - 1) // 3))
    failures = _failures(run, terminal, (room - 1) // 3)
    active = _active(run, now, terminal, room - 1 - len(hosts) - len(failures))
    lines = [_header(run, now, terminal), *active, *failures, *hosts][:room]
    return [tuple(segment for segment in line if segment[0]) for line in lines]


def _header(run: Run, now: float, terminal: Terminal) -> FrameLine:
    failed = sum(target.has_failed for target in run.targets.values())
    moved, eta_s = run.bytes_in + run.bytes_out, run.eta_s(now)
    parts = [
        (9, f"{title(run.doing)} {run.done:,} of {len(run.targets):,} done"),
        (8, f"{failed:,} failed" if failed else ""),
        (4, size(moved) if moved else ""),
        (5, f"{size(run.rate(now))}/s" if moved else ""),
        (7, clock(now)),
        (6, f"{clock(eta_s)} left" if eta_s is not None else ""),
    ]
    text = fitting(
        [(weight, shown(part, unicode=terminal.unicode)) for weight, part in parts],
        terminal.width,
        _separator(terminal),
    )
    return ((clip(text, terminal.width, unicode=terminal.unicode), "bold red" if failed else "bold"),)


def _separator(terminal: Terminal) -> str:
    return shown(_SEPARATOR, unicode=terminal.unicode)


def _active(run: Run, now: float, terminal: Terminal, room: int) -> list[FrameLine]:
    """What runs, and how many more run and are queued."""
    if room < 1:
        return []
    running = sorted(
        (target for target in run.targets.values() if target.began is not None and target.ended is None),
        key=lambda target: target.began or 0.0,
    )
    queued = run.counts[QUEUED]
    cut = room if len(running) + bool(queued) <= room else room - 1
    kept = running[:cut]
    lines = [_target(target, now, terminal, _label_width(kept, terminal)) for target in kept]
    rest = [f"{len(running) - len(kept):,} more running"] if len(kept) < len(running) else []
    rest += [f"{queued:,} queued"] if queued else []
    if rest and len(lines) < room:
        lines.append(((clip(f"  and {', '.join(rest)}", terminal.width, unicode=terminal.unicode), "dim"),))
    return lines


def _label_width(targets: Iterable[Target], terminal: Terminal) -> int:
    widest = max((display_width(shown(target.uid, unicode=terminal.unicode)) for target in targets), default=0)
    return min(widest, int(terminal.width * _LABEL_SHARE))


def _target(target: Target, now: float, terminal: Terminal, label_width: int) -> FrameLine:
    unicode = terminal.unicode
    elapsed = clock(target.elapsed_s(now))
    label = pad(clip(target.uid, label_width, unicode=unicode), label_width)
    mark = shown("▸ ", unicode=unicode)
    room = min(terminal.width, _WIDEST) - 2 - label_width - 2 - len(elapsed) - 1
    if room < 8:
        return ((clip(f"{mark}{target.uid}", terminal.width, unicode=unicode), ""),)
    return (
        (mark, "cyan"),
        (label, ""),
        ("  " + pad(clip(_doing_now(target), room, unicode=unicode), room) + " ", "cyan"),
        (elapsed, "dim"),
    )


def _doing_now(target: Target) -> str:
    if target.missing:
        return f"wait for {plural(len(target.missing), 'build')}"
    places: dict[str, list[str]] = {}
    for step in target.running:
        registries = places.setdefault(step.name, [])
        if (registry := step.place.partition("/")[0]) and registry not in registries:
            registries.append(registry)
    text = "; ".join(f"{name} {', '.join(registries)}".rstrip() for name, registries in places.items())
    retries = sum(step.retries for step in target.running)
    return (text or "wait for other targets") + (f" (retry {retries})" if retries else "")


def _failures(run: Run, terminal: Terminal, room: int) -> list[FrameLine]:
    """Failures, the newest last; the same one of many targets is one line. The oldest are counted if room is short."""
    groups: dict[tuple[str, str, str], list[tuple[Target, Step]]] = {}
    for target in run.targets.values():
        for step in target.errors:
            key = (step.name, step.place.partition("/")[0], _why(step))
            groups.setdefault(key, []).append((target, step))
    if not groups or room < 1:
        return []
    found = sorted(groups.values(), key=lambda group: group[-1][1].ended or 0.0)
    kept = found if len(found) <= room else found[-(room - 1) :] if room > 1 else []
    lines: list[FrameLine] = [((_failure(group, terminal), "red"),) for group in kept]
    if len(kept) < len(found):
        left_out = {target.uid for group in found[: len(found) - len(kept)] for target, _ in group}
        text = f"✗ {plural(len(left_out), 'target')} failed before"
        lines.insert(0, ((clip(text, terminal.width, unicode=terminal.unicode), "red"),))
    return lines


def _failure(group: Sequence[tuple[Target, Step]], terminal: Terminal) -> str:
    """A failure with what could not be done, or, in a narrow terminal, only why."""
    target, step = group[0]
    count = len({target.uid for target, _ in group})
    place = f"{step.name} {step.place.partition('/')[0]}".rstrip()
    start = f"✗ {target.uid if count == 1 else plural(count, 'target')}  {place}: "
    full = start + step.error.partition(" (hint: ")[0]
    text = full if display_width(full) <= terminal.width else start + _why(step)
    return clip(text, terminal.width, unicode=terminal.unicode)


def _why(step: Step) -> str:
    return step.error.partition(" (hint: ")[0].partition(": ")[2]


def _hosts(run: Run, now: float, terminal: Terminal, room: int) -> list[FrameLine]:
    """A line per registry; if they do not fit, first those that make us wait, then the busiest."""
    known = sorted(run.hosts.values(), key=lambda host: (-host.paused_until, -host.bytes_in - host.bytes_out))
    if len(known) > room:
        kept = set(map(id, known[: max(0, room - 1)]))
        listed = [host for host in run.hosts.values() if id(host) in kept]
    else:
        listed = list(run.hosts.values())
    names = [shown(host.name, unicode=terminal.unicode) for host in listed]
    width = min(max(map(display_width, names), default=0), int(terminal.width * _LABEL_SHARE))
    lines = [_host(host, now, terminal, width) for host in listed]
    if len(listed) < len(known) and room > 0:
        more = f"and {plural(len(known) - len(listed), 'more registry', 'more registries')}"
        lines.append(((clip(more, terminal.width, unicode=terminal.unicode), "dim"),))
    return lines


def _host(host: Host, now: float, terminal: Terminal, name_width: int) -> FrameLine:
    unicode = terminal.unicode
    state, style = _state(host, now)
    parts = [
        (9, state),
        (3, plural(host.requests, "request")),
        (6, f"↑ {size(host.bytes_out)}" if host.bytes_out else ""),
        (5, f"↓ {size(host.bytes_in)}" if host.bytes_in else ""),
        (1, host.pause_reason if now < host.paused_until else ""),
    ]
    room = max(0, terminal.width - name_width - 2)
    text = fitting([(weight, shown(part, unicode=unicode)) for weight, part in parts], room, _separator(terminal))
    name = pad(clip(host.name, name_width, unicode=unicode), name_width)
    state_text = f"  {clip(text, room, unicode=unicode)}" if room else ""
    return (name, "bold" if style else "dim"), (state_text, style or "dim")


def _state(host: Host, now: float) -> tuple[str, str]:
    """What a registry makes us do, with its style; empty if it simply responds."""
    if now < host.paused_until:
        return f"throttled, {math.ceil(host.paused_until - now)} s", "yellow"
    if now - host.retry_at < _FRESH_S:
        return f"retrying: {host.retry_reason}", "yellow"
    return "", ""
