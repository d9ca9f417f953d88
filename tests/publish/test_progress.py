"""States that follow from what was done: of tags, destinations, targets and the exit code of a run."""

from typing import Any

import pytest

from bakery.errors import AuthError, ExitCode
from bakery.oci.reference import Repository
from bakery.publish.outcome import Failure, Outcome, SetFailed, State, Step
from bakery.publish.plan import Destination
from bakery.publish.policy import Action, PolicyRefused, Verdict
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


REFUSES, SKIPS, MOVES = (Verdict(action) for action in (Action.REFUSE, Action.SKIP, Action.MOVE))
BY_POLICY = Failure(Step.COMMIT, PolicyRefused("a tag may not move"))
BY_SET = Failure(Step.COMMIT, SetFailed("no tag of the run moved"))


def tag_states(one: DestinationProgress, *, target_failed: bool = False) -> list[State]:
    return [tag.state for tag in one.outcome(target_failed).tags]


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (place(verified=("1", "2"), written=("1",)), [State.PUBLISHED, State.UNCHANGED]),
        (place(written=("1",), in_flight=("2",)), [State.MOVED, State.UNSURE]),
        (place(), [State.STOPPED, State.STOPPED]),
        (place(failure=FAILED), [State.FAILED, State.FAILED]),
        (place(failure=BY_SET, begun=("1",)), [State.FAILED, State.STOPPED]),
        (place(failure=FAILED, begun=("1",)), [State.FAILED, State.FAILED]),
        (place(restored=("1",), written=("1",), taken=("2",)), [State.RESTORED, State.TAKEN]),
        (place(verdicts={"1": REFUSES, "2": SKIPS}), [State.REFUSED, State.SKIPPED]),
        (place(verdicts={"1": REFUSES, "2": MOVES}, written=("1", "2")), [State.MOVED, State.MOVED]),
    ],
)
def test_the_state_of_a_tag_is_the_last_thing_that_is_known_of_it(one, expected):
    assert tag_states(one) == expected


NO_TAGS = Destination(PLACE.repository, ())


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (DestinationProgress(NO_TAGS, wrote_content=True), State.PUBLISHED),
        (DestinationProgress(NO_TAGS), State.UNCHANGED),
        (place(wrote_content=True), State.REPAIRED),
        (place(wrote_content=True, written=("1",)), State.PUBLISHED),
        (place(written=("1",)), State.PUBLISHED),
        (place(), State.UNCHANGED),
    ],
)
def test_content_without_a_tag_is_a_repair_unless_only_a_digest_was_wanted(one, expected):
    assert one.done_state is expected


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (progress(place(failure=BY_POLICY), ended=True), State.REFUSED),
        (progress(place(failure=BY_POLICY), place(), ended=True), State.REFUSED),
        (progress(place(failure=BY_POLICY), place(failure=BY_SET), ended=True), State.REFUSED),
        (progress(place(failure=BY_POLICY), place(failure=FAILED), ended=True), State.FAILED),
        (progress(place(failure=BY_POLICY), failure=FAILED, ended=True), State.FAILED),
        (progress(place(failure=BY_SET), ended=True), State.FAILED),
        (progress(place(wrote_content=True), place(), ended=True), State.REPAIRED),
        (progress(place(wrote_content=True), place(written=("1",)), ended=True), State.PUBLISHED),
    ],
)
def test_a_target_is_refused_only_if_nothing_else_failed(one, expected):
    assert one.state is expected
