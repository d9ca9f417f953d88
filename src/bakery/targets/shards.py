"""Shards: the images of a project divided among machines, balanced by targets, in the same way on every machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Self

from msgspec import Struct

from bakery.config.project import Project
from bakery.errors import UsageError
from bakery.targets.expand import defined_targets

_SHARD = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


class Shard(Struct, frozen=True):
    """The `index`-th of `count` shards, counted from 1."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a text such as `2/5`. Raises UsageError."""
        match = _SHARD.fullmatch(text.strip())
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError("invalid --shard", about=repr(text), why="expected I/N with 1 <= I <= N, such as 2/5")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def target_counts(project: Project) -> dict[str, int]:
    """Return the number of targets of each image, without those whose versions are looked up.

    It does not depend on filters, metadata or product APIs, so that all machines of a run compute the same shards.
    """
    found = dict.fromkeys((image.name for image in project.images), 0)
    for target in defined_targets(project):
        found[target.image] += 1
    return found


def split_images(images: Mapping[str, int], count: int) -> tuple[tuple[str, ...], ...]:
    """Return the sorted image names of each shard. The largest images come first, each in the smallest shard."""
    loads = [0] * count
    names: list[list[str]] = [[] for _ in range(count)]
    for image in sorted(images, key=lambda name: (-images[name], name)):
        lightest = min(range(count), key=lambda number: (loads[number], len(names[number]), number))
        loads[lightest] += images[image]
        names[lightest].append(image)
    return tuple(tuple(sorted(shard)) for shard in names)
