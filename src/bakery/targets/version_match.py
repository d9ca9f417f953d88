"""Match `--image-version` against the names of versions. Pure. Source: config.md 15, the four rules."""

from __future__ import annotations

import re
from functools import lru_cache

from msgspec import Struct

_PLAIN = re.compile(r"(?P<numbers>[0-9]+(?:\.[0-9]+)+)(?:-(?P<pre>[0-9A-Za-z.-]+))?(?:\+(?P<build>[0-9A-Za-z.-]+))?")
_PAIR = re.compile(r"(?P<name>[A-Za-z][A-Za-z_]*)(?P<numbers>[0-9]+(?:\.[0-9]+)+)")


class _Plain(Struct, frozen=True):
    numbers: tuple[int, ...]
    pre: str | None
    build: str | None


_Pairs = tuple[tuple[str, tuple[int, ...]], ...]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


@lru_cache(maxsize=16384)
def _plain(text: str) -> _Plain | None:
    match = _PLAIN.fullmatch(text)
    return _Plain(_numbers(match["numbers"]), match["pre"], match["build"]) if match else None


@lru_cache(maxsize=16384)
def _pairs(text: str) -> _Pairs | None:
    """Return `R4.5.2-python3.13.9` as names and numbers; None for other text."""
    found = []
    for part in text.split("-"):
        match = _PAIR.fullmatch(part)
        if match is None:
            return None
        found.append((match["name"], _numbers(match["numbers"])))
    return tuple(found)


def matches(wanted: str, version: str) -> bool:
    """Return whether `wanted` selects the version. The first rule that applies to both texts decides."""
    if wanted == version:
        return True
    plain, other = _plain(wanted), _plain(version)
    if plain is not None and other is not None:
        return _plain_matches(plain, other)
    pairs, others = _pairs(wanted), _pairs(version)
    if pairs is not None and others is not None:
        # Each version may be cut at a dot: R4.5 matches R4.5.2 (the original tool requires all of it).
        return len(pairs) <= len(others) and all(
            name == other_name and numbers == other_numbers[: len(numbers)]
            for (name, numbers), (other_name, other_numbers) in zip(pairs, others, strict=False)
        )
    if (plain is not None and others is not None) or (pairs is not None and other is not None):
        return False
    return _parts_match(wanted.split("."), version.split("."))


def _plain_matches(wanted: _Plain, version: _Plain) -> bool:
    if wanted.numbers != version.numbers[: len(wanted.numbers)]:
        return False
    if wanted.pre is not None and wanted.pre != version.pre:
        return False
    # If a build is given, it must match: +7 does not match +8 (the original tool ignores it).
    return wanted.build is None or wanted.build == version.build


def _parts_match(wanted: list[str], version: list[str]) -> bool:
    if len(wanted) > len(version):
        return False
    return all(there == part or there.startswith(f"{part}-") for part, there in zip(wanted, version, strict=False))
