"""Sizes, times and digests as people read them. Pure."""

from __future__ import annotations

from typing import Final

_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_SHORT_DIGEST: Final = 7  # characters, as git has it


def size(count: float) -> str:
    """Return bytes in powers of 1000, as registries and networks count: "24.1 MB"."""
    for unit in _UNITS[:-1]:
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.95 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {_UNITS[-1]}"


def clock(seconds: float) -> str:
    """Return a time that runs: "0:05", "12:34", "1:02:03"."""
    whole = max(0, int(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def duration(seconds: float) -> str:
    """Return a time that has passed: "0.4 s", "12 s", "3 min 5 s", "2 h 4 min"."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def short_digest(digest: str) -> str:
    """Return a digest with its first characters: "sha256:7ad7c02…". It is only to be recognized, not to be copied."""
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm}:{encoded[:_SHORT_DIGEST]}…" if len(encoded) > _SHORT_DIGEST else digest
