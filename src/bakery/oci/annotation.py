"""The annotations that Bakery reads and writes, and the format of times.

Source: OCI image-spec 1.1, annotations.md.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

CREATED: Final = "org.opencontainers.image.created"
VERSION: Final = "org.opencontainers.image.version"


def parse_time(text: object) -> datetime | None:
    """Return an RFC 3339 time in UTC, or None for anything else. A time without a zone is UTC (pipeline.md 4.2)."""
    if not isinstance(text, str):
        return None
    try:
        time = datetime.fromisoformat(text.strip())
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def format_time(time: datetime) -> str:
    """Return a time as RFC 3339 in UTC with `Z`; with a fraction of a second only if it has one."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
