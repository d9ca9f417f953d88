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
_BUILT, _PUBLISHED = "built", "published"


class Merged(Struct, frozen=True):
    """Runs, and the targets of all of them: each once, sorted by image, version, OS and variant."""

    runs: tuple[ReadSummary, ...]
    targets: tuple[ReadTarget, ...]
    skipped: tuple[SkippedRecord, ...] = ()
    warnings: tuple[str, ...] = ()


def merge(summaries: Iterable[ReadSummary]) -> Merged:
    """Merge summaries. Platforms, tags, destinations and sizes of several builds, or publishes, of a target add up.

    What was built and then published is in both kinds of summaries: the publish tells what there is in the end.
    Repetitions count once.
    """
    runs = tuple(summaries)
    found: dict[str, list[tuple[str, ReadTarget]]] = {}
    for run in runs:
        for target in run.targets:
            found.setdefault(target.uid, []).append((_kind(run, target), target))
    return Merged(
        runs,
        tuple(sorted((_of_one(records) for records in found.values()), key=_order)),
        tuple(dict.fromkeys(item for run in runs for item in run.skipped)),
        tuple(dict.fromkeys(text for run in runs for text in run.warnings)),
    )


def _kind(run: ReadSummary, target: ReadTarget) -> str:
    """Return whether a target was built or published, or "": the older tool's summaries do not say."""
    if run.kind:
        return _BUILT if run.kind == "build" else _PUBLISHED
    if target.destinations:
        return _PUBLISHED
    return _BUILT if target.cache_ref or target.local_size is not None else ""


def _of_one(records: Sequence[tuple[str, ReadTarget]]) -> ReadTarget:
    """Return a target from all its summaries."""
    kinds = [kind for kind, _ in records]
    # The older tool builds in several jobs and publishes in one, whose summary has neither a cache nor a local size.
    other = _PUBLISHED if kinds.count("") == 1 and _BUILT in kinds and _PUBLISHED not in kinds else ""
    by_kind: dict[str, ReadTarget] = {}
    for kind, target in records:
        key = _PUBLISHED if (kind or other) == _PUBLISHED else _BUILT
        by_kind[key] = _merged(by_kind[key], target) if key in by_kind else target
    built, published = by_kind.get(_BUILT), by_kind.get(_PUBLISHED)
    if built is None or published is None:
        return next(iter(by_kind.values()))
    return _published_after(built, published)


def _published_after(built: ReadTarget, published: ReadTarget) -> ReadTarget:
    """Return a target that was built and published. Failures of both count, and the time of both."""
    states = [state for state in _WORST_FIRST if state in (built.state, published.state)]
    known = {key: _first(getattr(published, key), getattr(built, key)) for key in _FIRST_KNOWN}
    if not (published.platforms or published.platform_count):  # it failed before it had read them
        known |= {key: getattr(built, key) for key in ("platforms", "platform_digests", "platform_count")}
    return replace(
        published,
        **known,
        registry_size=_first(published.registry_size, built.registry_size),
        tag_count=_first(published.tag_count, built.tag_count),
        errors=_union(built.errors, published.errors),
        notes=_union(built.notes, published.notes),
        state=states[0] if states else published.state or built.state,
        elapsed_s=built.elapsed_s + published.elapsed_s,
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
    # Two summaries that list the same platforms have the same size.
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
