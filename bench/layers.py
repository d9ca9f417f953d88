"""Layers that are like those of a system: what their tar holds, and how it was compressed."""

from __future__ import annotations

import random
import tarfile
import zlib
from collections.abc import Iterable, Iterator


def system_tar(seed: int | str, size: int, entries: int) -> Iterator[bytes]:
    """A tar of so many files that deflates about three to one: words, some noise, some repeats."""
    dice = random.Random(seed)
    words = [dice.randbytes(dice.randrange(2, 10)).hex().encode() for _ in range(3000)]
    phrases = [dice.choice(words) + b" " + dice.choice(words) for _ in range(2000)]
    text = b"\n".join(dice.choice(phrases) for _ in range(200_000))
    noise = dice.randbytes(4_000_000)
    for number in range(entries):
        left = int(dice.expovariate(1) * size / entries)
        member = tarfile.TarInfo(f"usr/lib/package{number % 97}/file{number}.so")
        member.size, member.mtime = left, 1_700_000_000 + number
        yield member.tobuf(tarfile.USTAR_FORMAT)
        padding = -left % 512
        while left > 0:
            source = noise if dice.random() < 0.06 else text
            start, length = dice.randrange(len(source) - 70_000), min(left, dice.randrange(5000, 70_000))
            yield source[start : start + length]
            left -= length
        yield bytes(padding)
    yield bytes(1024)


def gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks as one gzip member, level 6, without a time of its own."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()
