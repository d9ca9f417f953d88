"""Summaries: unknown sizes are null, parts add up once, cells are escaped, references are never wrapped."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.errors import AuthError, BadDocument, RegistryError
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
from bakery.publish.plan import SkippedTarget
from bakery.report.markdown import escape, size
from bakery.report.merging import merge, totals
from bakery.report.page import summary_page
from bakery.report.reading import read_summary
from bakery.report.summary import to_json
from bakery.report.table import aligned
from tests.report.texts import outcome_lines

DIGEST = Digest.of(b"index")
PLACE = Repository("registry.example", "acme/app")


def target(uid="app", *, failure=None, place_failure=None, state=State.PUBLISHED, platforms=("linux/amd64",), notes=()):
    place = DestinationOutcome(
        PLACE,
        State.FAILED if place_failure else state,
        (TagOutcome("1.0", State.FAILED if place_failure else state), TagOutcome("latest", state, Digest.of(b"old"))),
        place_failure,
    )
    items = tuple(PlatformOutcome(name, Digest.of(name.encode()), 1000, 3) for name in platforms)
    return TargetOutcome(uid, "app", "1.0", "", "Ubuntu", state, DIGEST, items, (place,), failure, notes, 1.5)


def test_the_json_has_the_members_of_the_older_tool_and_digests_states_and_failures():
    error = RegistryError("pushing", about="registry.example/acme/app", status=500, hint="run it again")
    document = to_json(
        Outcome((target(), target("bad", place_failure=Failure(Step.COMMIT, error), state=State.FAILED)))
    )
    assert document["build_targets"] == 2
    assert document["local_size_bytes"] is None
    assert document["registry_size_bytes"] == 2000
    good, bad = document["targets"]
    assert good["tags"] == ["registry.example/acme/app:1.0", "registry.example/acme/app:latest"]
    assert good["destinations"][0]["tags"][1]["previous"] == str(Digest.of(b"old"))
    assert bad["errors"] == [
        {
            "step": "commit",
            "code": "registry/refused",
            "destination": "registry.example/acme/app",
            "message": "pushing registry.example/acme/app: 500",
            "hint": "run it again",
        }
    ]
    assert json.loads(json.dumps(document)) == document


def merged(*documents):
    return merge([read_summary(json.loads(json.dumps(document))) for document in documents])


def test_exit_codes_follow_the_failures():
    login, other = AuthError("logging in", status=401), RegistryError("pushing", status=500)
    failed = [Failure(Step.STAGE, login), Failure(Step.STAGE, other)]
    assert Outcome((target(),)).exit_code == 0
    assert Outcome((target(place_failure=failed[0]),)).exit_code == 4
    assert Outcome((target(place_failure=failed[0]), target(place_failure=failed[1]))).exit_code == 1


def test_parts_of_a_target_add_up_and_the_same_platform_counts_once():
    one = to_json(Outcome((target(platforms=("linux/amd64",)),)))
    two = to_json(Outcome((target(platforms=("linux/arm64",)),)))
    whole = merged(one, two, one)
    (row,) = whole.targets
    assert row.platforms == ("linux/amd64", "linux/arm64")
    assert row.registry_size == 2000
    assert totals(whole.targets)["registry_tags"] == 2


def test_a_summary_of_the_older_tool_is_read_with_the_members_it_has():
    old = {"targets": [{"uid": "a", "image_name": "a", "version": "1", "platforms": ["linux/amd64"], "tags": ["x:1"]}]}
    whole = merged(old)
    assert whole.targets[0].registry_size is None
    assert "### a\n" in summary_page(whole)
    assert "| **1** | `linux/amd64` | - | `x:1` | - |" in summary_page(whole)


def test_counts_of_the_tool_that_lists_no_platforms_and_tags_are_read():
    old = {"uid": "a", "image_name": "a", "version": "1", "os": "", "platforms": 1, "tags": 3, "registry_size": 10}
    whole = merged({"targets": [old]}, {"targets": [old]})
    added = totals(whole.targets)
    assert (added["platform_builds"], added["registry_tags"], added["registry_size_bytes"]) == (2, 3, 20)
    assert "| **1** | 2 | 20\N{NO-BREAK SPACE}B | 3 | - |" in summary_page(whole)
    ours = old | {"platforms": ["linux/amd64"], "tags": ["x:1"]}
    assert totals(merged({"targets": [old]}, {"targets": [ours]}).targets)["platform_builds"] == 1


ODD = {
    "targets is a number": {"targets": 5},
    "a target is a string": {"targets": ["x"]},
    "a size is a string": {"targets": [{"registry_size": "abc"}]},
    "a size is negative": {"targets": [{"registry_size": -5}]},
    "a size is true": {"targets": [{"local_size": True}]},
    "a size is huge": {"targets": [{"layers": 10**400}]},
    "tags is a string": {"targets": [{"tags": "abc"}]},
    "a platform is a number": {"targets": [{"platforms": [5]}]},
    "an error is a string": {"targets": [{"errors": ["x"]}]},
    "a digest is a number": {"targets": [{"digest": 5}]},
    "a uid is a list": {"targets": [{"uid": ["x"]}]},
    "skipped is a string": {"targets": [], "skipped": "abc"},
}


@pytest.mark.parametrize(
    "document", [{}, {"app": {"containerimage.digest": "x"}}, {"event": "RunStarted", "format": 2}]
)
def test_a_document_of_another_kind_is_not_an_empty_summary(document):
    with pytest.raises(BadDocument, match="no member that every summary has"):
        read_summary(document)


@pytest.mark.parametrize("document", ODD.values(), ids=ODD)
def test_a_summary_of_the_wrong_shape_is_refused(document):
    with pytest.raises(BadDocument, match="must be"):
        read_summary(document)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
MEMBERS = [*to_json(Outcome((target(),)))["targets"][0]]


@given(st.lists(st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=4) | JSON), JSON)
def test_no_content_of_a_summary_crashes_the_page(targets, skipped):
    try:
        summary = read_summary({"targets": targets, "skipped": skipped})
    except BadDocument:
        return
    assert summary_page(merge([summary, summary]))


def test_a_digest_that_is_not_one_is_escaped():
    page = summary_page(merged({"targets": [{"digest": "` | <img src=x> ![a](http://x)"}]}))
    assert "<img" not in page.replace("\\<", "")


def test_cells_are_escaped_and_failures_and_skipped_targets_are_listed():
    outcome = Outcome(
        (target(failure=Failure(Step.WAIT, RegistryError("a | b", status=404)), state=State.FAILED),),
        (SkippedTarget("lost", "no <image.name>"),),
    )
    page = summary_page(merged(to_json(outcome)), disclaimer="one job *failed*")
    assert page.startswith("> ⚠️ **one job \\*failed\\***")
    assert "a \\| b" in page
    assert "no \\<image.name\\>" in page
    assert escape("a\nb") == "a b"


def test_sizes_have_units_and_an_unknown_size_is_a_dash():
    assert [size(None), size(0), size(2048), size(5 * 10**12)] == ["-", "0 B", "2.0 kB", "5.0 TB"]


def test_a_page_shows_the_hint_of_a_failure_and_reads_summaries_without_hints():
    error = RegistryError("pushing", status=500, hint="run it again")
    outcome = to_json(Outcome((target(place_failure=Failure(Step.STAGE, error), state=State.FAILED),)))
    assert "Hint: run it again" in summary_page(merged(outcome))
    del outcome["targets"][0]["errors"][0]["hint"]
    assert "Hint" not in summary_page(merged(outcome))


def test_a_table_aligns_numbers_right_and_separates_the_total():
    rows = [("name", "count"), ("a", "1"), ("total", "100")]
    assert aligned(rows, right={1}, total=True).splitlines() == [
        "name   count",
        "-----  -----",
        "a          1",
        "-----  -----",
        "total    100",
    ]
    assert aligned([]) == ""
    assert aligned(rows, rule=False).splitlines()[:2] == ["name   count", "a      1"]


def test_notes_are_in_the_file_the_json_and_the_page():
    outcome = Outcome((target(notes=("left out linux/s390x",)),))
    assert "note: app: left out linux/s390x\n" in outcome_lines(outcome, everything=True)
    assert to_json(outcome)["targets"][0]["notes"] == ["left out linux/s390x"]
    assert "### Notes\n\n- app 1.0 Ubuntu: left out linux/s390x\n" in summary_page(merged(to_json(outcome)))
