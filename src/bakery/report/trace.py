"""A run as a trace for Perfetto and chrome://tracing: the JSON form of Chrome's trace events. Pure.

Targets are threads of one process, with one more thread per destination, since those steps run side by side. Each
registry is a process with its pauses, and counters of bytes and requests per second. Events are in the order of time,
and complete events of a thread nest: Perfetto drops one that only overlaps. Source: "Trace Event Format", the document
that the Chromium project publishes: times are in microseconds; X is a complete event, i an instant, C a counter, M
metadata.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from bakery.oci.annotation import format_time
from bakery.report.model import Host, Mark, Run, Step, Target
from bakery.report.rates import rates
from bakery.report.work import started
from bakery.text import clean

_TARGETS: Final = 1  # the process that has the targets


def trace(run: Run) -> dict[str, Any]:
    """Return the run as a JSON value."""
    events = [*_targets(run), *_registries(run)]
    events.sort(
        key=lambda event: (event.get("ts", -1), -event.get("dur", 0))
    )  # metadata first, outer ones before inner
    return {
        "displayTimeUnit": "ms",
        "otherData": {"run": run.doing, "state": run.state, "started": format_time(started(run))},
        "traceEvents": events,
    }


def _targets(run: Run) -> Iterator[dict[str, Any]]:
    yield _named("process_name", "Targets", _TARGETS)
    yield _sorted(_TARGETS)
    thread = 0
    threads: dict[str, int] = {}
    for target in run.targets.values():
        thread += 1
        threads[target.uid] = thread
        yield _named("thread_name", target.uid, _TARGETS, thread)
        yield from _whole(target, thread, run.now)
        places = dict.fromkeys(step.place for step in target.steps if step.place)
        for place in places:
            thread += 1
            places[place] = thread
            yield _named("thread_name", f"{target.uid} → {place}", _TARGETS, thread)
        for step in target.steps:
            yield _step(target, step, places.get(step.place) or threads[target.uid], run.now)
    for mark in run.marks:
        if mark.target in threads:
            yield _mark(mark, _TARGETS, threads[mark.target])


def _whole(target: Target, thread: int, now: float) -> Iterator[dict[str, Any]]:
    if target.began is not None:
        details = {"state": target.state, "image": target.about.image, "version": target.about.version}
        yield _complete(target.uid, "target", target.began, target.elapsed_s(now), _TARGETS, thread, details)


def _step(target: Target, step: Step, thread: int, now: float) -> dict[str, Any]:
    details: dict[str, Any] = {"target": target.uid}
    details |= {"repository": step.place} if step.place else {}
    details |= {"error": step.error} if step.error else {}
    details |= {"retries": step.retries} if step.retries else {}
    return _complete(step.name, "step", step.began, step.elapsed_s(now), _TARGETS, thread, details)


def _registries(run: Run) -> Iterator[dict[str, Any]]:
    for process, host in enumerate(run.hosts.values(), _TARGETS + 1):
        yield _named("process_name", host.name, process)
        yield _sorted(process)
        yield _named("thread_name", "waits and retries", process, 1)
        busy_until: list[int] = [0]  # in microseconds, of each thread: pauses may overlap
        for mark in sorted((mark for mark in run.marks if mark.host == host.name), key=lambda mark: mark.at):
            thread = 0
            if mark.kind == "pause":
                thread = next((n for n, end in enumerate(busy_until) if end <= _micros(mark.at)), len(busy_until))
                if thread == len(busy_until):
                    busy_until.append(0)
                    yield _named("thread_name", f"waits {thread + 1}", process, thread + 1)
                busy_until[thread] = _micros(mark.at + mark.wait_s)
            yield _mark(mark, process, thread + 1)
        yield from _counters(host, process)


def _counters(host: Host, process: int) -> Iterator[dict[str, Any]]:
    for rate in rates(host):
        at = _micros(rate.start)
        sizes = {"sent": round(rate.out_per_s), "received": round(rate.in_per_s)}
        yield {"ph": "C", "name": "bytes per second", "pid": process, "ts": at, "args": sizes}
        requests = {"requests": round(rate.requests_per_s, 3)}
        yield {"ph": "C", "name": "requests per second", "pid": process, "ts": at, "args": requests}


def _mark(mark: Mark, process: int, thread: int) -> dict[str, Any]:
    details = {"reason": mark.reason, "subject": mark.subject, "wait_s": round(mark.wait_s, 3)}
    details = {name: clean(value) if isinstance(value, str) else value for name, value in details.items() if value}
    if mark.kind == "pause":
        return _complete("paused", "wait", mark.at, mark.wait_s, process, thread, details)
    return {
        "ph": "i", "name": mark.kind, "cat": "wait", "ts": _micros(mark.at), "s": "t", "pid": process, "tid": thread,
        "args": details,
    }  # fmt: skip


def _complete(
    name: str, category: str, at: float, length_s: float, process: int, thread: int, details: dict[str, Any]
) -> dict[str, Any]:
    shown = {key: clean(value) if isinstance(value, str) else value for key, value in details.items()}
    return {
        "ph": "X", "name": clean(name), "cat": category, "ts": _micros(at),
        "dur": max(0, _micros(at + length_s) - _micros(at)),  # rounded at both ends: inner ones do not stick out
        "pid": process, "tid": thread, "args": shown,
    }  # fmt: skip


def _named(kind: str, name: str, process: int, thread: int = 0) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": clean(name)}}


def _sorted(process: int) -> dict[str, Any]:
    return {"ph": "M", "name": "process_sort_index", "pid": process, "tid": 0, "args": {"sort_index": process}}


def _micros(seconds: float) -> int:
    return round(seconds * 1_000_000)
