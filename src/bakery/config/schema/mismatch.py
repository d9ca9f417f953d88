"""What a wrong value is told as: what stands there, and what is allowed. Each gives a message and a hint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bakery.config.yaml.problem import key_text, listing, nearest

_LONGEST = 80  # characters of a value that are shown


def unknown_choice(value: object, allowed: Sequence[str]) -> tuple[str, str]:
    """Message and hint for a word that is none of the allowed ones."""
    meant = nearest(value, allowed) if isinstance(value, str) else ""
    return f"{shown(value)} is not allowed; allowed: {listing(allowed)}", f"write {meant}" if meant else ""


def shown(value: object) -> str:
    """A value as a message names it, with its kind where that is what is wrong."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return f"the bool {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def no_text(value: object) -> tuple[str, str]:
    """A value in place of a text. A number is often a version that lost its quotes."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{shown(value)} is no text; text is allowed", f'put it in quotes: "{value}"' if number else ""


def no_list(value: object) -> tuple[str, str]:
    """A value in place of a list."""
    return f"{shown(value)} stands where a list is expected; [] is an empty list", ""


def no_mapping(value: object) -> tuple[str, str]:
    """A value in place of a mapping."""
    return f"{shown(value)} stands where a mapping is expected (`key: value` lines)", ""


def unknown_key(key: Any, known: Sequence[str]) -> tuple[str, str]:
    """A key of a mapping in which only the known ones may stand."""
    if key == "repository" and "host" in known:
        return "the key `repository` is not allowed at top level", "write it in `extraRegistries` of its image"
    meant = nearest(str(key), known)
    return (
        f"the key `{key_text(key)}` is not allowed here; allowed: {', '.join(known)}",
        f"write `{meant}`" if meant else "",
    )
