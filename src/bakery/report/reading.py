"""Reads the summary of a run from JSON, of any version of Bakery and of the tool that it replaces. Pure.

It may come from any job, so nothing in it is trusted to have the right type. Members that are not known are ignored, a
member that is null counts as missing, and the numbers that the older tool, and our summary of a build, have for
`platforms` and `tags` are kept (pipeline.md 6.2, commands.md 2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from bakery.errors import BadDocument
from bakery.oci.canonical import RawNumber
from bakery.report.summary_format import Count, Summary, TargetRecord

_TYPES: Final = {
    "array": "a list", "str": "a string", "int": "a whole number", "object": "an object", "float": "a number",
    "bool": "true or false", "null": "null",
}  # fmt: skip
_MISMATCH: Final = re.compile(r"Expected `([a-z]+)[^`]*`(.*?)(?:, got `([a-z]+)[^`]*`)?(?: - at `\$\.?(.*)`)?")


_MARKS: Final = frozenset({"targets", "build_targets"})  # every version has both, also of the older tool


class ReadTarget(TargetRecord, frozen=True, kw_only=True):
    """A target as read. platform_count and tag_count: of a tool that has numbers instead of lists."""

    platform_count: Count | None = None
    tag_count: Count | None = None


class ReadSummary(Summary, frozen=True, kw_only=True):
    """A summary as read. format: 0 if it names none."""

    format: Count = 0
    targets: tuple[ReadTarget, ...] = ()


def read_summary(document: Mapping[str, Any]) -> ReadSummary:
    """Return a summary. Raises BadDocument, naming the invalid member, and for a document that is not one."""
    if _MARKS.isdisjoint(document):
        raise BadDocument("invalid summary", why="it has no member that every summary has, such as targets")
    known = _without_null(document)
    if isinstance(targets := known.get("targets"), list):
        known["targets"] = [_with_counts(target) for target in targets]
    try:
        return msgspec.convert(known, ReadSummary)
    except msgspec.ValidationError as error:
        raise BadDocument("invalid summary", why=_mismatch(str(error))) from error


def _without_null(value: Any) -> Any:
    """Return the value without members that are null, which have their defaults, and with its fractions as numbers."""
    if isinstance(value, RawNumber):
        return float(value)
    if isinstance(value, Mapping):
        return {key: _without_null(item) for key, item in value.items() if item is not None}
    return [_without_null(item) for item in value] if isinstance(value, list) else value


def _with_counts(target: Any) -> Any:
    """Return the target with its numbers of platforms and tags under names of their own.

    The summary of a build has the same numbers, and the platforms in `platform_list`. Its `tag_list` is not read: those
    are the tags that a publish may move later.
    """
    if not isinstance(target, Mapping):
        return target
    counted = {kind for kind in ("platform", "tag") if isinstance(target.get(f"{kind}s"), int)}
    lists = {key: item for key, item in target.items() if key.removesuffix("s") not in counted}
    lists = {key: item for key, item in lists.items() if key not in ("platform_count", "tag_count")}
    if "platform" in counted and "platform_list" in target:
        lists["platforms"] = target["platform_list"]
        counted.remove("platform")
    return lists | {f"{kind}_count": target[f"{kind}s"] for kind in counted}


def _mismatch(text: str) -> str:
    """Return msgspec's message in our words: "targets[0].layers must be a whole number, got a string"."""
    found = _MISMATCH.fullmatch(text)
    if found is None:
        return text
    wanted, bounds, got, place = found.groups()
    message = f"{place or 'the document'} must be {_TYPES.get(wanted, wanted)}{bounds}"
    return f"{message}, got {_TYPES.get(got, got)}" if got else message
