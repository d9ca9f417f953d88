"""The tags of a target: patterns, the default sets of patterns, and their rendering. Pure. Source: config.md 11.

Most patterns are text with `{{ Name }}` or `{{ Name | filter }}`; those are rendered here, thousands a second.
Jinja2 is imported for any other pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct

from bakery.config import filters, traversal
from bakery.config.project import PatternGroup
from bakery.config.yaml.problem import Finding, Keys, alternatives, nearest

NAMES = ("Version", "OS", "Variant", "Name", "Channel")
MAX_TAG = 128  # characters; OCI distribution-spec 1.1, "Pulling manifests"
_INSIDE = re.compile(r"\{\{.*?\}\}")
_OUTSIDE = re.compile(r"[a-z0-9._-]*")  # anything else outside of braces is reported by the reader
_SKIPPING = frozenset({"OS", "Variant", "Channel"})

_V = "{{ Version }}"
_BARE = "{{ Version | stripMetadata }}"
_MINOR = "{{ Version | stripPatch }}"
_PRIMARY = ("primaryOS", "primaryVariant")
_ENDINGS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("-{{ OS }}-{{ Variant }}", ()),
    ("-{{ Variant }}", ("primaryOS",)),
    ("-{{ OS }}", ("primaryVariant",)),
    ("", _PRIMARY),
)
_LATEST = (
    PatternGroup(("{{ OS }}-{{ Variant }}",), ("latest",)),
    PatternGroup(("{{ OS }}",), ("latest", "primaryVariant")),
    PatternGroup(("{{ Variant }}",), ("latest", "primaryOS")),
    PatternGroup(("latest",), ("latest", *_PRIMARY)),
)
_CHANNEL = (
    PatternGroup(("{{ Channel }}-{{ OS }}-{{ Variant }}",), ("channelLatest",)),
    PatternGroup(("{{ Channel }}-{{ Variant }}",), ("channelLatest", "primaryOS")),
    PatternGroup(("{{ Channel }}-{{ OS }}",), ("channelLatest", "primaryVariant")),
    PatternGroup(("{{ Channel }}",), ("channelLatest", *_PRIMARY)),
)
_ORDINARY = (
    *(PatternGroup((_V + ending, _BARE + ending), only or ("all",)) for ending, only in _ENDINGS),
    *_LATEST,
    *_CHANNEL,
)
_MATRIX = (
    *(
        pattern
        for ending, only in _ENDINGS
        for pattern in (
            PatternGroup((_V + ending,), only or ("all",)),
            PatternGroup((_MINOR + ending,), ("latestPatch", *only)),
        )
    ),
    *_LATEST,
    *_CHANNEL[1:],  # the original tool has no pattern for channel, system and variant together
)


def default_patterns(*, matrix: bool) -> tuple[PatternGroup, ...]:
    """Return the patterns of an image that has no `tagPatterns`."""
    return _MATRIX if matrix else _ORDINARY


class TagValues(Struct, frozen=True):
    """The values of a target that its tags depend on. Text is empty if the target has no such value."""

    version: str
    system: str
    variant: str
    name: str
    channel: str
    latest: bool
    primary_system: bool
    primary_variant: bool
    latest_patch: bool
    channel_head: bool

    def by_name(self) -> dict[str, str]:
        """Return the values by the names that patterns use."""
        return {
            "Version": self.version,
            "OS": self.system,
            "Variant": self.variant,
            "Name": self.name,
            "Channel": self.channel,
        }


class UnusablePattern(Exception):  # internal: becomes a finding
    """A pattern cannot be rendered, or makes an invalid tag."""

    def __init__(self, pattern: str, reason: str) -> None:
        super().__init__(reason)
        self.pattern, self.reason = pattern, reason


def applies(only: tuple[str, ...], values: TagValues) -> bool:
    """Return whether every condition holds. `all` disables the others, except `channelLatest`."""
    if "channelLatest" in only and not values.channel_head:
        return False
    return "all" in only or all(_CONDITIONS[name](values) for name in only)


_CONDITIONS: dict[str, Callable[[TagValues], bool]] = {
    "latest": lambda values: values.latest,
    "primaryOS": lambda values: values.primary_system,
    "primaryVariant": lambda values: values.primary_variant,
    "latestPatch": lambda values: values.latest_patch,
    "channelLatest": lambda values: values.channel_head,
}


class TagPatterns:
    """The patterns of an image and variant. The ones that apply are determined once per combination of conditions."""

    def __init__(self, patterns: Iterable[PatternGroup]) -> None:
        self._patterns = tuple(patterns)
        self._applying: dict[tuple[bool, ...], tuple[str, ...]] = {}

    def tags(self, values: TagValues) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the tags of a target, unique and sorted, and the patterns that rendered to nothing.

        Raises UnusablePattern if a pattern cannot be rendered or a tag is too long.
        """
        found: set[str] = set()
        empty: list[str] = []
        by_name = values.by_name()
        for pattern in self._applying_to(values):
            rendered = _render(pattern, by_name)
            if rendered is None:
                continue
            text = filters.tag_text(rendered)
            if not text:
                empty.append(pattern)
            elif len(text) > MAX_TAG:
                reason = f"the tag has {len(text)} characters, at most {MAX_TAG} are allowed: {text}"
                raise UnusablePattern(pattern, reason)
            else:
                found.add(text)
        return tuple(sorted(found)), tuple(empty)

    def _applying_to(self, values: TagValues) -> tuple[str, ...]:
        flags = tuple(flag(values) for flag in _CONDITIONS.values())
        known = self._applying.get(flags)
        if known is None:
            groups = (group for group in self._patterns if applies(group.only, values))
            known = tuple(dict.fromkeys(pattern for group in groups for pattern in group.patterns))
            self._applying[flags] = known
        return known


_PLACEHOLDER = re.compile(r"\{\{-?\s*(?P<name>\w+)\s*(?:\|\s*(?P<filter>\w+)\s*)?-?\}\}")
_SIMPLE: Mapping[str, Callable[[str], str]] = {
    "stripMetadata": lru_cache(maxsize=16384)(filters.strip_metadata),
    "stripPatch": lru_cache(maxsize=16384)(filters.strip_patch),
    "condense": filters.condense,
    "tagSafe": filters.tag_safe,
}
Segment = str | tuple[str, Callable[[str], str] | None]


@lru_cache(maxsize=4096)
def _simple(pattern: str) -> tuple[tuple[Segment, ...], frozenset[str]] | None:
    """Return a pattern as text and placeholders, and the names that must not be empty; None if it needs Jinja2."""
    segments: list[Segment] = []
    needed: set[str] = set()
    end = 0
    for match in _PLACEHOLDER.finditer(pattern):
        name, filter_name = match["name"], match["filter"]
        if name not in NAMES or (filter_name and filter_name not in _SIMPLE) or "-" in match[0]:
            return None
        if match.start() > end:
            segments.append(pattern[end : match.start()])
        segments.append((name, _SIMPLE[filter_name] if filter_name else None))
        needed.add(name)
        end = match.end()
    rest = pattern[end:]
    if any("{" in text for text in (rest, *(one for one in segments if isinstance(one, str)))):
        return None
    if rest:
        segments.append(rest)
    return tuple(segments), frozenset(needed & _SKIPPING)


def _render(pattern: str, values: Mapping[str, str]) -> str | None:
    """Return the rendered pattern, or None if it needs a value that the target does not have."""
    simple = _simple(pattern)
    if simple is None:
        return _render_with_jinja(pattern, values)
    segments, needed = simple
    for name in needed:
        if not values[name]:
            return None
    text = ""
    for segment in segments:
        if isinstance(segment, str):
            text += segment
        else:
            name, change = segment
            text += change(values[name]) if change else values[name]
    return text


def _render_with_jinja(pattern: str, values: Mapping[str, str]) -> str | None:
    from bakery.config import jinja  # slow to import; few patterns need it

    if any(not values[name] for name in jinja.needed_names(pattern) & _SKIPPING):
        return None
    try:
        return jinja.render_pattern(pattern, values)
    except Exception as error:  # a filter may raise anything
        raise UnusablePattern(pattern, f"it cannot be rendered: {str(error) or type(error).__name__}") from error


def check_patterns(raw: Any) -> list[Finding]:
    """Check patterns without rendering them: their syntax, and undefined names."""
    findings: list[Finding] = []
    known: dict[str, set[str] | None] = dict.fromkeys(NAMES)
    for path, image in traversal.images(raw):
        for place, pattern in _written_patterns(image, path):
            if _simple(pattern) is None and _OUTSIDE.fullmatch(_INSIDE.sub("", pattern)):
                findings += _pattern_findings(pattern, place, known)
        matrix = traversal.matrix(image)
        row_name = matrix.get("namePattern") if matrix else None
        if matrix is not None and isinstance(row_name, str):
            findings += _pattern_findings(row_name, (*path, "matrix", "namePattern"), _row_names(matrix))
    return findings


def pattern_place(raw: Any, image: Keys, pattern: str) -> Keys:
    """Return the place of a pattern in an image, or the place of the image for a pattern of the default set."""
    for path, entry in traversal.images(raw):
        if path == image:
            for place, text in _written_patterns(entry, path):
                if text == pattern:
                    return place
    return image


def _written_patterns(image: traversal.Mapping, path: Keys) -> Iterator[tuple[Keys, str]]:
    holders = [(path, image)]
    holders += [((*path, "variants", index), one) for index, one in traversal.mappings(image, "variants")]
    for holder, entry in holders:
        for number, group in traversal.mappings(entry, "tagPatterns"):
            for index, pattern in enumerate(traversal.entries(group, "patterns")):
                if isinstance(pattern, str):
                    yield (*holder, "tagPatterns", number, "patterns", index), pattern


def _row_names(matrix: traversal.Mapping) -> dict[str, set[str] | None]:
    """Return the names that a name pattern may use: the dependencies and values of its matrix."""
    dependencies = {
        entry["dependency"]
        for key in ("dependencies", "dependencyConstraints")
        for _, entry in traversal.mappings(matrix, key)
        if isinstance(entry.get("dependency"), str)
    }
    values = matrix.get("values")
    # The reader reports a key that is not a string.
    keys = {key for key in values if isinstance(key, str)} if isinstance(values, dict) else set()
    return {"Dependencies": dependencies, "Values": keys}


def _pattern_findings(pattern: str, path: Keys, known: Mapping[str, set[str] | None]) -> Iterator[Finding]:
    from bakery.config import jinja

    fault, line = jinja.syntax_fault(pattern)
    if fault:
        yield Finding(path, f"invalid pattern {pattern!r}: {fault}{_in_line(pattern, line)}")
        return
    for name, line in jinja.undefined_names(pattern, known):
        head, dot, _ = name.partition(".")
        there = sorted(known.get(head) or ()) if dot else list(known)
        allowed = alternatives([f"{head}.{one}" if dot else one for one in there])
        meant = nearest(name.rpartition(".")[2], there)
        expected = f": expected {allowed}" if allowed else ""
        text = f"undefined name {name} in the pattern {pattern!r}{_in_line(pattern, line)}{expected}"
        yield Finding(path, text, f"write {head + dot if dot else ''}{meant}" if meant else "")


def _in_line(pattern: str, line: int) -> str:
    return f" (line {line} of the pattern)" if "\n" in pattern else ""
