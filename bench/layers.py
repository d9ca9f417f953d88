"""Layers that resemble those of an operating system: the content of their tar, and its compression."""

from __future__ import annotations

import random
import tarfile
import zlib
from collections.abc import Iterable, Iterator


def system_tar(seed: int | str, size: int, entries: int) -> Iterator[bytes]:
    """Yield a tar with this many files that compresses about three to one: words, some noise, some repetition."""
    generator = random.Random(seed)
    words = [generator.randbytes(generator.randrange(2, 10)).hex().encode() for _ in range(3000)]
    phrases = [generator.choice(words) + b" " + generator.choice(words) for _ in range(2000)]
    text = b"\n".join(generator.choice(phrases) for _ in range(200_000))
    noise = generator.randbytes(4_000_000)
    for number in range(entries):
        left = int(generator.expovariate(1) * size / entries)
        member = tarfile.TarInfo(f"usr/lib/package{number % 97}/file{number}.so")
        member.size, member.mtime = left, 1_700_000_000 + number
        yield member.tobuf(tarfile.USTAR_FORMAT)
        padding = -left % 512
        while left > 0:
            source = noise if generator.random() < 0.06 else text
            start, length = generator.randrange(len(source) - 70_000), min(left, generator.randrange(5000, 70_000))
            yield source[start : start + length]
            left -= length
        yield bytes(padding)
    yield bytes(1024)


def gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks as one gzip member, level 6, without a timestamp."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()
