"""Retries are few lines: one per host and reason."""

from __future__ import annotations

from bakery.events import HostPaused, RequestRetried
from bakery.report.retrying import RetryGroups


def retried(number: int, reason: str = "429: slow down", host: str = "ghcr.io") -> RequestRetried:
    return RequestRetried(host, "read manifest", f"x{number}", 1, 3.1, reason)


def test_requests_that_wait_for_one_reason_are_counted_in_one_line():
    groups = RetryGroups()
    lines = [groups.line(retried(number), 100.0 + number / 10) for number in range(12)]
    assert lines == ["ghcr.io: 429: slow down, 1 request waiting 3.1 s", *[""] * 11]
    assert groups.line(retried(1), 111.0) == "ghcr.io: 429: slow down, 11 requests waiting 3.1 s"


def test_another_host_or_reason_has_a_line_of_its_own():
    groups = RetryGroups()
    assert groups.line(retried(1), 0.0)
    assert groups.line(retried(1, host="quay.io"), 0.0).startswith("quay.io: ")
    assert "503" in groups.line(retried(1, "503"), 0.0)


def test_digests_and_times_in_a_reason_do_not_make_it_another_one():
    groups = RetryGroups()
    assert groups.line(retried(1, f"no sha256:{'a' * 64} after 1.5 s"), 0.0)
    assert groups.line(retried(2, f"no sha256:{'b' * 64} after 2 s"), 1.0) == ""


def test_a_pause_is_reported_once_however_many_responses_ask_for_it():
    groups = RetryGroups()
    lines = [groups.line(HostPaused("ghcr.io", 2.0, "429"), number / 100) for number in range(5)]
    assert lines == ["ghcr.io requests a wait of 2.0 s: 429", "", "", "", ""]


def test_a_servers_reason_cannot_break_the_line():
    assert "\n" not in RetryGroups().line(retried(1, "a\n::error::b\x1b[2J"), 0.0)
