"""The traffic with a registry over time: how fast bytes and requests went between two samples. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from bakery.report.model import Host, Sample


class Rate(Struct, frozen=True):
    """What went per second from `start` to `end`, in seconds since the start of the run."""

    start: float
    end: float
    out_per_s: float
    in_per_s: float
    requests_per_s: float


def rates(host: Host) -> Iterator[Rate]:
    """Yield the traffic between each sample and the next one, in order, and at last that nothing went any more."""
    before = Sample(0.0, 0, 0, 0)
    for sample in host.samples:
        length = sample.at - before.at
        if length <= 0:
            continue
        yield Rate(
            before.at,
            sample.at,
            max(0, sample.bytes_out - before.bytes_out) / length,
            max(0, sample.bytes_in - before.bytes_in) / length,
            max(0, sample.requests - before.requests) / length,
        )
        before = sample
    if before.at:
        yield Rate(before.at, before.at, 0.0, 0.0, 0.0)
