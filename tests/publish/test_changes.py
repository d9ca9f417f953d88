"""What a journal or a summary says that a run did to tags."""

import contextlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.errors import BadDocument, BakeryError
from bakery.events import RunFinished, RunStarted, RunTarget, TagMoved, TagMoving, TagRestored
from bakery.oci.digest import Digest
from bakery.publish.changes import Change, changes_of_journal, changes_of_summary, is_summary
from bakery.publish.journal import line_of

A, B, C = (Digest.of(text) for text in (b"a", b"b", b"c"))
TAG = "one.example/app:latest"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUN = RunStarted("publish", (RunTarget("app"),))


def journal(*events):
    return "".join(line_of(event, NOW) for event in events).encode()


def moved(before, after, tag=TAG, kind=TagMoved):
    return kind("app", tag, str(after or ""), str(before or ""))


def found(*events, cut=b""):
    return [(str(one.tag), one.before, set(one.ours)) for one in changes_of_journal(journal(*events) + cut)]


def test_a_tag_goes_back_to_what_it_named_before_the_run():
    assert found(RUN, moved(A, B)) == [(TAG, A, {B})]
    assert found(RUN, moved(None, B)) == [(TAG, None, {B})]


def test_a_move_whose_response_is_missing_counts():
    assert found(RUN, moved(A, B, kind=TagMoving)) == [(TAG, A, {B})]


def test_a_tag_that_the_run_restored_itself_is_not_changed():
    assert found(RUN, moved(A, B), TagRestored("app", TAG, str(A), str(B))) == []


def test_only_the_last_run_that_moved_a_tag_is_taken_back():
    done = RunFinished("done", 1.0)
    assert found(RUN, moved(A, B), done, RUN, moved(B, C), done, RUN, done) == [(TAG, B, {C})]


@pytest.mark.parametrize("end", [[], [RunFinished("failed", 1.0)], [RunFinished("interrupted", 1.0)]])
def test_the_failed_attempts_right_before_the_last_run_belong_to_it(end):
    other = "one.example/app:1"
    events = [RUN, moved(A, B), *end, RUN, moved(A, B, other), RunFinished("done", 1.0)]
    assert found(*events) == [(TAG, A, {B}), (other, A, {B})]


def test_a_failed_run_of_other_targets_does_not_belong_to_the_last_one():
    failed = [RunStarted("publish", (RunTarget("other"),)), moved(A, B), RunFinished("failed", 1.0)]
    assert found(*failed, RUN, moved(B, C)) == [(TAG, B, {C})]


def test_a_line_that_a_kill_cut_is_left_out_also_if_a_run_follows():
    assert found(RUN, moved(A, B), cut=b'{"event": "TagMo') == [(TAG, A, {B})]
    raw = journal(RUN, moved(A, B)) + b'{"event": "Tag\n' + journal(RUN, moved(B, C))
    assert [one.before for one in changes_of_journal(raw)] == [A]


def test_a_broken_line_in_a_run_is_an_error():
    with pytest.raises(BakeryError, match="line 2"):
        changes_of_journal(journal(RUN) + b"{oops\n" + journal(moved(A, B)))


def summary(*tags, digest=B):
    places = [
        {
            "repository": "one.example/app",
            "tags": [dict(zip(("tag", "state", "previous"), one, strict=True)) for one in tags],
        }
    ]
    return {"format": 1, "targets": [{"uid": "app", "digest": str(digest), "destinations": places}]}


def test_a_summary_has_the_tags_that_the_run_moved():
    document = summary(
        ("latest", "published", str(A)), ("1", "moved", None), ("2", "unchanged", str(B)), ("3", "restored", str(A)),
        ("4", "unsure", str(A)), ("5", "failed", None), ("6", "skipped", str(C)),
    )  # fmt: skip
    changes = changes_of_summary(document)
    assert [(one.tag.tag, one.before) for one in changes] == [("latest", A), ("1", None), ("4", A)]
    assert {one.ours for one in changes} == {frozenset({B})}


def test_a_summary_is_told_from_a_journal():
    assert is_summary(json.dumps(summary()).encode())
    assert not is_summary(journal(RUN, moved(A, B)))
    assert not is_summary(journal(RUN))
    assert not is_summary(b"")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from([str(A), TAG, "published"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "event",
                    "reference",
                    "digest",
                    "previous",
                    "targets",
                    "destinations",
                    "tags",
                    "tag",
                    "state",
                    "repository",
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(st.lists(_JSON, max_size=5) | st.binary(max_size=200))
def test_any_journal_gives_changes_or_an_error(lines):
    raw = lines if isinstance(lines, bytes) else b"\n".join(json.dumps(line).encode() for line in lines)
    with contextlib.suppress(BakeryError):
        assert all(isinstance(one, Change) for one in changes_of_journal(raw))


@given(st.dictionaries(st.sampled_from(["targets", "format"]), _JSON))
def test_any_summary_gives_changes_or_an_error(document):
    with contextlib.suppress(BakeryError):
        assert all(isinstance(one, Change) for one in changes_of_summary(document))


def test_empty_lines_are_nothing():
    assert [one.before for one in changes_of_journal(b"\n\n" + journal(RUN) + b"\n  \n" + journal(moved(A, B)))] == [A]


def test_the_first_of_two_broken_lines_is_the_error():
    with pytest.raises(BakeryError, match="line 2"):
        changes_of_journal(journal(RUN) + b"{oops\n{again\n")


@pytest.mark.parametrize(
    ("raw", "expected"), [(b"{}", True), (b"[]", False), (b'"event"', False), (b'{"event": 1}', False)]
)
def test_only_an_object_that_is_no_event_is_a_summary(raw, expected):
    assert is_summary(raw) is expected


def test_what_is_no_list_of_objects_or_no_tag_is_an_error_that_says_so():
    with pytest.raises(BakeryError, match="tags must be a list of objects"):
        changes_of_summary({"targets": [{"destinations": [{"tags": [{}, 1]}]}]})
    named_by_digest = {"repository": "one.example/app", "tags": [{"tag": f"x@{A}", "state": "published"}]}
    with pytest.raises(BakeryError, match="expected a reference with a tag"):
        changes_of_summary({"targets": [{"digest": str(A), "destinations": [named_by_digest]}]})


def test_a_summary_that_does_not_record_what_tags_named_is_an_error_that_says_so():
    with pytest.raises(BadDocument, match="it does not record what tags named before"):
        changes_of_summary({"targets": [{"digest": str(A)}]})


def test_one_event_makes_a_journal_whatever_follows_it():
    assert changes_of_journal(journal(RUN) + b'{"x": 1}\n') == changes_of_journal(journal(RUN))


NO_JOURNALS = {
    "no text": (b"\xff\xfe\n", "byte 0 is not valid UTF-8"),
    "a list": (b"[1]\n", "expected an object"),
    "other objects": (b'{"x": 1}\n{"y": 1}\n', "none of its lines is an event"),
    "one line that was cut": (b'{"event": "RunSt', "expected the end of the string"),
}


@pytest.mark.parametrize(("raw", "why"), NO_JOURNALS.values(), ids=NO_JOURNALS)
def test_a_file_without_an_event_is_not_a_journal_of_a_run_that_moved_nothing(raw, why):
    with pytest.raises(BadDocument, match=why):
        changes_of_journal(raw)
