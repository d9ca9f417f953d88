"""Runs for tests of what is drawn from them: made of events, as a real run is, without doing the work."""

from __future__ import annotations

from bakery.events import (
    Event,
    HostPaused,
    HostTraffic,
    Noted,
    RequestRetried,
    RunFinished,
    RunPlace,
    RunStarted,
    RunTarget,
    SourcesMissing,
    StepFinished,
    StepStarted,
    TagMoved,
    TargetFinished,
)
from bakery.report.model import Run

HOSTS = ("ghcr.io", "docker.io")
STARTED = 1_780_000_000.0  # seconds since 1970
NEW = "sha256:" + "7a" * 32
OLD = "sha256:" + "0b" * 32


def described(number: int, name: str = "hello", os: str = "Ubuntu 24.04") -> RunTarget:
    version = f"1.{number}.0"
    places = tuple(RunPlace(f"{host}/acme/{name}", (version, "latest")) for host in HOSTS)
    return RunTarget(f"{name}-1-{number}-0", name, version, os, "Standard", ("linux/amd64", "linux/arm64"), places)


def run_of(count: int, *, retries: int = 1, failing: frozenset[int] = frozenset(), name: str = "hello") -> Run:
    """A publish of so many targets to two registries, 16 at once. failing: numbers of targets that fail at GHCR."""
    targets = [described(number, name) for number in range(count)]
    timed: list[tuple[float, Event]] = [(0.0, RunStarted("publish", tuple(targets)))]
    for number, target in enumerate(targets):
        timed += _target(target, number // 16 * 4.0 + number % 16 * 0.1, retries, fails=number in failing)
    end = max(at for at, _ in timed)
    for number in range(int(end * 4) + 1):
        for share, host in enumerate(HOSTS, 1):
            timed.append((number / 4, HostTraffic(host, number * 40 * share, number * 2000, number * 90_000 * share)))
    timed += [(1.0, HostPaused("ghcr.io", 2.0, "429 TOOMANYREQUESTS: slow down")), (end, Noted("", "one note"))]
    timed.append((end + 0.1, RunFinished("failed" if failing else "done", end)))
    run = Run(started_at=STARTED)
    for at, event in sorted(timed, key=lambda one: one[0]):
        run.apply(event, at)
    return run


def _target(target: RunTarget, start: float, retries: int, *, fails: bool) -> list[tuple[float, Event]]:
    uid = target.uid
    timed: list[tuple[float, Event]] = [
        (start, StepStarted(uid, "wait")),
        (start + 0.2, SourcesMissing(uid, ("linux/arm64",), 0.2, 60)),
        (start + 1.0, StepFinished(uid, "wait", 1.0)),
        (start + 1.0, StepStarted(uid, "assemble")),
        (start + 1.3, StepFinished(uid, "assemble", 0.3)),
    ]
    for later, place in enumerate(target.places):
        at = start + 1.3 + later * 0.4
        failed = "403 DENIED: no permission to push" if fails and not later else ""
        timed += [(at, StepStarted(uid, f"stage {place.repository}"))]
        for retry in range(retries):
            about = f"{place.repository}@{NEW}"
            reason = "503 UNAVAILABLE: try again later"
            host = place.repository.partition("/")[0]
            timed.append((at + 0.1 + retry / 50, RequestRetried(host, "upload blob", about, 1, 0.5, reason, uid)))
        timed += [(at + 1.5, StepFinished(uid, f"stage {place.repository}", 1.5, failed))]
        if failed:
            continue
        for step in ("commit", "verify"):
            begin = at + (1.5 if step == "commit" else 1.8)
            timed += [(begin, StepStarted(uid, f"{step} {place.repository}"))]
            timed += [(begin + 0.3, StepFinished(uid, f"{step} {place.repository}", 0.3))]
        timed += [(at + 1.7, TagMoved(uid, f"{place.repository}:{tag}", NEW, OLD)) for tag in place.tags]
    return [*timed, (start + 4.1, TargetFinished(uid, "failed" if fails else "published", 4.1))]
