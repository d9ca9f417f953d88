"""The order of versions for pushing: registries list tags by push time, so the newest must be pushed last. Pure.

Unlike in PEP 440, `1.2-14` is lower than `1.2`. Source: pipeline.md 1, "Push key" and "Version comparison".
"""

from __future__ import annotations

import re
from functools import lru_cache

Rank = tuple[object, ...]
_VERSION = re.compile(r"(?P<release>[0-9]+(?:\.[0-9]+)+)(?:-(?P<pre>[0-9A-Za-z.-]+))?(?:\+(?P<build>[0-9A-Za-z.-]+))?")
UNKNOWN: Rank = (0,)
"""The rank of text that is not a version: below every version."""


@lru_cache(maxsize=16384)
def version_rank(name: str) -> Rank:
    """Return a tuple that compares as versions do: numbers, then prerelease. Build metadata is ignored."""
    match = _VERSION.fullmatch(name)
    if match is None:
        return UNKNOWN
    numbers = [int(part) for part in match["release"].split(".")]
    while numbers and not numbers[-1]:  # 1.2 and 1.2.0 are the same release
        numbers.pop()
    if match["pre"] is None:
        return (1, tuple(numbers), (1,))
    segments = tuple(
        (0, int(segment), "") if segment.isdigit() else (1, 0, segment) for segment in match["pre"].split(".")
    )
    return (1, tuple(numbers), (0, segments))
