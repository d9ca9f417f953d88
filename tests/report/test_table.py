"""Tables: columns line up whatever the letters, and in a narrow terminal each row is a paragraph that fits."""

from __future__ import annotations

import pytest

from bakery.build.sizes import Size, TargetSizes
from bakery.errors import Unavailable
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.publish.audited import Audit, Checked, Expected
from bakery.publish.changes import Change
from bakery.publish.rolled_back import Found, Rollback, RolledBack
from bakery.report.audit import audit_lines, audit_table
from bakery.report.build_summary import sizes_table, summarize_build
from bakery.report.columns import display_width
from bakery.report.result import Look
from bakery.report.rollback import rollback_table
from bakery.report.table import aligned
from tests.report import builds

PLACE = Repository.parse("ghcr.io/acme/app")
DIGEST = Digest.of(b"index")
NARROW = Look(width=79)


def test_columns_line_up_below_names_of_wide_letters():
    lines = aligned([("name", "n"), ("表表", "1"), ("größe", "22")], right={1}).splitlines()
    assert {display_width(line) for line in lines} == {9}


@pytest.mark.parametrize("width", [None, 12])
def test_a_table_that_fits_keeps_its_columns(width):
    assert aligned([("STATE", "TAG"), ("ok", "1.0")], width=width) == "STATE  TAG\n-----  ---\nok     1.0\n"


def test_a_row_that_does_not_fit_becomes_a_paragraph_without_empty_cells():
    rows = [("STATE", "TAG", "SIZE", "CACHE"), ("ok", "ghcr.io/acme/app:1.0", "12 MB", "—"), ("drift", "x:1", "-", "")]
    assert aligned(rows, width=28) == "ok  tag ghcr.io/acme/app:1.0\n    size 12 MB\ndrift  tag x:1\n"
    assert aligned(rows, width=24) == "ok\n    ghcr.io/acme/app:1.0\n    size 12 MB\ndrift  tag x:1\n"


def audited() -> Audit:
    wanted = Expected(PLACE.with_tag("1.0.0-ubuntu-24.04"), DIGEST)
    seen = Checked(wanted, DIGEST, ("linux/amd64", "linux/arm64"), 2, 1, 5, 9)
    return Audit((seen, Checked(wanted, error=Unavailable("cannot read", about=PLACE))))


def rolled_back() -> Rollback:
    change = Change(PLACE.with_tag("1.0.0-ubuntu-24.04"), DIGEST, frozenset({None}))
    return Rollback((RolledBack(change, Found.RESTORED, DIGEST), RolledBack(change, Found.FAILED)))


def test_the_same_error_of_many_references_is_one_line():
    expected = [Expected(PLACE.with_tag(f"1.{number}")) for number in range(20)]
    checked = (
        Checked(one, error=Unavailable("cannot look for manifest", about=one.reference, why="503", hint="wait"))
        for one in expected
    )
    text = audit_lines(Audit(tuple(checked)))
    assert text.count("error[") == text.count("hint: wait") == 1
    assert f"(and 19 other references: {PLACE}:1.1, " in text
    assert "20 of 20 references" in text


def test_the_same_drift_of_many_references_is_one_error_and_different_digests_are_kept_apart():
    other = Digest.of(b"other")
    checked = [
        Checked(Expected(PLACE.with_tag(tag), DIGEST), other, problems=(problem,))
        for tag, problem in (
            ("1", "content is missing: x"),
            ("2", "content is missing: x"),
            ("3", "names a"),
            ("4", "names b"),
        )
    ]
    assert audit_lines(Audit(tuple(checked))).splitlines() == [
        f"error[publish/drift]: {PLACE}:1: content is missing: x (and 1 other reference: {PLACE}:2)",
        f"error[publish/drift]: {PLACE}:3: names a",
        f"error[publish/drift]: {PLACE}:4: names b",
        "❌ 4 of 4 references not as expected",
    ]


TABLES = {
    "verify": lambda look: audit_table(audited(), look),
    "rollback": lambda look: rollback_table(rolled_back(), look),
    "build": lambda look: sizes_table(
        summarize_build(builds.outcome(), {one.uid: TargetSizes(Size(24_100_000, 5)) for one in builds.targets()}),
        width=look.width,
    ),
}


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_no_line_of_a_table_is_wider_than_a_terminal_of_80_columns(table):
    assert all(display_width(line) <= 79 for line in table(NARROW).splitlines())
    assert any(display_width(line) > 79 for line in table(Look()).splitlines())


@pytest.mark.parametrize("table", [TABLES["verify"], TABLES["rollback"]])
def test_digests_are_short_on_a_terminal_and_whole_elsewhere_and_with_verbose(table):
    assert str(DIGEST) not in table(NARROW)
    assert str(DIGEST) in table(Look())
    assert str(DIGEST) in table(Look(full=True))


def test_each_paragraph_of_a_build_has_the_name_of_its_image():
    lines = TABLES["build"](NARROW).splitlines()[1:]
    assert all(line.startswith(("    ", "app", "tool", "Total")) for line in lines), lines
    assert sum(not line.startswith("    ") for line in lines) == len(builds.targets()) + 1
