"""Annotation keys that we read and write, and the times in them.

Source: OCI image-spec 1.1, annotations.md.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

CREATED: Final = "org.opencontainers.image.created"


def parse_time(text: object) -> datetime | None:
    """An RFC 3339 time in UTC, or None where it is none. A time without zone is taken as UTC (pipeline.md 4.2)."""
    if not isinstance(text, str):
        return None
    try:
        time = datetime.fromisoformat(text.strip())
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def format_time(time: datetime) -> str:
    """RFC 3339 in UTC with `Z`; a fraction only where there is one."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
