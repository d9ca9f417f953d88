"""The summary of a build as JSON and as tables. Pure: sizes are measured elsewhere. Source: commands.md 2.1 and 2.2."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from bakery.build.outcome import BuildFailure, BuildOutcome, TargetBuild
from bakery.build.sizes import NOT_MEASURED, TargetSizes
from bakery.report.build_format import BuildError, BuildSummary, BuiltTarget
from bakery.report.columns import display_width
from bakery.report.records import members
from bakery.report.summary_format import FORMAT
from bakery.report.table import aligned
from bakery.report.units import size
from bakery.text import clean, plural

_UNKNOWN: Final = "—"
_HEADINGS: Final = (
    "Image", "Version", "OS", "Variant", "State", "Time", "Cached", "Platforms", "Tags", "Layers", "Registry Size",
    "Local Size", "Cache Size",
)  # fmt: skip
_GROUPING: Final = 4  # the first columns: a value that repeats the line above is left blank


def summarize_build(outcome: BuildOutcome, sizes: Mapping[str, TargetSizes]) -> BuildSummary:
    """Return the summary of a build. sizes: by uid, as far as they were measured."""
    targets = tuple(_target(build, sizes.get(build.uid, NOT_MEASURED)) for build in outcome.targets)
    caches = {target.cache_ref: target.cache_size for target in targets if target.cache_size is not None}
    return BuildSummary(
        format=FORMAT,
        kind="build",
        build_targets=len(targets),
        platform_builds=sum(target.platforms for target in targets),
        registry_tags=sum(target.tags for target in targets),
        registry_size_bytes=_sum(target.registry_size for target in targets),
        local_size_bytes=_sum(target.local_size for target in targets),
        cache_size_bytes=_sum(caches.values()),
        interrupted=bool(outcome.signum),
        exit_code=int(outcome.exit_code),
        elapsed_s=round(outcome.seconds, 3),
        targets=targets,
    )


def build_json(summary: BuildSummary) -> dict[str, Any]:
    """Return the summary as a JSON value."""
    return members(summary)


def counts_table(targets: int, platform_builds: int, tags: int) -> str:
    """Return how much a build makes, for a plan."""
    rows = [
        ("Build Summary", ""),
        ("Build Targets", f"{targets:,}"),
        ("Platform Builds", f"{platform_builds:,}"),
        ("Registry Tags", f"{tags:,}"),
    ]
    return f"{aligned(rows, right={1})}Tags include aliases such as latest.\n"


def sizes_table(summary: BuildSummary, *, width: int | None = None) -> str:
    """Return one line per target, sorted by image, version, OS and variant, and their total.

    width: of the terminal; in a narrower one, each target is a paragraph. None: no terminal.
    """
    targets = sorted(summary.targets, key=lambda one: (one.image_name, one.version, one.os, one.variant))
    rows = [_row(target) for target in targets]
    total = (
        "Total", "", "", "", "", f"{summary.elapsed_s:.1f} s", "", str(summary.platform_builds),
        str(summary.registry_tags), "", size_text(summary.registry_size_bytes), size_text(summary.local_size_bytes),
        size_text(summary.cache_size_bytes),
    )  # fmt: skip
    heading = f"Build Summary ({plural(len(targets), 'target')})\n"
    right = set(range(5, len(_HEADINGS)))
    table = aligned([_HEADINGS, *_without_repeats(rows), total], right=right, total=True)
    if width is not None and any(display_width(line) > width for line in table.splitlines()):
        table = aligned([_HEADINGS, *rows, total], width=width)  # each paragraph has the name of its image
    return heading + table


def size_text(size_bytes: int | None) -> str:
    """Return a size for people; "—" if it is unknown."""
    return _UNKNOWN if size_bytes is None else size(size_bytes)


def _target(build: TargetBuild, sizes: TargetSizes) -> BuiltTarget:
    target, failure = build.target, build.failure
    measured = next((one for one in (sizes.registry, sizes.local) if one is not None and one.layers), None)
    return BuiltTarget(
        uid=target.uid,
        image_name=target.image,
        version=target.version,
        os=target.os or "",
        variant=target.variant or "",
        platforms=len(build.platforms),
        tags=len(target.references),
        layers=measured.layers if measured else None,
        registry_size=sizes.registry.size_bytes if sizes.registry else None,
        local_size=sizes.local.size_bytes if sizes.local else None,
        cache_ref=build.cache_ref or None,
        cache_size=sizes.cache.size_bytes if sizes.cache else None,
        platform_list=build.platforms,
        tag_list=target.references,
        state=str(build.state),
        digest=build.digest or None,
        elapsed_s=round(build.seconds, 3),
        attempts=build.attempts,
        cache_hit_ratio=None if build.cache_hit_ratio is None else round(build.cache_hit_ratio, 4),
        warnings=build.warnings,
        errors=(_error(failure),) if failure is not None else (),
    )


def _error(failure: BuildFailure) -> BuildError:
    place = f"{failure.file}:{failure.line}: " if failure.line else f"{failure.file}: " if failure.file else ""
    return BuildError(
        step=clean(failure.step),
        message=clean(f"{place}{failure.reason}"),
        file=failure.file or None,
        line=failure.line or None,
    )


def _row(target: BuiltTarget) -> tuple[str, ...]:
    cached = _UNKNOWN if target.cache_hit_ratio is None else f"{target.cache_hit_ratio:.0%}"
    return (
        target.image_name,
        target.version,
        target.os or _UNKNOWN,
        target.variant or _UNKNOWN,
        target.state,
        f"{target.elapsed_s:.1f} s",
        cached,
        str(target.platforms),
        str(target.tags),
        _UNKNOWN if target.layers is None else str(target.layers),
        size_text(target.registry_size),
        size_text(target.local_size),
        size_text(target.cache_size),
    )


def _without_repeats(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the rows with a blank in place of each of the first columns that repeats the line above."""
    shown = []
    above: tuple[str, ...] = ()
    for row in rows:
        same = 0
        while same < _GROUPING and above and row[same] == above[same]:
            same += 1
        shown.append((*("" for _ in range(same)), *row[same:]))
        above = row
    return shown


def _sum(sizes: Iterable[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if known else None
