"""Text filters for patterns and templates, in addition to Jinja2's own. Pure. Source: config.md 11."""

from __future__ import annotations

import re
from collections.abc import Callable

_METADATA = re.compile(r"[-+][^-+]*\Z")
_PATCH = re.compile(r"([0-9]+\.[0-9]+)(?:\.[0-9]+)+")
_CONDENSED = str.maketrans(dict.fromkeys(" .-", ""))
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_SAFE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
_EDGES = "-._"


def strip_metadata(text: str) -> str:
    """Remove the last `-` or `+` and what follows: `2026.03.0-17` → `2026.03.0`."""
    return _METADATA.sub("", text)


def strip_patch(text: str) -> str:
    """Shorten every run of three or more dotted numbers to its first two: `R4.5.2` → `R4.5`."""
    return _PATCH.sub(r"\1", text)


def condense(text: str) -> str:
    """Remove spaces, dots and hyphens."""
    return text.translate(_CONDENSED)


def trim(text: str) -> str:
    """Remove white space, then `-`, `.` and `_`, at both ends."""
    return text.strip().strip(_EDGES)


def tag_safe(text: str) -> str:
    """Replace every character that a tag must not contain by `-`, then trim."""
    return trim(_UNSAFE.sub("-", text))


def tag_text(rendered: str) -> str:
    """Return the tag for a rendered pattern: trimmed, then every character that a tag must not contain becomes `-`.

    Leading `-` and `.` that this produces are removed: `(5)` → `5-`.
    """
    if _SAFE.fullmatch(rendered):
        return rendered
    return _UNSAFE.sub("-", trim(rendered)).lstrip("-.")


def regex_replace(text: str, find: str, replace: str) -> str:
    """Apply Python's `re.sub`."""
    return re.sub(find, replace, text)


def quote(text: object) -> str:
    """Put the text in double quotes."""
    return f'"{text}"'


def split(text: str, separator: str | None = None) -> list[str]:
    """Split the text into a list."""
    return text.split(separator)


FILTERS: dict[str, Callable[..., object]] = {
    "stripMetadata": strip_metadata,
    "stripPatch": strip_patch,
    "condense": condense,
    "tagSafe": tag_safe,
    "regexReplace": regex_replace,
    "quote": quote,
    "split": split,
}
