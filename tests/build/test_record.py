"""What a command printed, wrote and ended with becomes the state of a target, and the reason of its failure."""

from typing import Any, cast

import pytest

from bakery.build.check import CheckResult, CheckWarning, read_check
from bakery.build.outcome import BuildFailure, State
from bakery.build.plan import PlannedBuild
from bakery.build.progress import Progress
from bakery.build.record import Record
from bakery.parallel.failure import NotStarted
from bakery.parallel.spawn import Exit

CONTAINERFILE = "FROM scratch\nCOPY a b\nRUN make\n"
FAILED = Exit(1, b"", b"", 1.0)
DONE = Exit(0, b"", b"", 1.0)
ENTRY = {"containerimage.digest": "sha256:a"}


class Named:
    uid = "x-1"
    containerfile = "app/1.0/Containerfile"


@pytest.fixture
def record(tmp_path):
    file = tmp_path / Named.containerfile
    file.parent.mkdir(parents=True)
    file.write_text(CONTAINERFILE)
    return Record(PlannedBuild(cast(Any, Named()), ("linux/amd64",), "cache:1"), tmp_path)


def progress(text="", *uids):
    made = Progress(uids or ("x-1", "y-1"))
    for number, line in enumerate(text.splitlines()):
        made.feed(line, float(number))
    return made


STATES = {
    "metadata": (ENTRY, FAILED, "", State.BUILT),
    "metadata, ended by a signal": (ENTRY, None, "", State.BUILT),
    "done without metadata": (None, DONE, "", State.BUILT),
    "failed": (None, FAILED, "", State.FAILED),
    "metadata that is not an object": ("x", FAILED, "", State.FAILED),
    "ended by a signal": (None, None, "#1 [x-1 1/2] COPY a b\n", State.STOPPED),
    "failed before a signal": (None, None, "#1 [x-1 1/2] COPY a b\n#1 ERROR: no\n", State.FAILED),
    "result before a signal": (None, None, "#1 [internal] target results\n#1 x-1: failed done\n", State.FAILED),
}


@pytest.mark.parametrize(("entry", "done", "text", "state"), STATES.values(), ids=STATES)
def test_a_target_is_built_if_it_has_metadata_or_its_command_succeeded(record, entry, done, text, state):
    record.take(progress(text), entry, done, None)
    assert record.state is state
    assert (record.metadata == ENTRY) is (entry is ENTRY)
    assert (record.failure is None) is (state is not State.FAILED)


def test_a_retry_that_succeeds_leaves_no_failure(record):
    record.take(progress(), None, FAILED, None)
    record.take(progress(), ENTRY, DONE, None)
    assert (record.state, record.failure) == (State.BUILT, None)


def test_a_retry_that_is_ended_by_a_signal_leaves_no_failure(record):
    record.take(progress(), None, FAILED, None)
    record.take(progress(), None, None, None)
    assert (record.state, record.failure) == (State.STOPPED, None)


def test_times_add_up_and_steps_are_those_of_the_last_command(record):
    text = "\n\n#1 [x-1 1/2] COPY a b\n#1 CACHED\n#2 [x-1 2/2] RUN make\n#2 DONE 0.1s\n"
    record.take(progress(text), None, FAILED, None)
    record.take(progress(text), ENTRY, DONE, None)
    outcome = record.outcome()
    assert (outcome.seconds, outcome.steps, outcome.cached_steps, outcome.cache_ref) == (6.0, 2, 1, "cache:1")
    assert outcome.platforms == ("linux/amd64",)


def test_warnings_are_those_of_its_own_containerfile(record):
    record.take(progress(), ENTRY, DONE, {CONTAINERFILE.encode(): 2, b"other": 5})
    assert record.outcome().warnings == 2
    record.take(progress(), ENTRY, DONE, {b"other": 5})
    assert record.outcome().warnings == 0


def test_warnings_are_unknown_without_a_metadata_file(record):
    record.take(progress(), None, FAILED, None)
    assert record.outcome().warnings is None


def failure(record, text, done=FAILED):
    record.take(progress(text), None, done, None)
    assert record.failure is not None
    return record.failure


STEP = "#1 [x-1 2/2] RUN make\n#1 0.1 making\n#1 ERROR: exit code: 2\n"
EXCERPT = f"{{place}}\n{'-' * 20}\nERROR: target x-1: failed to solve: because\n"


def test_the_reason_of_a_failure_is_that_of_the_target_before_that_of_its_step(record):
    assert failure(record, STEP).reason == "exit code: 2"
    assert failure(record, STEP + EXCERPT.format(place="Containerfile:3")).reason == "because"
    assert failure(record, "ERROR: nothing runs\n").reason == "nothing runs"
    assert record.explained


def test_the_place_is_the_one_that_buildx_names_or_that_of_the_step(record):
    found = failure(record, STEP)
    assert (found.file, found.line, found.step) == (Named.containerfile, 3, "[2/2] RUN make")
    found = failure(record, STEP + EXCERPT.format(place="Containerfile:2"))
    assert (found.file, found.line) == (Named.containerfile, 2)
    found = failure(record, EXCERPT.format(place="other.Containerfile:7"))
    assert (found.file, found.line) == ("other.Containerfile", 7)
    assert failure(record, "#1 [x-1 internal] load\n#1 ERROR: no\n").file == ""


def test_a_step_that_another_target_has_as_well_is_its_failure_too(record):
    found = failure(record, STEP.replace("x-1", "y-1"))
    assert (found.step, found.reason, found.line) == ("[2/2] RUN make", "exit code: 2", 3)
    assert found.tail == ("making", "ERROR: exit code: 2")
    assert failure(record, STEP.replace("x-1", "y-1").replace("make", "other")).step == ""


def test_its_own_failed_step_comes_before_one_that_it_shares(record):
    other = STEP.replace("#1", "#2").replace("x-1", "y-1")
    record.take(progress(f"{other}#1 [x-1 1/2] COPY a b\n#1 ERROR: no b\n", "y-1", "x-1"), None, FAILED, None)
    assert (record.failure.step, record.failure.line) == ("[1/2] COPY a b", 2)


def test_a_target_that_began_has_its_output_whatever_else_failed(record):
    found = failure(record, "#1 [x-1 1/2] COPY a b\n#2 [internal] connection\n#2 ERROR: lost\n")
    assert (found.reason, found.tail) == ("lost", ("[1/2] COPY a b",))


def test_a_check_leaves_the_output_of_a_failure(record):
    failure(record, "", Exit(1, b"", b"one\n", 1.0))
    record.explain(CheckResult("x-1", "no base"))
    assert record.failure == BuildFailure("no base", tail=("one",))


def test_without_a_reason_the_last_line_of_the_command_is_one_and_a_check_may_explain_it(record):
    found = failure(record, "", Exit(1, b"", b"one\ntwo\n", 1.0))
    assert (found.reason, found.tail) == ("two", ("one", "two"))
    assert not record.explained
    assert failure(record, "").reason == "exit code 1"
    error = NotStarted("cannot start", about="buildx", why="not there")
    assert failure(record, "", Exit(None, b"", b"", 0.0, exception=error)).reason == "cannot start buildx: not there"
    record.failure = None
    record.explain(CheckResult("x-1", "unknown instruction", 1))
    assert record.failure == BuildFailure("unknown instruction", file=Named.containerfile, line=1)
    record.explain(CheckResult("x-1", "no base"))
    assert record.failure == BuildFailure("no base")
    assert record.explained


def test_a_command_that_fails_before_any_target_has_no_output_of_targets(record):
    text = "#1 [internal] waiting for connection\n#1 ERROR: refused\n"
    found = failure(record, text, Exit(1, b"", b"#1 [internal] waiting\n", 1.0))
    assert (found.reason, found.tail) == ("refused", ())


def test_a_containerfile_that_was_removed_has_no_lines(record, tmp_path):
    (tmp_path / Named.containerfile).unlink()
    assert failure(record, STEP).line == 0


def test_what_a_check_finds_is_read_in_the_order_of_lines():
    def place(line):
        return {"ranges": [{"start": {"line": line}}]}

    warnings = [
        {"ruleName": "B", "detail": "b", "location": place(2), "url": "u"},
        {"ruleName": "A", "description": "a", "location": place(1)},
        {"ruleName": "C", "detail": "c"},
    ]
    document = {
        "target": {
            "x-1": {"check": {"warnings": warnings}},
            "y-1": {"check": {"buildError": {"message": "no", "location": place(4)}, "warnings": None}},
            "z-1": {},
            "odd": None,
        }
    }
    assert read_check(document) == {
        "x-1": CheckResult(
            "x-1",
            warnings=(CheckWarning(0, "C", "c"), CheckWarning(1, "A", "a"), CheckWarning(2, "B", "b", "u")),
        ),
        "y-1": CheckResult("y-1", "no", 4),
        "z-1": CheckResult("z-1"),
    }


@pytest.mark.parametrize("document", [None, [], {}, {"target": None}, "text"])
def test_what_is_no_result_of_a_check_has_none(document):
    assert read_check(document) == {}
