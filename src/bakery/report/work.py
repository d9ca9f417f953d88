"""What the events of a run add up to, for its JSON summary: stages, and the traffic with each registry. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bakery.oci.annotation import format_time
from bakery.report.model import Host, Run
from bakery.report.summary_format import CauseRecord, RegistryRecord, StageRecord
from bakery.text import clean


def started(run: Run, later_s: float = 0.0) -> datetime:
    """Return when a run began, to the millisecond, or the moment so many seconds later."""
    return datetime.fromtimestamp(round(run.started_at + later_s, 3), UTC)


def work(run: Run) -> dict[str, Any]:
    """Return what the events of a run add up to, by the names of the summary's members."""
    return {
        "kind": run.doing,
        "started": format_time(started(run)),
        "requests_saved": run.saved,
        "stages": tuple(
            StageRecord(
                stage=stage.name,
                start_s=round(stage.began, 3),
                end_s=round(stage.ended, 3),
                busy_s=round(stage.busy_s, 3),
                steps=stage.steps,
            )
            for stage in run.stages()
        ),
        "registries": tuple(map(_registry, run.hosts.values())),
    }


def _registry(host: Host) -> RegistryRecord:
    return RegistryRecord(
        host=host.name,
        requests=host.requests,
        bytes_in=host.bytes_in,
        bytes_out=host.bytes_out,
        reused=host.reused,
        reused_bytes=host.reused_bytes,
        mounted=host.mounted,
        mounted_bytes=host.mounted_bytes,
        retries=host.retries,
        waited_s=round(host.waited_s, 3),
        causes=tuple(
            CauseRecord(
                reason=clean(cause.reason), count=cause.count, pauses=cause.pauses, waited_s=round(cause.waited_s, 3)
            )
            for cause in host.causes.values()
        ),
    )
