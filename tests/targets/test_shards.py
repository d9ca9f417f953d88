"""Shards of the images: whole images, balanced, and the same on every machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.config.load import load_project
from bakery.errors import UsageError
from bakery.targets.shards import Shard, split_images, target_counts
from tests import projects


@given(counts=st.lists(st.integers(0, 9), min_size=1, max_size=8), count=st.integers(1, 5))
def test_every_image_is_in_exactly_one_shard_and_shards_are_balanced(counts, count):
    images = {f"i{index}": targets for index, targets in enumerate(counts)}
    parts = split_images(images, count)
    assert sorted(name for part in parts for name in part) == sorted(images)
    # No shard exceeds the average by more than the largest image.
    assert max(sum(images[name] for name in part) for part in parts) <= sum(counts) / count + max(counts)
    assert split_images(dict(reversed(images.items())), count) == parts


def test_the_weight_of_an_image_is_its_number_of_defined_targets():
    assert target_counts(load_project(projects.HERE / "lab-matrix")) == {
        "notebook": 24, "gobuilder": 6, "themes": 2, "plain": 1,
    }  # fmt: skip
    assert target_counts(load_project(projects.HERE / "nightly"))["session"] == 0


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3"])
def test_an_invalid_shard_is_a_usage_error(text):
    with pytest.raises(UsageError):
        Shard.parse(text)


def test_a_shard_is_parsed():
    assert Shard.parse("2/5") == Shard(2, 5)
