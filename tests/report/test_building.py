"""What is said after a build: each failure once, with its output and its place; how many targets were built."""

from dataclasses import dataclass
from typing import Any, cast

from bakery.build.outcome import BuildFailure, BuildOutcome, State, TargetBuild
from bakery.report.building import failure_lines, result_line


@dataclass
class Named:
    uid: str


def one(uid, state=State.BUILT, failure=None, attempts=1):
    target = cast(Any, Named(uid))
    return TargetBuild(target, ("linux/amd64",), state, attempts=attempts, failure=failure)


FAILURE = BuildFailure("exit code: 2", "[2/2] RUN make", "app/Containerfile", 7, ("making", "\x1b[31mno\x1b[0m"))
FAILED = BuildOutcome((one("a-1"), one("b-1", State.FAILED, FAILURE), one("c-1", State.STOPPED)), 12.34)


def test_a_failure_is_its_last_output_and_a_line_with_its_place():
    assert failure_lines(FAILED).splitlines() == [
        "b-1: last output of [2/2] RUN make",
        "  | making",
        "  | \\x1b[31mno\\x1b[0m",
        "error[build/failed]: b-1: exit code: 2 (app/Containerfile:7)",
    ]


def test_on_github_the_line_is_an_annotation_at_that_place():
    text = failure_lines(FAILED, folder="images", github=True)
    assert "::error file=images/app/Containerfile,line=7,title=b-1::exit code: 2" in text.splitlines()


def test_output_of_a_build_gives_github_no_command():
    failure = BuildFailure("::stop-commands::x", tail=("::add-mask::y", "##[group]z"))
    text = failure_lines(BuildOutcome((one("b-1", State.FAILED, failure),)), github=True)
    assert text.splitlines() == [
        "b-1: last output",
        "  | : :add-mask: :y",
        "  | ## [group]z",
        "::error title=b-1::: :stop-commands: :x",
    ]


def test_targets_that_failed_in_the_same_way_are_named_together():
    failure = BuildFailure("failed to connect to the docker API at unix:///x")
    outcome = BuildOutcome(tuple(one(f"{name}-1", State.FAILED, failure) for name in "abcde"), loaded=True)
    assert failure_lines(outcome).splitlines() == [
        "error[build/failed]: a-1, b-1, c-1 and 2 more: failed to connect to the docker API at unix:///x",
        "hint: pass --no-load if Docker is not running here, or --push to push the images",
    ]


def test_attempts_are_counted_if_there_were_several():
    outcome = BuildOutcome((one("b-1", State.FAILED, BuildFailure("no"), attempts=3),))
    assert failure_lines(outcome) == "error[build/failed]: b-1: no (in 3 attempts)\n"


def test_the_result_names_what_failed_and_what_did_not_finish():
    assert result_line(FAILED) == "❌ built 1 of 3 targets in 12.3 s; failed: b-1; not finished: c-1"
    assert result_line(BuildOutcome((one("a-1"),), 1.0)) == "✅ built 1 target in 1.0 s"
