"""Shares of the images: whole, balanced, and the same on every machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.errors import UsageError
from bakery.targets.select import Selection, select
from bakery.targets.shards import Shard, shard, shares
from tests.config import parsing


def targets_of(counts):
    lines = ["images:"]
    for index, count in enumerate(counts):
        versions = ", ".join(f"{{name: {number}.0.0}}" for number in range(count))
        lines.append(f"  - {{name: i{index}, versions: [{versions}]}}")
    return select(parsing.project("\n".join(lines)), Selection()).targets


@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=8), count=st.integers(1, 5))
def test_every_target_is_in_exactly_one_share_and_shares_are_balanced(counts, count):
    targets = targets_of(counts)
    parts = [shard(targets, index, count) for index in range(1, count + 1)]
    assert sorted(target.uid for part in parts for target in part) == sorted(target.uid for target in targets)
    images = [name for share in shares(targets, count) for name in share]
    assert len(images) == len(set(images))
    # The largest image bounds how even shares can be: no share is above a fair one by more than that.
    assert max(map(len, parts)) <= len(targets) / count + max(counts)
    assert shares(tuple(reversed(targets)), count) == shares(targets, count)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3"])
def test_a_share_that_does_not_exist_is_refused(text):
    with pytest.raises(UsageError):
        Shard.parse(text)


def test_a_share_is_read():
    assert Shard.parse("2/5") == Shard(2, 5)
