"""Times of creation: read in any zone, written in UTC."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from bakery.oci.annotation import format_time, parse_time

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
READ = {
    "UTC": ("2026-01-05T12:00:00Z", NOON),
    "another zone": ("2026-01-05T14:00:00+02:00", NOON),
    "no zone": ("2026-01-05T12:00:00", NOON),
    "spaces around it": (" 2026-01-05T12:00:00Z\n", NOON),
    "not a time": ("yesterday", None),
    "beyond the calendar in UTC": ("0001-01-01T00:00:00+02:00", None),
    "not text": (1767614400, None),
}


@pytest.mark.parametrize(("text", "time"), READ.values(), ids=READ)
def test_a_time_is_read_in_utc_or_not_at_all(text, time):
    read = parse_time(text)
    assert read == time
    assert getattr(read, "tzinfo", UTC) is UTC


def test_a_time_is_written_in_utc_with_a_fraction_only_if_it_has_one():
    assert format_time(NOON.astimezone(timezone(timedelta(hours=5)))) == "2026-01-05T12:00:00Z"
    assert format_time(NOON.replace(microsecond=250_000)) == "2026-01-05T12:00:00.250000Z"
