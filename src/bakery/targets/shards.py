"""Shares of the images for several machines: whole images, balanced by targets, the same on every machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Self

from msgspec import Struct

from bakery.config.project import Project
from bakery.errors import UsageError
from bakery.targets.expand import written_targets

_SHARD = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


class Shard(Struct, frozen=True):
    """The `index`-th of `count` shares, counted from 1."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """`2/5`. Raises UsageError for anything else."""
        match = _SHARD.fullmatch(text.strip())
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError("reading --shard", about=repr(text), hint="write I/N with 1 <= I <= N, such as 2/5")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def target_counts(project: Project) -> dict[str, int]:
    """How many targets each image of the project writes out; 0 where product APIs must tell.

    All machines of a run see the same, whatever their filters, their metadata or the day's versions are.
    """
    found = dict.fromkeys((image.name for image in project.images), 0)
    for target in written_targets(project):
        found[target.image] += 1
    return found


def split_images(images: Mapping[str, int], count: int) -> tuple[tuple[str, ...], ...]:
    """The image names of each share, sorted. The heaviest images are dealt out first, each to the lightest share."""
    loads = [0] * count
    names: list[list[str]] = [[] for _ in range(count)]
    for image in sorted(images, key=lambda name: (-images[name], name)):
        lightest = min(range(count), key=lambda number: (loads[number], len(names[number]), number))
        loads[lightest] += images[image]
        names[lightest].append(image)
    return tuple(tuple(sorted(share)) for share in names)
