"""A run as lines: one per target that changed and per notable event, however often something happens."""

from __future__ import annotations

import logging

import pytest

from bakery.events import (
    Event,
    HostPaused,
    Noted,
    RequestRetried,
    RunStarted,
    SourcesMissing,
    StepFinished,
    StepOutput,
    StepStarted,
    TagMoved,
    TagRestored,
    TargetFinished,
)
from bakery.report.lines import Line
from bakery.report.model import Run
from bakery.report.progress import Progress


class Shown:
    """The lines that a user sees at the usual level."""

    def __init__(self, *, is_live: bool = False, level: int = logging.INFO) -> None:
        self._run, self._progress, self._level = Run(), Progress(is_live=is_live), level

    def __call__(self, event: Event, at: float = 0.0) -> list[str]:
        self._run.apply(event, at)
        return [_text(line) for line in self._progress.lines(event, self._run, at) if line.level >= self._level]


def _text(line: Line) -> str:
    return ": ".join(filter(None, (line.target, line.text)))


def retried(number: int, reason: str = "429: slow down", host: str = "ghcr.io") -> RequestRetried:
    return RequestRetried(host, "read manifest", f"x{number}", 1, 3.1, reason)


def test_requests_that_wait_for_one_reason_are_counted_in_one_line():
    shown = Shown()
    lines = [shown(retried(number), 100.0 + number / 10) for number in range(12)]
    assert lines == [["ghcr.io: 429: slow down, 1 request waiting 3.1 s"], *[[]] * 11]
    assert shown(retried(12), 111.0) == ["ghcr.io: 429: slow down, 12 requests waiting 3.1 s"]


def test_another_host_or_reason_has_a_line_of_its_own():
    shown = Shown()
    assert shown(retried(1))
    assert shown(retried(1, host="quay.io"))[0].startswith("quay.io: ")
    assert "503" in shown(retried(1, "503"))[0]


def test_digests_and_times_in_a_reason_do_not_make_it_another_one():
    shown = Shown()
    assert shown(retried(1, f"no sha256:{'a' * 64} after 1.5 s"), 0.0)
    assert shown(retried(2, f"no sha256:{'b' * 64} after 2 s"), 1.0) == []


def test_a_pause_is_reported_once_however_many_responses_ask_for_it():
    shown = Shown()
    lines = [shown(HostPaused("ghcr.io", 2.0, "429"), number / 100) for number in range(5)]
    assert lines == [["ghcr.io requests a wait of 2.0 s: 429"], [], [], [], []]


def test_a_servers_reason_cannot_break_the_line():
    assert "\n" not in Shown()(retried(1, "a\n::error::b\x1b[2J"))[0]


def test_single_retries_are_there_for_debugging():
    assert any("attempt 1 failed" in text for text in Shown(level=logging.DEBUG)(retried(1)))


def test_awaited_builds_are_one_line_for_all_targets_now_and_then():
    shown = Shown()
    first, second = "1 of 600 s; --wait-timeout sets the limit", "31 of 600 s; --wait-timeout sets the limit"
    assert shown(SourcesMissing("a", ("x", "y"), 1.0, 600.0), 1.0) == [
        f"waiting for 2 builds of 1 target, such as x ({first})"
    ]
    assert shown(SourcesMissing("b", ("z",), 1.0, 600.0), 1.0) == []
    assert shown(SourcesMissing("a", ("y",), 31.0, 600.0), 31.0) == [
        f"waiting for 2 builds of 2 targets, such as y ({second})"
    ]


def test_one_awaited_build_is_named():
    (line,) = Shown()(SourcesMissing("a", ("host/x:1",), 1.0, 600.0), 1.0)
    assert line == "waiting for host/x:1 (1 of 600 s; --wait-timeout sets the limit)"


def test_a_rehearsal_names_no_option_that_it_has_not():
    shown = Shown()
    shown(RunStarted("rehearse", ()))
    (line,) = shown(SourcesMissing("a", ("host/x:1",), 1.0, 600.0), 1.0)
    assert line == "waiting for host/x:1 (1 of 600 s)"


def test_next_to_a_live_view_only_a_long_wait_for_builds_is_a_line():
    shown = Shown(is_live=True)
    assert shown(SourcesMissing("a", ("x",), 9.0, 600.0), 9.0) == []
    assert len(shown(SourcesMissing("a", ("x",), 11.0, 600.0), 11.0)) == 1
    assert shown(SourcesMissing("a", ("x",), 12.0, 600.0), 12.0) == []


def test_a_target_that_changed_is_a_line_and_one_that_did_not_is_none():
    shown = Shown()
    assert shown(TargetFinished("app", "published", 3.25)) == ["app: published in 3.2 s"]
    assert shown(TargetFinished("base", "unchanged", 1.0)) == []


def test_tags_are_not_lines_of_their_own_but_restored_ones_are():
    shown = Shown()
    assert shown(TagMoved("app", "x:1", "sha256:1", "")) == []
    assert "restored" in shown(TagRestored("app", "x:1", "sha256:1", "sha256:2"))[0]


def test_the_same_failure_of_many_targets_is_one_line():
    shown, lines = Shown(), []
    for uid in ("a", "b", "c"):
        shown(StepStarted(uid, "stage docker.io/acme/app"))
        error = f"cannot write blob docker.io/acme/{uid}: 403 DENIED (hint: log in)"
        shown(StepFinished(uid, "stage docker.io/acme/app", 1.0, error))
        lines += shown(TargetFinished(uid, "failed", 1.0))
    assert lines == ["a: failed: stage docker.io/acme/app: 403 DENIED"]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        ("cannot open upload x/app: 403 DENIED: permission_denied: write", "403 DENIED: permission_denied: write"),
        ('failed to compute cache key: "/nothere": not found', '"/nothere": not found'),
        ("the builder is gone", "the builder is gone"),
    ],
)  # fmt: skip
def test_the_line_of_a_failure_has_the_whole_reason(error, why):
    shown = Shown()
    shown(StepStarted("a", "build"))
    shown(StepFinished("a", "build", 1.0, error))
    assert shown(TargetFinished("a", "failed", 1.0)) == [f"a: failed: build: {why}"]


@pytest.mark.parametrize(
    "event",
    [
        retried(1),
        HostPaused("ghcr.io", 2.0, "429"),
        SourcesMissing("a", ("x",), 1.0, 600.0),
        TargetFinished("a", "published", 1.0),
        TargetFinished("a", "failed", 1.0),
        TagRestored("app", "x:1", "sha256:1", "sha256:2"),
        StepOutput("app", "build", "#1 [1/3] FROM debian"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_live_view_shows_the_rest_so_only_notes_are_lines(event):
    shown = Shown(is_live=True)
    assert shown(event) == []
    assert shown(Noted("app", "left out linux/s390x")) == ["app: left out linux/s390x"]
