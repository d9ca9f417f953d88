"""What the live view shows: it fits every terminal, what runs comes first, failures stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.events import (
    HostPaused,
    HostTraffic,
    RequestRetried,
    RunPlace,
    RunStarted,
    RunTarget,
    SourcesMissing,
    StepFinished,
    StepRetried,
    StepStarted,
    TargetFinished,
)
from bakery.report.columns import Terminal, display_width
from bakery.report.frame import frame
from bakery.report.model import Run

PLACES = (RunPlace("ghcr.io/acme/hello", ("1",)), RunPlace("docker.io/acme/hello", ("1",)))
DENIED = "cannot write blob docker.io/acme/hello@sha256:abc: 403 DENIED (hint: log in)"


def run_of(count: int = 7, *, running: int = 3, done: int = 0, failed: int = 0, name: str = "hello") -> Run:
    """Return a run in which the first targets failed, the next are done, the next run, and the others are queued."""
    run = Run()
    targets = tuple(RunTarget(f"{name}-{number}.0", name, f"{number}.0", places=PLACES) for number in range(count))
    run.apply(RunStarted("publish", targets), 0.0)
    for number, target in enumerate(targets[: failed + done + running]):
        for place in PLACES:
            run.apply(StepStarted(target.uid, f"stage {place.repository}"), 1.0 + number)
        if number < failed:
            run.apply(StepFinished(target.uid, "stage docker.io/acme/hello", 1.0, DENIED), 5.0 + number)
        if number < failed + done:
            run.apply(TargetFinished(target.uid, "failed" if number < failed else "published", 1.0), 6.0 + number)
    return run


def drawn(run: Run, now: float = 20.0, *, width: int = 80, height: int = 24, unicode: bool = True) -> list[str]:
    return ["".join(text for text, _ in line) for line in frame(run, now, Terminal(width, height, unicode))]


def test_a_frame_counts_lists_what_runs_and_has_a_line_per_registry():
    run = run_of(7, running=2, done=2, failed=1)
    run.apply(HostTraffic("ghcr.io", 132, 3_100_000, 12_000_000), 19.0)
    run.apply(HostTraffic("docker.io", 12, 0, 0), 19.0)
    run.apply(HostPaused("ghcr.io", 3.5, "429: slow down"), 19.0)
    assert drawn(run) == [
        "Publishing 3 of 7 done · 1 failed · 15.1 MB · 5.0 MB/s · 0:20 · 0:26 left",
        "▸ hello-3.0  stage ghcr.io, docker.io                                       0:16",
        "▸ hello-4.0  stage ghcr.io, docker.io                                       0:15",
        "  and 2 queued",
        "✗ hello-0.0  stage docker.io: 403 DENIED",
        "ghcr.io    throttled, 3 s · 132 requests · ↑ 12.0 MB · ↓ 3.1 MB · 429: slow down",
        "docker.io  12 requests",
    ]


def test_a_narrow_terminal_shows_less_and_says_the_same():
    run = run_of(7, running=1, done=2, failed=1)
    run.apply(HostTraffic("ghcr.io", 132, 3_100_000, 12_000_000), 19.0)
    run.apply(HostPaused("ghcr.io", 3.0, "429"), 19.0)
    assert drawn(run, width=40) == [
        "Publishing 3 of 7 done · 1 failed · 0:20",
        "▸ hello-3.0  stage ghcr.io, docker… 0:16",
        "  and 3 queued",
        "✗ hello-0.0  stage docker.io: 403 DENIED",
        "ghcr.io  throttled, 2 s · ↑ 12.0 MB",
    ]


def test_what_a_target_waits_for_is_named():
    run = run_of(4, running=0)
    run.apply(StepStarted("hello-0.0", "wait"), 1.0)
    run.apply(SourcesMissing("hello-0.0", ("a", "b"), 1.0, 600.0), 1.0)
    run.apply(StepStarted("hello-1.0", "copy"), 2.0)
    run.apply(StepRetried("hello-1.0", "copy", 1, 4.0, "503"), 2.0)
    run.apply(StepStarted("hello-2.0", "stage ghcr.io/acme/hello"), 3.0)
    run.apply(StepFinished("hello-2.0", "stage ghcr.io/acme/hello", 1.0), 4.0)
    first, second, third = drawn(run)[1:4]
    assert "wait for 2 builds" in first
    assert "copy (retry 1)" in second
    assert "wait for other targets" in third


def test_a_retry_is_the_state_of_its_registry_for_a_moment():
    run = run_of(1)
    run.apply(RequestRetried("ghcr.io", "read", "x", 1, 0.5, "503 overloaded"), 10.0)
    assert drawn(run, 12.0)[-1] == "ghcr.io  retrying: 503 overloaded · 0 requests"
    assert drawn(run, 30.0)[-1] == "ghcr.io  0 requests"


def test_the_same_failure_of_many_targets_is_one_line():
    assert "✗ 12 targets  stage docker.io: 403 DENIED" in [
        line.rstrip() for line in drawn(run_of(40, failed=12), width=60)
    ]


def test_failures_stay_when_there_is_no_room_for_all_of_them():
    run = run_of(60, running=20)
    for number in range(20):
        uid = f"hello-{number}.0"
        run.apply(StepFinished(uid, "stage docker.io/acme/hello", 1.0, f"cannot write: reason {number}"), 30.0 + number)
    lines = drawn(run, 60.0, height=14)
    assert "✗ 17 targets failed before" in lines
    assert [line for line in lines if line.startswith("✗ hello")][-1].endswith("reason 19")


def test_the_longest_running_target_is_first_and_the_rest_is_counted():
    lines = drawn(run_of(500, running=60), height=10)
    assert lines[1].startswith("▸ hello-0.0")
    assert lines[-1] == "  and 53 more running, 440 queued"
    assert len(lines) == 9


def test_registries_that_make_us_wait_are_kept_when_there_are_many():
    run = run_of(3)
    for number in range(9):
        run.apply(HostTraffic(f"r{number}.example", number, number * 1000, 0), 1.0)
    run.apply(HostPaused("r0.example", 60.0, "429"), 2.0)
    lines = drawn(run, 3.0)
    assert lines[-1] == "and 6 more registries"
    assert any(line.startswith("r0.example  throttled, 59 s") for line in lines)


@given(
    st.integers(1, 60), st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.integers(0, 6),
    st.integers(1, 200), st.integers(1, 50), st.booleans(), st.text(max_size=50),
)  # fmt: skip
def test_a_frame_fits_every_terminal(count, running, done, failed, hosts, width, height, unicode, name):
    run = run_of(count, running=running, done=done, failed=failed, name=name)
    for number in range(hosts):
        run.apply(HostTraffic(f"{name}{number}", 10**number, 10**number, 10**number), 2.0)
        run.apply(HostPaused(f"{name}{number}", 30.0, name), 3.0)
    lines = drawn(run, width=width, height=height, unicode=unicode)
    assert 1 <= len(lines) <= max(1, height - 1)
    assert all(display_width(line) <= width and line.isprintable() for line in lines)
    assert unicode or all(line.isascii() for line in lines)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_500_targets_fit(width):
    lines = drawn(run_of(500, running=32, done=100, failed=30), width=width)
    assert len(lines) <= 23
    assert all(display_width(line) <= width for line in lines)
