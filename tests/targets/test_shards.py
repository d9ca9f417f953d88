"""Shares of the images: whole, balanced, and the same on every machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.config.load import load_project
from bakery.errors import UsageError
from bakery.targets.shards import Shard, split_images, target_counts
from tests import projects


@given(counts=st.lists(st.integers(0, 9), min_size=1, max_size=8), count=st.integers(1, 5))
def test_every_image_is_in_exactly_one_share_and_shares_are_balanced(counts, count):
    images = {f"i{index}": targets for index, targets in enumerate(counts)}
    parts = split_images(images, count)
    assert sorted(name for part in parts for name in part) == sorted(images)
    # The heaviest image bounds how even shares can be: no share is above a fair one by more than that.
    assert max(sum(images[name] for name in part) for part in parts) <= sum(counts) / count + max(counts)
    assert split_images(dict(reversed(images.items())), count) == parts


def test_images_weigh_what_they_write_out():
    assert target_counts(load_project(projects.HERE / "lab-matrix")) == {
        "notebook": 24, "gobuilder": 6, "themes": 2, "plain": 1,
    }  # fmt: skip
    assert target_counts(load_project(projects.HERE / "nightly"))["session"] == 0


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3"])
def test_a_share_that_does_not_exist_is_refused(text):
    with pytest.raises(UsageError):
        Shard.parse(text)


def test_a_share_is_read():
    assert Shard.parse("2/5") == Shard(2, 5)
