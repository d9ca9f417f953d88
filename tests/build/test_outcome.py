"""What an outcome says of its targets, and the exit code that follows."""

from typing import Any, cast

import pytest

from bakery.build.outcome import BuildFailure, BuildOutcome, State, TargetBuild


def one(state=State.BUILT, **fields):
    return TargetBuild(cast(Any, None), ("linux/amd64",), state, **fields)


CODES = {
    "all built": ([State.BUILT, State.BUILT], 0, 0),
    "one failed": ([State.BUILT, State.FAILED], 0, 1),
    "one not finished": ([State.BUILT, State.STOPPED], 0, 1),
    "nothing to build": ([], 0, 0),
    "SIGTERM": ([State.STOPPED], 15, 143),
    "SIGINT": ([State.BUILT], 2, 130),
}


@pytest.mark.parametrize(("states", "signum", "code"), CODES.values(), ids=CODES)
def test_the_exit_code_is_0_if_every_target_was_built(states, signum, code):
    assert BuildOutcome(tuple(map(one, states)), signum=signum).exit_code == code


def test_failed_targets_are_those_that_failed_not_those_that_did_not_finish():
    outcome = BuildOutcome((one(), one(State.FAILED, failure=BuildFailure("no")), one(State.STOPPED)))
    assert outcome.failed == (outcome.targets[1],)


def test_the_share_of_cached_steps_is_unknown_without_steps():
    assert one(steps=4, cached_steps=1).cache_hit_ratio == 0.25
    assert one().cache_hit_ratio is None


def test_the_digest_is_that_of_the_metadata():
    assert one(metadata={"containerimage.digest": "sha256:a"}).digest == "sha256:a"
    assert one(metadata={}).digest == one().digest == ""
