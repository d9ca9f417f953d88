"""Merges the summaries of several runs into one, by target. Pure. `report.reading` reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from bakery.report.reading import ReadSummary, ReadTarget
from bakery.report.summary_format import DestinationRecord, SkippedRecord, TagRecord, TargetRecord

# Of several runs of a target, the first of these is the state of all.
_WORST_FIRST: Final = ("failed", "refused", "stopped", "published", "repaired", "unchanged", "built")
_MOVED: Final = ("published", "moved")  # of a tag: by that run


class Merged(Struct, frozen=True):
    """Runs, and the targets of all of them: each once, sorted by image, version, OS and variant."""

    runs: tuple[ReadSummary, ...]
    targets: tuple[ReadTarget, ...]
    skipped: tuple[SkippedRecord, ...] = ()
    warnings: tuple[str, ...] = ()


def merge(summaries: Iterable[ReadSummary]) -> Merged:
    """Merge summaries. Platforms, tags, destinations and sizes add up; repetitions count once."""
    runs = tuple(summaries)
    merged: dict[str, ReadTarget] = {}
    for target in (target for run in runs for target in run.targets):
        uid = target.uid
        merged[uid] = _merged(merged[uid], target) if uid in merged else target
    return Merged(
        runs,
        tuple(sorted(merged.values(), key=_order)),
        tuple(dict.fromkeys(item for run in runs for item in run.skipped)),
        tuple(dict.fromkeys(text for run in runs for text in run.warnings)),
    )


def totals(targets: Sequence[TargetRecord]) -> dict[str, Any]:
    """Return the totals of a summary, by their names in it. An unknown size is None, never 0."""
    return {
        "build_targets": len(targets),
        "platform_builds": sum(platform_count(target) for target in targets),
        "registry_tags": sum(tag_count(target) for target in targets),
        "registry_size_bytes": _sum(target.registry_size for target in targets),
        "local_size_bytes": _sum(target.local_size for target in targets),
        "cache_size_bytes": _sum(target.cache_size for target in targets),
    }


def platform_count(target: TargetRecord) -> int:
    """Return how many platforms a target has: as listed, or as counted by a tool that lists none."""
    return len(target.platforms) or getattr(target, "platform_count", None) or 0


def tag_count(target: TargetRecord) -> int:
    """Return how many tags a target has: as listed, or as counted by a tool that lists none."""
    return len(target.tags) or getattr(target, "tag_count", None) or 0


def _order(target: ReadTarget) -> tuple[str, ...]:
    return tuple(text or "" for text in (target.image_name, target.version, target.os, target.variant))


def _sum(sizes: Iterable[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if known else None


def _merged(first: ReadTarget, second: ReadTarget) -> ReadTarget:
    fresh = [item for item in second.platforms if item not in first.platforms]
    numbers = [number for number in (first.platform_count, second.platform_count) if number is not None]
    # The summaries of a target's build and of its publish list the same platforms; their size counts once.
    adds = bool(fresh) or len(numbers) == 2
    both = first.registry_size, second.registry_size
    states = [state for state in _WORST_FIRST if state in (first.state, second.state)]
    return replace(
        first,
        **{key: _union(getattr(first, key), getattr(second, key)) for key in ("platforms", "tags", "errors", "notes")},
        **{key: _first(getattr(first, key), getattr(second, key)) for key in _FIRST_KNOWN},
        platform_digests={**second.platform_digests, **first.platform_digests},
        platform_count=_sum(numbers),
        tag_count=max((size for size in (first.tag_count, second.tag_count) if size is not None), default=None),
        registry_size=_sum(both) if adds else _first(*both),
        destinations=_destinations(first.destinations, second.destinations),
        state=states[0] if states else first.state or second.state,
        elapsed_s=first.elapsed_s + second.elapsed_s,
    )


_FIRST_KNOWN: Final = ("layers", "cache_ref", "cache_size", "digest", "local_size", "image_name", "version", "os",
                       "variant")  # fmt: skip


def _first(one: Any, other: Any) -> Any:
    return other if one is None else one


def _union(one: Sequence[Any], other: Sequence[Any]) -> tuple[Any, ...]:
    return (*one, *(item for item in other if item not in one))


def _destinations(
    first: Sequence[DestinationRecord], second: Sequence[DestinationRecord]
) -> tuple[DestinationRecord, ...]:
    """Return each repository once, with every tag of both runs."""
    places = {place.repository: place for place in first}
    for place in second:
        known = places.get(place.repository)
        if known is None:
            places[place.repository] = place
            continue
        tags = {tag.tag: tag for tag in known.tags}
        for tag in place.tags:
            tags[tag.tag] = _tag(tags[tag.tag], tag) if tag.tag in tags else tag
        places[place.repository] = replace(place, tags=tuple(tags.values()))
    return tuple(places.values())


def _tag(first: TagRecord, second: TagRecord) -> TagRecord:
    """Return a tag after two runs, the second being the later one, with what it named before both."""
    if first.state not in _MOVED:
        return second
    return replace(second, state=first.state if second.state == "unchanged" else second.state, previous=first.previous)
