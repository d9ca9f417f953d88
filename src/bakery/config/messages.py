"""What the schema's errors mean, in words: what stands there, and what is allowed. One row per kind of error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bakery.config.problem import Finding, Keys, listing, nearest
from bakery.config.values import ALLOWED_TEXT

_LONGEST = 80  # characters of a value that are shown
_MOST = 1000  # errors of one file that are told in words


def finding(error: Mapping[str, Any], prefix: Keys = ()) -> Finding:
    """An error of pydantic about the value at `prefix` as a finding of ours."""
    kind: str = error["type"]
    # A part like "<channel>" names the branch of a union and is no key of the document.
    keys: Keys = (*prefix, *(part for part in error["loc"] if not (isinstance(part, str) and part[:1] == "<")))
    at_key = False
    if keys and keys[-1] == "[key]":
        keys, at_key = keys[:-1], True
    message, hint = _words(kind, error.get("input"), error.get("ctx") or {}, keys, error["msg"])
    return Finding(keys, message, hint, at_key=at_key or kind == "extra_forbidden")


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


def _words(kind: str, value: Any, context: Mapping[str, Any], keys: Keys, original: str) -> tuple[str, str]:
    if kind == "missing":
        return f"`{keys[-1]}` is missing", ""
    if kind == "string_type":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        hint = f'put it in quotes: "{value}"' if number else ""
        return f"{shown(value)} is no text; text is allowed", hint
    if kind in ("bool_parsing", "bool_type"):
        return f"{shown(value)} is neither true nor false; these two are allowed", ""
    if kind in ("int_parsing", "int_type", "int_from_float", "int_parsing_size"):
        return f"{shown(value)} is no whole number; whole numbers are allowed", ""
    if kind == "greater_than":
        return f"{value} is not allowed; allowed: whole numbers above {context['gt']}", ""
    if kind in ("literal_error", "enum"):
        return unknown_choice(value, _choices(str(context["expected"])))
    if kind in ("tuple_type", "list_type"):
        return f"{shown(value)} stands where a list is expected; [] is an empty list", ""
    if kind in ("dict_type", "model_type", "model_attributes_type", "mapping_type"):
        return f"{shown(value)} stands where a mapping is expected (`key: value` lines)", ""
    if kind == "string_too_short":
        return "the text is empty; at least one character is needed", ""
    if kind == "too_short":
        return "the list is empty; at least one entry is needed", ""
    if kind == "string_pattern_mismatch":
        return f"{shown(value)} is not allowed; allowed: {ALLOWED_TEXT.get(str(context['pattern']), original)}", ""
    if kind == "extra_forbidden":
        return _unknown_key(str(keys[-1]), keys)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _source_type(value)
    return original, ""


def _unknown_key(key: str, keys: Keys) -> tuple[str, str]:
    if "dependencies" in keys or "dependencyConstraints" in keys:
        known = ["dependency", "constraint" if "dependencyConstraints" in keys else "version", "versions", "prerelease"]
    else:
        known = ["host", "namespace"] if keys[0] == "registries" else ["host", "namespace", "repository"]
    if keys[0] == "registries" and key == "repository":
        return (
            "the key `repository` is not allowed at top level",
            "write it in `extraRegistries` of its image",
        )
    meant = nearest(key, known)
    return f"the key `{key}` is not allowed here; allowed: {', '.join(known)}", f"write `{meant}`" if meant else ""


def _source_type(value: Any) -> tuple[str, str]:
    if not isinstance(value, dict):
        return f"{shown(value)} stands where a mapping is expected (`key: value` lines)", ""
    if "sourceType" not in value:
        return "`sourceType` is missing; allowed: channel or dependency", ""
    message, hint = unknown_choice(value["sourceType"], ("channel", "dependency"))
    return f"`sourceType`: {message}", hint


def _choices(expected: str) -> list[str]:
    """The words in pydantic's `'a', 'b' or 'c'`."""
    return expected.replace("'", "").replace(" or ", ", ").split(", ")


def findings(errors: Iterable[Mapping[str, Any]], prefix: Keys = ()) -> list[Finding]:
    """All of them, but for a list that is empty only because each of its entries is wrong; at most `_MOST`."""
    told = [error for error in errors if error["type"] != "too_short" or not error["input"]]
    return [finding(error, prefix) for error in told[:_MOST]]
