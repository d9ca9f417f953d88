"""Shares of the images for several machines: whole images, balanced by targets, the same on every machine. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from bakery.errors import UsageError
from bakery.targets.target import Target

_SHARD = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


@dataclass(frozen=True, slots=True)
class Shard:
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


def shares(targets: Sequence[Target], count: int) -> tuple[tuple[str, ...], ...]:
    """The image names of each share, sorted. The largest images are dealt out first, each to the lightest share."""
    weights: dict[str, int] = {}
    for target in targets:
        weights[target.image] = weights.get(target.image, 0) + 1
    loads = [0] * count
    names: list[list[str]] = [[] for _ in range(count)]
    for image in sorted(weights, key=lambda name: (-weights[name], name)):
        lightest = loads.index(min(loads))
        loads[lightest] += weights[image]
        names[lightest].append(image)
    return tuple(tuple(sorted(share)) for share in names)


def shard(targets: Sequence[Target], index: int, count: int) -> tuple[Target, ...]:
    """The targets of the `index`-th of `count` shares (from 1), in the order given."""
    mine = set(shares(targets, count)[index - 1])
    return tuple(target for target in targets if target.image in mine)
