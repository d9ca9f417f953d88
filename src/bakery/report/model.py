"""The model of a run: what its events add up to. Pure; nothing else counts.

Live view, log lines, result, page, JSON, timeline and trace are drawn from it. Its owner applies each event once, in
order, with the time at which it occurred (`report.recorder` does); all others only read.

    run = Run()
    run.apply(RunStarted("publish", targets), 0.0)
    run.apply(StepStarted("app-1.0", "stage ghcr.io/acme/app"), 1.2)
    run.targets["app-1.0"].steps[0]  # Step(name="stage", place="ghcr.io/acme/app", began=1.2, …)

Every time and length is in seconds; times count from the start of the run, and `started_at` says when that was.
Memory is bounded however long a run takes: samples of traffic are thinned out, and marks end at MOST_MARKS.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from msgspec import Struct, field

from bakery.events import (
    ArtifactAdded,
    Event,
    HostPaused,
    HostTraffic,
    Noted,
    RequestRetried,
    RequestsSaved,
    RunFinished,
    RunStarted,
    RunTarget,
    SourcesMissing,
    StepFinished,
    StepRetried,
    StepStarted,
    TagMoved,
    TargetFinished,
)

MOST_MARKS: Final = 20_000
MOST_SAMPLES: Final = 2_000  # of one host; then every second one goes
RATE_OVER_S: Final = 3.0  # the rate of transfer is that of the last seconds
QUEUED, RUNNING = "queued", "running"  # states of a target before TargetFinished names one
FAILED_STATES: Final = frozenset({"failed", "stopped", "refused"})
_WEIGHTS: Final = {"stage": 6.0, "build": 6.0}  # of a step in the progress of its target; any other counts 1
_DETAILS: Final = re.compile(r"[a-z0-9]+:[0-9a-f]{32,}|[0-9]+(?:\.[0-9]+)?(?= s\b)")  # digests and times


def without_details(reason: str) -> str:
    """Return a reason without its digests and times: equal for failures that have one cause."""
    return _DETAILS.sub("", reason)


class Step(Struct):
    """A step of a target, at one destination or of the target as a whole. error: one line, or "" on success."""

    name: str  # wait, assemble, soci, stage, commit, verify; build
    place: str  # a repository, or ""
    began: float
    ended: float | None = None
    error: str = ""
    retries: int = 0  # of a command or of the step as a whole

    def elapsed_s(self, now: float) -> float:
        """Return how long it took, or has taken until now."""
        return (now if self.ended is None else self.ended) - self.began


class Mark(Struct, frozen=True):
    """A retry or a wait, at a moment. kind: `retry` of a request or step, `pause` of a whole host, `sources` missing.

    host and target are "" if they do not apply. subject: what was requested, such as "read manifest ghcr.io/acme/app".
    """

    at: float
    kind: str
    wait_s: float
    reason: str
    host: str = ""
    target: str = ""
    subject: str = ""


class Cause(Struct):
    """All retries and pauses of a host for one reason. The reasons differ in more than digests and times."""

    host: str
    reason: str  # of the first one
    first: float
    last: float
    count: int = 0
    pauses: int = 0  # of those, waits that the host requested for every request
    waited_s: float = 0.0  # summed over requests that waited side by side
    longest_s: float = 0.0
    subjects: set[str] = field(default_factory=set)  # the requests that were repeated


class Sample(Struct, frozen=True):
    """The totals of a host at a moment."""

    at: float
    requests: int
    bytes_in: int
    bytes_out: int


class Host(Struct):
    """A registry. Bytes are of bodies. reused, mounted: blobs that were not sent, see HostTraffic."""

    name: str
    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    reused: int = 0
    reused_bytes: int = 0
    mounted: int = 0
    mounted_bytes: int = 0
    retries: int = 0
    waited_s: float = 0.0
    paused_until: float = 0.0
    pause_reason: str = ""
    retry_at: float = float("-inf")  # the last retry, and its reason
    retry_reason: str = ""
    causes: dict[str, Cause] = field(default_factory=dict)  # by reason without its digests and times
    samples: list[Sample] = field(default_factory=list)

    def rate(self, now: float) -> float:
        """Return the bytes per second, in both directions, of the last seconds."""
        since = now - RATE_OVER_S
        before = next((one for one in reversed(self.samples) if one.at <= since), None)
        moved = self.bytes_in + self.bytes_out - (before.bytes_in + before.bytes_out if before else 0)
        return max(0.0, moved / min(RATE_OVER_S, now)) if now > 0 else 0.0

    def cause(self, reason: str) -> Cause:
        """Return the retries and pauses for a reason that has occurred."""
        return self.causes[without_details(reason)]

    def _take(self, event: HostTraffic, at: float) -> None:
        self.requests, self.bytes_in, self.bytes_out = event.requests, event.bytes_in, event.bytes_out
        self.reused, self.reused_bytes = event.reused, event.reused_bytes
        self.mounted, self.mounted_bytes = event.mounted, event.mounted_bytes
        self.samples.append(Sample(at, event.requests, event.bytes_in, event.bytes_out))
        if len(self.samples) > MOST_SAMPLES:
            del self.samples[:-1:2]

    def _wait(self, reason: str, wait_s: float, at: float, *, subject: str = "") -> None:
        key = without_details(reason)
        cause = self.causes.get(key)
        if cause is None:
            cause = self.causes[key] = Cause(self.name, reason, at, at)
        cause.last, cause.count = at, cause.count + 1
        cause.pauses += not subject
        cause.waited_s, cause.longest_s = cause.waited_s + wait_s, max(cause.longest_s, wait_s)
        if subject:
            cause.subjects.add(subject)
        self.waited_s += wait_s


class Move(Struct, frozen=True):
    """A tag that moved. previous: the digest that it named before, or ""."""

    at: float
    reference: str
    digest: str
    previous: str


class Target(Struct):
    """A target: what it is, and what became of it. missing: the sources that it waits for."""

    about: RunTarget
    state: str = QUEUED
    began: float | None = None
    ended: float | None = None
    steps: list[Step] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: tuple[str, ...] = ()
    retries: int = 0

    @property
    def uid(self) -> str:
        return self.about.uid

    @property
    def running(self) -> list[Step]:
        """The steps that have begun and not ended."""
        return [step for step in self.steps if step.ended is None]

    @property
    def errors(self) -> list[Step]:
        """The steps that failed."""
        return [step for step in self.steps if step.error]

    @property
    def has_failed(self) -> bool:
        """Whether it failed, at a destination at least; it may still run at others."""
        return self.state in FAILED_STATES or any(step.error for step in self.steps)

    def elapsed_s(self, now: float) -> float:
        """Return how long it took, or has taken until now; 0 if it is queued."""
        if self.began is None:
            return 0.0
        return (now if self.ended is None else self.ended) - self.began

    @property
    def progress(self) -> float:
        """How much of it is done, from 0 to 1, by the steps that have ended."""
        if self.ended is not None:
            return 1.0
        ended = sum(_WEIGHTS.get(step.name, 1.0) for step in self.steps if step.ended is not None)
        places = max(1, len(self.about.places))
        expected = 2.0 + 8.0 * places if self.about.places else 8.0  # wait, assemble; stage, commit, verify each
        return min(0.99, ended / expected)

    def _find(self, name: str) -> Step | None:
        step, _, place = name.partition(" ")
        for one in reversed(self.steps):
            if one.ended is None and (one.name, one.place) == (step, place):
                return one
        return None


class Stage(Struct):
    """All steps of one name, of all targets. busy_s: their times added up, which run side by side."""

    name: str
    began: float
    ended: float
    busy_s: float = 0.0
    steps: int = 0


class Run(Struct):
    """A run, after the events so far. state: `running`, or that of RunFinished. saved: see RequestsSaved."""

    doing: str = "run"
    started_at: float = 0.0  # seconds since 1970, UTC
    now: float = 0.0  # of the last event
    state: str = RUNNING
    targets: dict[str, Target] = field(default_factory=dict)  # by uid, in the order given
    hosts: dict[str, Host] = field(default_factory=dict)  # by name, in the order met
    counts: Counter[str] = field(default_factory=Counter)  # targets by state
    marks: list[Mark] = field(default_factory=list)
    notes: list[Noted] = field(default_factory=list)  # of the run as a whole
    saved: int = 0
    artifacts: int = 0  # signatures, attachments and referrers

    # Counts, in all

    @property
    def done(self) -> int:
        """How many targets have ended, in whatever state."""
        return len(self.targets) - self.counts[QUEUED] - self.counts[RUNNING]

    @property
    def requests(self) -> int:
        return sum(host.requests for host in self.hosts.values())

    @property
    def bytes_in(self) -> int:
        return sum(host.bytes_in for host in self.hosts.values())

    @property
    def bytes_out(self) -> int:
        return sum(host.bytes_out for host in self.hosts.values())

    @property
    def retries(self) -> int:
        """Retries of requests, steps and commands."""
        return sum(host.retries for host in self.hosts.values()) + sum(one.retries for one in self.targets.values())

    @property
    def bytes_spared(self) -> int:
        """Bytes of blobs that were there already or mounted: they were not sent."""
        return sum(host.reused_bytes + host.mounted_bytes for host in self.hosts.values())

    @property
    def causes(self) -> list[Cause]:
        """Why registries made this run wait, the longest wait first."""
        found = [cause for host in self.hosts.values() for cause in host.causes.values()]
        return sorted(found, key=lambda one: (-one.waited_s, one.host, one.reason))

    # Derived

    def rate(self, now: float) -> float:
        """Return the bytes per second, in both directions, of the last seconds."""
        return sum(host.rate(now) for host in self.hosts.values())

    def eta_s(self, now: float) -> float | None:
        """Return how much longer it will probably take; None if it is too early to say, or builds are awaited."""
        if not self.targets or any(target.missing for target in self.targets.values()):
            return None
        done = sum(target.progress for target in self.targets.values()) / len(self.targets)
        return now * (1 - done) / done if done >= 0.05 and now >= 2.0 else None

    def stages(self) -> list[Stage]:
        """Return the time by stage, in the order in which stages began. A step that runs counts until `now`."""
        found: dict[str, Stage] = {}
        for step in (step for target in self.targets.values() for step in target.steps):
            end = self.now if step.ended is None else step.ended
            stage = found.setdefault(step.name, Stage(step.name, step.began, end))
            stage.began, stage.ended = min(stage.began, step.began), max(stage.ended, end)
            stage.busy_s, stage.steps = stage.busy_s + end - step.began, stage.steps + 1
        return sorted(found.values(), key=lambda one: one.began)

    # Events

    def apply(self, event: Event, at: float) -> None:
        """Take an event into account. at: seconds since the start; no earlier than the event before."""
        self.now = max(self.now, at)
        match event:
            case RunStarted():
                self.doing = event.doing
                for about in event.targets:
                    self._target(about.uid).about = about
            case RunFinished():
                self.state = event.state
            case HostTraffic():
                self._host(event.host)._take(event, at)
            case RequestRetried():
                self._retried(event, at)
            case HostPaused():
                host = self._host(event.host)
                host.paused_until, host.pause_reason = at + event.wait_s, event.reason
                host._wait(event.reason, event.wait_s, at)
                self._mark(Mark(at, "pause", event.wait_s, event.reason, event.host))
            case RequestsSaved():
                self.saved = event.count
            case ArtifactAdded():
                self.artifacts += 1
            case Noted():
                if event.target:
                    self._target(event.target).notes.append(event.message)
                else:
                    self.notes.append(event)
            case StepStarted() | StepFinished() | StepRetried() | SourcesMissing() | TagMoved() | TargetFinished():
                self._of_target(event, self._target(event.target), at)

    def _of_target(self, event: Event, target: Target, at: float) -> None:
        match event:
            case StepStarted():
                name, _, place = event.step.partition(" ")
                if target.began is None:
                    target.began = at
                target.steps.append(Step(name, place, at))
                self._set(target, RUNNING)
            case StepFinished():
                target.missing = ()
                if (step := target._find(event.step)) is not None:
                    step.ended, step.error = at, event.error
            case StepRetried():
                target.retries += 1
                if (step := target._find(event.step)) is not None:
                    step.retries += 1
                self._mark(Mark(at, "retry", event.wait_s, event.reason, target=target.uid, subject=event.step))
            case SourcesMissing():
                if not target.missing:
                    self._mark(Mark(at, "sources", 0.0, "builds are missing", target=target.uid))
                target.missing = event.missing
            case TagMoved():
                target.moves.append(Move(at, event.reference, event.digest, event.previous))
            case TargetFinished():
                target.ended, target.missing = at, ()
                if target.began is None:
                    target.began = at
                for step in target.running:  # cancelled
                    step.ended = at
                self._set(target, event.state)

    def _retried(self, event: RequestRetried, at: float) -> None:
        host, subject = self._host(event.host), f"{event.action} {event.about}"
        host.retries += 1
        host.retry_at, host.retry_reason = at, event.reason
        host._wait(event.reason, event.wait_s, at, subject=subject)
        self._mark(Mark(at, "retry", event.wait_s, event.reason, event.host, event.target, subject))

    def _mark(self, mark: Mark) -> None:
        if len(self.marks) < MOST_MARKS:
            self.marks.append(mark)

    def _host(self, name: str) -> Host:
        found = self.hosts.get(name)
        if found is None:
            found = self.hosts[name] = Host(name)
        return found

    def _target(self, uid: str) -> Target:
        found = self.targets.get(uid)
        if found is None:
            found = self.targets[uid] = Target(RunTarget(uid))
            self.counts[QUEUED] += 1
        return found

    def _set(self, target: Target, state: str) -> None:
        self.counts[target.state] -= 1
        self.counts[state] += 1
        target.state = state
