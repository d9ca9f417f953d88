"""The model of a run: what events add up to, for everything that shows a run."""

from __future__ import annotations

import pytest

from bakery.events import (
    Event,
    HostPaused,
    HostTraffic,
    Noted,
    RequestRetried,
    RequestsSaved,
    RunFinished,
    RunPlace,
    RunStarted,
    RunTarget,
    SourcesMissing,
    StepFinished,
    StepRetried,
    StepStarted,
    TagMoved,
    TargetFinished,
)
from bakery.report.model import MOST_MARKS, MOST_SAMPLES, Mark, Run, Sample
from bakery.report.recorder import Recorder

GHCR, HUB = "ghcr.io", "docker.io"
APP = RunTarget("app", "hello", "1.0.0", places=(RunPlace("ghcr.io/acme/hello", ("1.0.0", "latest")),))


def after(*events: tuple[float, Event]) -> Run:
    run = Run()
    for at, event in events:
        run.apply(event, at)
    return run


def traffic(host: str = GHCR, *, requests: int = 1, got: int = 0, sent: int = 0) -> HostTraffic:
    return HostTraffic(host, requests, got, sent)


def test_a_target_is_queued_then_running_then_as_it_ended():
    run = after((0, RunStarted("publish", (APP, RunTarget("base")))))
    assert (run.doing, run.counts["queued"], run.done) == ("publish", 2, 0)
    run.apply(StepStarted("app", "wait"), 1)
    assert (run.counts["queued"], run.counts["running"]) == (1, 1)
    run.apply(TargetFinished("app", "published", 4.0), 5)
    assert (run.targets["app"].state, run.done, run.counts["running"]) == ("published", 1, 0)
    assert run.targets["app"].elapsed_s(99) == 4


def test_steps_keep_their_place_their_times_and_their_error():
    run = after(
        (1, StepStarted("app", "stage ghcr.io/acme/hello")),
        (1, StepStarted("app", "stage docker.io/acme/hello")),
        (3, StepFinished("app", "stage docker.io/acme/hello", 2.0, "denied")),
    )
    ghcr, hub = run.targets["app"].steps
    assert (ghcr.name, ghcr.place, ghcr.ended, ghcr.elapsed_s(9)) == ("stage", "ghcr.io/acme/hello", None, 8)
    assert (hub.began, hub.ended, hub.error) == (1, 3, "denied")
    assert run.targets["app"].has_failed
    assert run.targets["app"].running == [ghcr]


def test_a_step_that_was_cancelled_ends_with_its_target():
    run = after((1, StepStarted("app", "commit x")), (4, TargetFinished("app", "stopped", 3.0)))
    assert run.targets["app"].steps[0].ended == 4


def test_the_traffic_of_a_host_is_its_last_totals_and_the_run_is_the_sum_over_hosts():
    run = after(
        (1, traffic(requests=2, got=10)),
        (2, traffic(requests=5, got=30, sent=7)),
        (2, traffic(HUB, requests=1, sent=3)),
    )
    assert (run.requests, run.bytes_in, run.bytes_out) == (6, 30, 10)
    assert run.hosts[GHCR].samples == [Sample(1, 2, 10, 0), Sample(2, 5, 30, 7)]


def test_bytes_of_blobs_that_were_there_or_mounted_are_spared():
    run = after((1, HostTraffic(GHCR, 1, 0, 0, reused=2, reused_bytes=100, mounted=1, mounted_bytes=50)))
    run.apply(RequestsSaved(12), 2)
    assert (run.bytes_spared, run.saved) == (150, 12)


def test_the_rate_is_that_of_the_last_seconds_in_both_directions():
    run = after((1, traffic(got=1000)), (8, traffic(got=1000)), (10, traffic(got=2500, sent=1500)))
    assert run.rate(10) == pytest.approx(3000 / 3)
    assert run.rate(20) == 0


def test_the_first_rate_is_over_the_time_that_passed():
    assert after((1, traffic(got=500))).rate(1) == 500


def test_retries_of_one_host_and_reason_are_one_cause_whatever_their_digests_and_times():
    run = after(
        (1, RequestRetried(GHCR, "read manifest", "x@sha256:" + "a" * 64, 1, 2.0, "not there for 1.5 s", "app")),
        (2, RequestRetried(GHCR, "read manifest", "y", 1, 3.0, "not there for 22 s", "app")),
        (3, HostPaused(GHCR, 30.0, "429")),
    )
    slow, lag = run.causes
    assert (slow.reason, slow.pauses, slow.waited_s) == ("429", 1, 30.0)
    assert (lag.count, len(lag.subjects), lag.longest_s, lag.first, lag.last) == (2, 2, 3.0, 1, 2)
    assert run.retries == 2
    assert run.hosts[GHCR].waited_s == 35.0
    assert run.hosts[GHCR].paused_until == 33.0
    assert run.marks[0].target == "app"


def test_a_retried_step_counts_for_its_target_and_leaves_a_mark():
    run = after((1, StepStarted("app", "copy")), (2, StepRetried("app", "copy", 1, 4.0, "503")))
    assert (run.targets["app"].retries, run.targets["app"].steps[0].retries) == (1, 1)
    assert run.marks == [Mark(2, "retry", 4.0, "503", target="app", subject="copy")]


def test_a_target_lists_the_sources_it_waits_for_until_the_step_ends():
    waiting = SourcesMissing("app", ("a", "b"), 1.0, 600.0)
    run = after((0, StepStarted("app", "wait")), (1, waiting), (2, waiting))
    assert list(run.targets["app"].missing) == ["a", "b"]
    assert [mark.kind for mark in run.marks] == ["sources"]
    run.apply(StepFinished("app", "wait", 3.0), 3)
    assert not run.targets["app"].missing


def test_moved_tags_and_notes_belong_to_their_target():
    run = after((1, TagMoved("app", "x:1", "sha256:1", "")), (2, Noted("app", "no SOCI")), (3, Noted("", "slow")))
    assert run.targets["app"].moves[0].reference == "x:1"
    assert run.targets["app"].notes == ["no SOCI"]
    assert [note.message for note in run.notes] == ["slow"]


def test_stages_span_from_the_first_beginning_to_the_last_end_and_add_up_what_ran_side_by_side():
    run = after(
        (0, StepStarted("a", "wait")),
        (2, StepFinished("a", "wait", 2.0)),
        (1, StepStarted("b", "wait")),
        (2, StepStarted("a", "stage x")),
        (5, StepFinished("b", "wait", 4.0)),
    )
    wait, stage = run.stages()
    assert (wait.began, wait.ended, wait.busy_s, wait.steps) == (0, 5, 6, 2)
    assert (stage.name, stage.ended) == ("stage", 5)


def test_the_time_left_follows_from_what_is_done():
    run = after((0, RunStarted("publish", (APP, RunTarget("base")))))
    assert run.eta_s(10) is None
    run.apply(TargetFinished("base", "published", 1.0), 1)
    assert run.eta_s(10) == 10
    assert run.eta_s(1) is None  # too early


def test_nobody_knows_how_long_builds_take_so_there_is_no_time_left_while_sources_are_missing():
    run = after((0, RunStarted("publish", (APP, RunTarget("base")))), (1, TargetFinished("base", "published", 1.0)))
    run.apply(SourcesMissing("app", ("x",), 1.0, 600.0), 2)
    assert run.eta_s(10) is None


def test_the_end_of_a_run_has_a_state():
    assert after((0, RunStarted("publish")), (9, RunFinished("interrupted", 9.0))).state == "interrupted"


def test_memory_is_bounded_however_long_a_run_takes():
    run = Run()
    for number in range(MOST_SAMPLES * 3):
        run.apply(traffic(requests=number), number)
    for number in range(MOST_MARKS + 5):
        run.apply(StepRetried("app", "copy", 1, 1.0, "503"), number)
    samples = run.hosts[GHCR].samples
    assert len(samples) <= MOST_SAMPLES
    assert samples == sorted(samples, key=lambda one: one.at)
    assert samples[-1].requests == MOST_SAMPLES * 3 - 1
    assert len(run.marks) == MOST_MARKS
    assert run.targets["app"].retries == MOST_MARKS + 5


def test_the_recorder_notes_each_time_once_and_listeners_see_the_model_after_the_event():
    heard: list[tuple[Event, int, float]] = []
    times = iter([100.0, 102.5])
    recorder = Recorder(
        [lambda event, run, at: heard.append((event, len(run.targets), at))],
        clock=lambda: next(times),
        wall=lambda: 7.0,
    )
    event = StepStarted("app", "wait")
    recorder(event)
    assert heard == [(event, 1, 2.5)]
    assert recorder.run.started_at == 7.0
    with recorder.reading() as run:
        assert run.now == 2.5
