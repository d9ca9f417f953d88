"""What to report about a value that does not match its declaration: a message and a hint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bakery.config.yaml.problem import alternatives, key_text, nearest, shown


class WrongValue(ValueError):
    """A value does not match its declaration. The text says what is expected and what the value is."""


def expected(what: str, value: object) -> tuple[str, str]:
    """A value in place of something else."""
    return f"expected {what}, got {shown(value)}", ""


def expected_string(value: object) -> tuple[str, str]:
    """A value in place of a string. A number is often a version that lacks quotes."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"expected a string, got {shown(value)}", f'write it in quotes: "{value}"' if number else ""


def expected_list(value: object) -> tuple[str, str]:
    """A value in place of a list."""
    return f"expected a list, got {shown(value)}", "write [] for an empty list" if value is None else ""


def expected_mapping(value: object) -> tuple[str, str]:
    """A value in place of a mapping."""
    return f"expected a mapping (`key: value`), got {shown(value)}", ""


def expected_word(value: object, words: Sequence[str]) -> tuple[str, str]:
    """A word that is not one of the allowed ones."""
    meant = nearest(value, words) if isinstance(value, str) else ""
    return f"expected {alternatives(words)}, got {shown(value)}", f"write {meant}" if meant else ""


def unknown_key(key: Any, known: Sequence[str]) -> tuple[str, str]:
    """A key of a mapping that accepts only the known ones."""
    if key == "repository" and "host" in known:
        return "`repository` is not allowed at the top level", "move it to `extraRegistries` of its image"
    meant = nearest(str(key), known)
    return (f"unknown key `{key_text(key)}`: expected {alternatives(known)}", f"write `{meant}`" if meant else "")
