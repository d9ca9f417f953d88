"""The report of a run: what changed and nothing else, failures last, a closing line; it fits a terminal."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from bakery.errors import BakeryError, RegistryError
from bakery.events import HostTraffic, RequestRetried, RequestsSaved
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.publish.outcome import (
    DestinationOutcome,
    Failure,
    Outcome,
    PlatformOutcome,
    State,
    Step,
    TagOutcome,
    TargetOutcome,
)
from bakery.report.columns import display_width
from bakery.report.lines import Form, render
from bakery.report.model import Run
from bakery.report.result import Look, change_lines, closing, result_lines
from tests.report.texts import outcome_lines

INDEX, OLD = Digest.of(b"index"), Digest.of(b"old")
SHORT, SHORT_OLD = f"{str(INDEX)[:14]}…", f"{str(OLD)[:14]}…"
GHCR, HUB = Repository.parse("ghcr.io/acme/hello"), Repository.parse("docker.io/acme/hello")
NEW = (TagOutcome("1.0.0", State.PUBLISHED), TagOutcome("latest", State.PUBLISHED, OLD))


def place(repository: Repository = GHCR, tags=NEW, state: State = State.PUBLISHED, failure: Failure | None = None):
    return DestinationOutcome(repository, state, tags, failure)


def target(*places, version: str = "1.0.0", image: str = "hello", state: State = State.PUBLISHED, **more):
    items = tuple(PlatformOutcome(f"linux/{name}", Digest.of(name.encode()), 1000, 3) for name in ("amd64", "arm64"))
    places, uid = places or (place(),), f"{image}-{version}"
    return TargetOutcome(uid, image, version, "", "", state, INDEX, items, places, **more)


def test_a_change_is_one_line_with_tags_and_what_they_named_before():
    assert outcome_lines(Outcome((target(),))).splitlines()[0] == (
        f"hello 1.0.0  linux/amd64 linux/arm64  {SHORT}  → ghcr.io/acme/hello  :1.0.0 :latest (was {OLD})"
    )


def test_repositories_that_got_the_same_tags_are_named_together():
    line = outcome_lines(Outcome((target(place(), place(HUB)),))).splitlines()[0]
    assert line.endswith(f"→ ghcr.io/acme/hello, docker.io/acme/hello  :1.0.0 :latest (was {OLD})")


def test_only_what_changed_is_listed_and_the_rest_is_a_count():
    same = tuple(TagOutcome(tag.tag, State.UNCHANGED, INDEX) for tag in NEW)
    unchanged = target(place(tags=same, state=State.UNCHANGED), version="0.9", state=State.UNCHANGED)
    half = target(place(), place(HUB, same, State.UNCHANGED))
    lines = outcome_lines(Outcome((unchanged, half))).splitlines()
    assert len(lines) == 2
    assert "docker.io" not in lines[0]
    assert "1 unchanged · 1 published" in lines[1]


def test_tags_that_named_one_image_share_its_digest():
    tags = tuple(TagOutcome(tag, State.PUBLISHED, OLD) for tag in ("1", "1.0"))
    assert f":1 :1.0 (were {OLD})" in outcome_lines(Outcome((target(place(tags=tags)),)))


def test_a_repaired_image_says_so():
    assert "→ ghcr.io/acme/hello  content put back" in outcome_lines(
        Outcome((target(place(state=State.REPAIRED), state=State.REPAIRED),))
    )


def test_changes_are_grouped_by_image_in_push_order_and_aligned():
    outcome = Outcome((target(), target(image="docs", version="7"), target(version="2.0.0")))
    first, second, third = outcome_lines(outcome).splitlines()[:3]
    assert [line[:13] for line in (first, second, third)] == ["hello 1.0.0  ", "hello 2.0.0  ", "docs 7       "]
    assert len({line.index("sha256:") for line in (first, second, third)}) == 1


def test_whole_digests_are_in_the_full_report_and_in_json():
    outcome = Outcome((target(),))
    assert f"{INDEX}  →" in outcome_lines(outcome, full=True)
    (line,) = change_lines(outcome, Look())
    document = json.loads(render(line, datetime(2026, 1, 2, tzinfo=UTC), Form(json=True)))
    assert document["digest"] == str(INDEX)
    assert document["tags"][1] == {"reference": "ghcr.io/acme/hello:latest", "previous": str(OLD)}
    assert (document["event"], document["target"], document["level"]) == ("target", "hello-1.0.0", "info")


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("unicode", [True, False])
def test_no_row_of_the_result_is_wider_than_the_terminal(width, unicode):
    error = BakeryError("cannot write blob", why="403")
    failed = target(place(failure=Failure(Step.STAGE, error)), version="9", state=State.FAILED)
    outcome = Outcome((target(place(), place(HUB)), target(version="10.11.12"), failed), elapsed_s=12.3)
    run = Run()
    run.apply(HostTraffic("ghcr.io", 312, 5, 24_100_000, reused=3, reused_bytes=10**8), 1.0)
    look = Look(width=width, unicode=unicode)
    lines = [*change_lines(outcome, look), closing(outcome, run, doing="Publish", look=look)]
    rows = [row for line in lines for row in line.text.splitlines()]
    assert all(display_width(row) <= width for row in rows), rows
    words = " ".join(" ".join(rows).split())
    for expected in ("ghcr.io/acme/hello", "docker.io/acme/hello", ":1.0.0", ":latest", "linux/arm64", "312 requests"):
        assert expected in words


def test_a_narrow_terminal_shows_a_destination_per_row():
    assert outcome_lines(Outcome((target(),)), width=79).splitlines()[:2] == [
        f"hello 1.0.0  linux/amd64 linux/arm64  {SHORT}",
        f"  → ghcr.io/acme/hello  :1.0.0 :latest (was {SHORT_OLD})",
    ]


def test_the_closing_line_counts_what_the_run_took_and_saved():
    run = Run()
    run.apply(HostTraffic("ghcr.io", 300, 5, 24_100_000, reused=3, reused_bytes=10**8), 1.0)
    run.apply(HostTraffic("docker.io", 12, 0, 0, mounted=1, mounted_bytes=10**8), 1.0)
    run.apply(RequestRetried("ghcr.io", "read", "x", 1, 0.5, "503"), 1.0)
    run.apply(RequestsSaved(45), 2.0)
    line = closing(Outcome((target(), target(version="2")), elapsed_s=12.3), run, doing="Publish", look=Look())
    assert line.text == (
        "✅ Publish completed · 2 published · 12 s · 24.1 MB sent · 200 MB reused · 312 requests (45 saved) · 1 retry"
    )
    assert line.members["requests_saved"] == 45
    assert line.members["targets"] == {"published": 2}


def test_failures_are_last_and_name_step_and_destination_with_a_hint_line():
    error = RegistryError("pushing", about=GHCR, status=500, hint="run it again")
    outcome = Outcome((target(place(failure=Failure(Step.STAGE, error)), state=State.FAILED), target(version="2")))
    lines = outcome_lines(outcome).splitlines()
    assert lines[0].startswith("hello ")
    assert lines[-3:-1] == [
        "error[registry/refused]: hello-1.0.0: [stage] ghcr.io/acme/hello: pushing ghcr.io/acme/hello: 500",
        "hint: run it again",
    ]
    assert lines[-1].startswith("❌ Publish failed: 1 failure")


def test_the_same_failure_of_many_targets_is_one_line_with_a_count():
    def failed(number):
        error = RegistryError("cannot write blob", about=f"{HUB}@{Digest.of(bytes(number))}", status=403, hint="log in")
        return target(place(HUB, (), State.FAILED, Failure(Step.STAGE, error)), version=str(number), state=State.FAILED)

    outcome = Outcome(tuple(failed(number) for number in range(12)))
    first, second, *_ = outcome_lines(outcome).splitlines()
    assert first.startswith("error[registry/refused]: hello-0: [stage] docker.io/acme/hello: cannot write blob")
    assert first.endswith(
        "(and 11 other targets: hello-1, hello-2, hello-3, hello-4, hello-5, hello-6, hello-7, hello-8 and 3 more)"
    )
    assert second == "hint: log in"
    line = result_lines(outcome, Run(), doing="Publish", look=Look())[0]
    assert len(line.members["targets"]) == 12
    annotation = render(line, datetime(2026, 1, 2, tzinfo=UTC), Form(github=True))
    assert annotation.startswith("::error title=12 targets [stage]::")


def test_an_interrupted_run_lists_what_is_published():
    lines = outcome_lines(Outcome((target(), target(version="2", state=State.STOPPED)), interrupted=True))
    assert "published: hello-1.0.0\n" in lines
    assert "interrupted; run the same command again to continue" in lines


def test_a_failure_is_one_line_and_a_bug_has_a_hint_to_show_its_traceback():
    bug = target(failure=Failure(Step.SOCI, RuntimeError("a\nbug")), state=State.FAILED)
    assert outcome_lines(Outcome((bug,))).splitlines()[1:3] == [
        "error[run/internal]: hello-1.0.0: [soci] internal error: RuntimeError: a bug",
        "hint: set BAKERY_DEBUG=1, run the command again, and report the traceback",
    ]


def test_a_name_with_line_breaks_stays_on_its_line():
    assert len(outcome_lines(Outcome((target(image="a\nb"),))).splitlines()) == 2


def test_the_closing_line_of_an_interrupt_is_whole_in_a_narrow_terminal():
    line = closing(Outcome((), interrupted=True), Run(), doing="Publish", look=Look(width=39))
    assert line.text.replace("\n  ", "").startswith("❌ Publish interrupted; run the same command again to continue")
    assert all(len(text) <= 39 for text in line.text.splitlines())
