"""States that follow from what was done: of tags, destinations, targets and the exit code of a run."""

from typing import Any

import pytest

from bakery.errors import AuthError, ExitCode
from bakery.oci.reference import Repository
from bakery.publish.outcome import Failure, Outcome, State, Step
from bakery.publish.plan import Destination
from bakery.publish.progress import DestinationProgress, TargetProgress
from tests.publish.fakes import refusal, target

PLACE = Destination(Repository.parse("one.example/app"), ("1", "2"))
FAILED = Failure(Step.STAGE, refusal())
DENIED = Failure(Step.STAGE, AuthError("cannot push", about="x", why="401"))


def place(**more: Any) -> DestinationProgress:
    made: dict[str, Any] = {name: set(value) if isinstance(value, tuple) else value for name, value in more.items()}
    return DestinationProgress(PLACE, **made)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (place(verified=("1", "2"), step=Step.VERIFY), True),
        (place(verified=("1", "2"), step=Step.COMMIT), False),
        (place(verified=("1",), step=Step.VERIFY), False),
    ],
)
def test_a_destination_is_done_when_every_tag_was_verified_in_the_last_step(one, expected):
    assert one.is_done is expected


@pytest.mark.parametrize(
    ("one", "target_failed", "expected"),
    [
        (place(verified=("1", "2")), False, State.UNCHANGED),
        (place(verified=("1", "2"), written=("1",)), False, State.PUBLISHED),
        (place(verified=("1",), written=("1", "2")), False, State.STOPPED),
        (place(verified=("1",), in_flight=("2",)), False, State.STOPPED),
        (place(verified=("1",)), False, State.STOPPED),
        (place(verified=("1", "2"), failure=FAILED), False, State.FAILED),
        (place(verified=("1", "2")), True, State.FAILED),
    ],
)
def test_the_state_of_a_destination_follows_from_its_tags_and_failures(one, target_failed, expected):
    assert one.outcome(target_failed).state is expected


def progress(*places: DestinationProgress, **more) -> TargetProgress:
    return TargetProgress(target([]), places, **more)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (progress(place(), place(failure=FAILED), ended=True), State.FAILED),
        (progress(place(), failure=FAILED, ended=True), State.FAILED),
        (progress(place(written=("1",))), State.STOPPED),
        (progress(place(), place(written=("1",)), ended=True), State.PUBLISHED),
        (progress(place(), place(), ended=True), State.UNCHANGED),
    ],
)
def test_the_state_of_a_target_follows_from_its_destinations(one, expected):
    assert one.state is expected


def outcome(*failures: Failure, **more) -> Outcome:
    return Outcome(tuple(progress(failure=one, ended=True).outcome() for one in failures), **more)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (outcome(), ExitCode.DONE),
        (outcome(FAILED), ExitCode.FAILED),
        (outcome(DENIED), ExitCode.AUTHENTICATION),
        (outcome(DENIED, FAILED), ExitCode.FAILED),
        (outcome(FAILED, interrupted=True), 130),
        (outcome(interrupted=True, signum=15), 143),
    ],
)
def test_the_exit_code_follows_from_the_failures_and_the_interrupt(one, expected):
    assert one.exit_code == expected
