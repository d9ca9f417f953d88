"""Reads summaries of runs and merges them into one, by target. Pure.

A summary may come from any version of Bakery or of the tool that it replaces, whose `platforms` and `tags` are numbers,
and from any job: nothing in it is trusted to have the right type (pipeline.md 6.2, commands.md 2.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from bakery.errors import BadDocument
from bakery.oci.canonical import json_type
from bakery.oci.descriptor import MAX_SIZE

_TEXTS: Final = ("image_name", "version", "os", "variant", "state", "digest", "cache_ref")
_SIZES: Final = ("layers", "registry_size", "local_size", "cache_size")
_ERROR_TEXTS: Final = ("step", "destination", "message", "hint")


def read_summary(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return `targets` and `skipped` of a summary in today's form. Raises BadDocument, naming the invalid member.

    platform_count and tag_count of a target: from a summary that has numbers instead of lists, else None.
    """
    return {
        "targets": _list(document, "targets", "", _read_target),
        "skipped": _list(document, "skipped", "", lambda item, place: _texts(item, ("uid", "reason"), place)),
    }


def merge(summaries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge summaries that `read_summary` returned. Platforms, tags and sizes add up; repetitions count once."""
    merged: dict[str, dict[str, Any]] = {}
    skipped: list[Any] = []
    for summary in summaries:
        skipped += summary["skipped"]
        for target in summary["targets"]:
            uid = target["uid"]
            merged[uid] = _merged(merged[uid], target) if uid in merged else target
    targets = sorted(
        merged.values(), key=lambda row: tuple(row[key] or "" for key in ("image_name", "version", "os", "variant"))
    )
    return {**totals(targets), "targets": targets, "skipped": skipped}


def totals(targets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the totals of a summary. An unknown size is None, never 0."""
    return {
        "build_targets": len(targets),
        "platform_builds": sum(count(target, "platform") for target in targets),
        "registry_tags": sum(count(target, "tag") for target in targets),
        "registry_size_bytes": _sum(target["registry_size"] for target in targets),
        "local_size_bytes": _sum(target["local_size"] for target in targets),
        "cache_size_bytes": _sum(target["cache_size"] for target in targets),
    }


def count(target: Mapping[str, Any], what: str) -> int:
    """Return how many platforms (or tags) a target has: as listed, or as counted by a tool that lists none."""
    return len(target[f"{what}s"]) or target.get(f"{what}_count") or 0


def _sum(sizes: Iterable[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if known else None


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    fresh = [item for item in second["platforms"] if item not in first["platforms"]]
    row = dict(first)
    for key in ("platforms", "tags", "errors", "notes"):
        row[key] = first[key] + [item for item in second[key] if item not in first[key]]
    for key in ("layers", "cache_ref", "cache_size", "digest", "local_size"):
        row[key] = first[key] if first[key] is not None else second[key]
    numbers = [size for size in (first["platform_count"], second["platform_count"]) if size is not None]
    row["platform_count"] = _sum(numbers)
    row["tag_count"] = max(
        (size for size in (first["tag_count"], second["tag_count"]) if size is not None), default=None
    )
    # The summaries of a target's build and of its publish list the same platforms; their size counts once.
    both = first["registry_size"], second["registry_size"]
    adds = bool(fresh) or len(numbers) == 2
    row["registry_size"] = _sum(both) if adds else (both[0] if both[0] is not None else both[1])
    worst = ("failed", "stopped", "published", "repaired", "unchanged")
    states = [state for state in worst if state in (first["state"], second["state"])]
    row["state"] = states[0] if states else first["state"] or second["state"]
    return row


def _read_target(target: Mapping[str, Any], place: str) -> dict[str, Any]:
    row: dict[str, Any] = {"uid": _text(target, "uid", place) or ""}
    row |= {key: _text(target, key, place) for key in _TEXTS}
    row |= {key: _whole(target, key, place) for key in _SIZES}
    for kind in ("platform", "tag"):
        is_number = isinstance(target.get(f"{kind}s"), int)
        row[f"{kind}_count"] = _whole(target, f"{kind}s", place) if is_number else None
        row[f"{kind}s"] = [] if is_number else _list(target, f"{kind}s", place, _string)
    row["errors"] = _list(target, "errors", place, lambda item, at: _texts(item, _ERROR_TEXTS, at))
    row["notes"] = _list(target, "notes", place, _string)
    return row


def _invalid(place: str, expected: str, found: object) -> BadDocument:
    return BadDocument("invalid summary", why=f"{place} must be {expected}, got {json_type(found)}")


def _list(document: Mapping[str, Any], key: str, place: str, read: Callable[[Any, str], Any]) -> list[Any]:
    at = f"{place}.{key}".lstrip(".")
    found = document.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        raise _invalid(at, "a list", found)
    items = []
    for number, item in enumerate(found):
        if read is not _string and not isinstance(item, Mapping):
            raise _invalid(f"{at}[{number}]", "an object", item)
        items.append(read(item, f"{at}[{number}]"))
    return items


def _string(found: object, place: str) -> str:
    if not isinstance(found, str):
        raise _invalid(place, "a string", found)
    return found


def _text(document: Mapping[str, Any], key: str, place: str) -> str | None:
    found = document.get(key)
    return None if found is None else _string(found, f"{place}.{key}")


def _texts(document: Mapping[str, Any], keys: Sequence[str], place: str) -> dict[str, str]:
    return {key: _text(document, key, place) or "" for key in keys}


def _whole(document: Mapping[str, Any], key: str, place: str) -> int | None:
    found = document.get(key)
    if found is not None and (not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= MAX_SIZE):
        raise _invalid(f"{place}.{key}", "a whole number that is not negative", found)
    return found
