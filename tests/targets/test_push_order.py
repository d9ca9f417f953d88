"""The newest target is pushed last, whatever its version is called."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.targets.push_order import UNKNOWN, version_rank
from bakery.targets.select import Selection, select
from tests.config import parsing

ASCENDING = [
    "noble", "1.2.0-1", "1.2.0-2", "1.2.0-10", "1.2.0-alpha", "1.2.0-alpha.1", "1.2.0-alpha.beta", "1.2.0-beta", "1.2",
    "1.2.1", "1.10", "2026.03.0-17", "2026.03.0", "2026.06.1+88.rel3",
]  # fmt: skip


@pytest.mark.parametrize(("low", "high"), list(pairwise(ASCENDING)))
def test_versions_are_ordered(low, high):
    assert version_rank(low) < version_rank(high)


def test_trailing_zeros_and_build_metadata_are_ignored():
    assert version_rank("1.2") == version_rank("1.2.0") == version_rank("1.2.0+7")


@pytest.mark.parametrize("name", ["1", "noble", "R4.5.2-python3", "1.2_3", "v1.2"])
def test_text_that_is_not_a_version_ranks_below_every_version(name):
    assert version_rank(name) == UNKNOWN < version_rank("0.0")


@given(st.lists(st.text(alphabet="0123456789.-+abcR", max_size=12), max_size=8))
def test_any_two_names_can_be_compared(names):
    assert len(sorted(names, key=version_rank)) == len(names)


def test_latest_and_primary_targets_are_last_within_an_image():
    project = parsing.image(
        "variants: [{name: min}, {name: std, primary: true}]\n"
        "versions: [{name: 3.0.0, os: [{name: U}, {name: V, primary: true}]},"
        " {name: 2.0.0, latest: true, os: [{name: U}, {name: V, primary: true}]}, {name: odd}]"
    )
    pushed = sorted(select(project, Selection()).targets, key=lambda target: target.push_key())
    assert [(one.version, one.variant, one.os) for one in pushed] == [
        ("odd", "min", None), ("odd", "std", None),
        ("3.0.0", "min", "U"), ("3.0.0", "min", "V"), ("3.0.0", "std", "U"), ("3.0.0", "std", "V"),
        ("2.0.0", "min", "U"), ("2.0.0", "min", "V"), ("2.0.0", "std", "U"), ("2.0.0", "std", "V"),
    ]  # fmt: skip


def test_rows_of_a_matrix_rank_below_every_version():
    project = parsing.image("matrix: {namePattern: '{{ Values.v }}', values: {v: ['9.9.9', '1.0.0']}}")
    keys = [target.push_key() for target in select(project, Selection(matrix_versions="include")).targets]
    assert all(key[2] == UNKNOWN for key in keys)
