"""The folded parts of a summary page about the work: runs, registries with waits and retries, time by stage. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bakery.report.fitting import Part
from bakery.report.markdown import code, escape, fenced, head, row, size
from bakery.report.merging import Merged
from bakery.report.reading import ReadSummary
from bakery.report.summary_format import RegistryRecord
from bakery.report.units import duration
from bakery.text import plural

_BAR: Final = 40  # characters
_CAUSES: Final = 10  # of a registry


def runs_part(merged: Merged) -> Part | None:
    """Return a row per run, if there are several."""
    if len(merged.runs) < 2:
        return None
    heading = f"<details><summary>{plural(len(merged.runs), 'run')}</summary>\n\n"
    heading += head(("Run", "Targets", "Failed", "Exit code", "Time"), right={1, 2, 3, 4})
    return Part(6, heading, tuple(_run_row(run) for run in merged.runs), "\n</details>", "run")


def _run_row(run: ReadSummary) -> str:
    failed = sum(target.state == "failed" for target in run.targets)
    numbers = (f"{len(run.targets):,}", f"{failed:,}", str(run.exit_code), duration(run.elapsed_s))
    return row((code(run.kind) if run.kind else "-", *numbers))


def registries_part(merged: Merged) -> Part | None:
    """Return the traffic with each registry, and why requests were repeated or held back."""
    registries = _registries(merged)
    if not registries:
        return None
    retries = sum(registry.retries for registry in registries)
    waited = sum(registry.waited_s for registry in registries)
    words = f": {plural(retries, 'retry', 'retries')}, {duration(waited)} of waiting" if retries or waited else ""
    names = ("Registry", "Requests", "Sent", "Received", "Already there", "Mounted", "Retries", "Waited")
    heading = f"<details><summary>Registries{words}</summary>\n\n{head(names, right=range(1, 8))}"
    reasons = [
        f"- {code(registry.host)}: {escape(cause.reason)}, {plural(cause.count, 'time')}, {duration(cause.waited_s)}"
        for registry in registries
        for cause in sorted(registry.causes, key=lambda cause: -cause.waited_s)[:_CAUSES]
    ]
    rows = tuple(_registry_row(registry) for registry in registries)
    return Part(4, heading, rows, "\n".join(["", *reasons, *([""] if reasons else []), "</details>"]), "registry")


def _registry_row(registry: RegistryRecord) -> str:
    return row(
        (
            code(registry.host),
            f"{registry.requests:,}",
            size(registry.bytes_out),
            size(registry.bytes_in),
            size(registry.reused_bytes),
            size(registry.mounted_bytes),
            f"{registry.retries:,}",
            duration(registry.waited_s) if registry.waited_s else "-",
        )
    )


def _registries(merged: Merged) -> list[RegistryRecord]:
    """Return each registry once, with the traffic of all runs."""
    found: dict[str, list[RegistryRecord]] = {}
    for run in merged.runs:
        for registry in run.registries:
            found.setdefault(registry.host, []).append(registry)
    return [_together(host, records) for host, records in found.items()]


_ADDED: Final = ("requests", "bytes_out", "bytes_in", "reused", "reused_bytes", "mounted", "mounted_bytes",
                 "retries", "waited_s")  # fmt: skip


def _together(host: str, records: Sequence[RegistryRecord]) -> RegistryRecord:
    if len(records) == 1:
        return records[0]
    numbers = {name: sum(getattr(record, name) for record in records) for name in _ADDED}
    causes = tuple(cause for record in records for cause in record.causes)
    return RegistryRecord(host=host, causes=causes, **numbers)


def stages_part(merged: Merged) -> Part | None:
    """Return when each stage of a run was at work; of several runs, how long each took in all."""
    runs = [run for run in merged.runs if run.stages]
    if not runs:
        return None
    lines = _when(runs[0]) if len(merged.runs) == 1 else _in_all(runs)
    heading = f"<details><summary>Time by stage</summary>\n\n{fenced(lines)}\n\n</details>"
    return Part(4, heading)


def _when(run: ReadSummary) -> list[str]:
    """Return a bar per stage from its first to its last moment, in the time of the run."""
    end = max(run.elapsed_s, *(stage.end_s for stage in run.stages)) or 1.0
    width = max(len(stage.stage) for stage in run.stages)
    lines = []
    for stage in run.stages:
        start = min(_BAR - 1, int(_BAR * stage.start_s / end))
        length = max(1, round(_BAR * (stage.end_s - stage.start_s) / end))
        bar = ("·" * start + "█" * length).ljust(_BAR, "·")[:_BAR]
        times = f"{duration(stage.end_s - stage.start_s):>9} for {plural(stage.steps, 'step')}"
        lines.append(f"{stage.stage:{width}}  {bar}  {times}")
    return lines


def _in_all(runs: Sequence[ReadSummary]) -> list[str]:
    """Return a bar per stage for the time of all its steps in all runs."""
    totals: dict[str, float] = {}
    for stage in (stage for run in runs for stage in run.stages):
        totals[stage.stage] = totals.get(stage.stage, 0.0) + stage.busy_s
    most = max(totals.values()) or 1.0
    width = max(map(len, totals))
    return [
        f"{name:{width}}  {'█' * max(1, round(_BAR * total / most)):{_BAR}}  {duration(total):>9}"
        for name, total in totals.items()
    ]
