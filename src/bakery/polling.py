"""How long to wait between two looks for something that may appear soon. Knows no clock and does no I/O."""

from __future__ import annotations

from collections.abc import Iterator

from bakery.defaults import FIRST_POLL_S, LONGEST_POLL_S, POLL_GROWTH


def poll_delays(first_s: float = FIRST_POLL_S) -> Iterator[float]:
    """Yield the delays between looks, in seconds, without end: each POLL_GROWTH times the last, up to LONGEST_POLL_S.

    Sleep `next(delays)` after each look that found nothing.
    """
    delay_s = first_s
    while True:
        yield delay_s
        delay_s = min(delay_s * POLL_GROWTH, LONGEST_POLL_S)
