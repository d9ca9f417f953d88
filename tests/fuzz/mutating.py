"""Inputs for fuzzing: valid ones that are changed a little, and any bytes. A reader returns a value or a BakeryError.

What once failed stays as an explicit `@example` at its test.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

from bakery.errors import BakeryError

T = TypeVar("T")

DIGEST = "sha256:" + "ab" * 32
_ODD_TEXTS = (
    "", " ", "\x00", "\r\nX: y", "é", "\ud800", "../..", "%2e%2e", "a" * 300, DIGEST, "sha256:", "sha512:" + "0" * 128,
    "2026-01-01T00:00:00Z", "9999-12-31T23:59:59+23:59", "linux/amd64", "ghcr.io/acme/app:1", "[::1]:5000/a",
    "::warning::x",
)  # fmt: skip
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8),
    st.sampled_from(_ODD_TEXTS),
    st.lists(st.none() | st.integers() | st.text(max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=6), st.none() | st.integers() | st.text(max_size=3), max_size=3),
)  # fmt: skip
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def mutated(seeds: Sequence[str], tokens: str) -> st.SearchStrategy[str]:
    """Texts that are seeds with pieces cut out, repeated, and replaced by tokens (separated by spaces) or any text."""
    pieces = st.one_of(st.sampled_from(tokens.split()), st.text(max_size=4), st.sampled_from(_ODD_TEXTS))

    @st.composite
    def changed(draw: st.DrawFn) -> str:
        text = draw(st.sampled_from(seeds))
        for _ in range(draw(st.integers(1, 4))):
            start, end = sorted(draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
            text = text[:start] + draw(st.sampled_from(["", text[start:end] * 2]) | pieces) + text[end:]
        return text

    return changed() | st.text(max_size=60)


def mutated_json(seeds: Sequence[Any]) -> st.SearchStrategy[Any]:
    """JSON values that are seeds with members replaced, removed, repeated or renamed, and any value."""

    @st.composite
    def changed(draw: st.DrawFn) -> Any:
        document = copy.deepcopy(draw(st.sampled_from(seeds)))
        for _ in range(draw(st.integers(1, 3))):
            found = [path for path in _places(document) if path]
            if not found:
                break
            path = draw(st.sampled_from(found))
            holder = document
            for key in path[:-1]:
                holder = holder[key]
            action = draw(st.sampled_from(["replace", "remove", "repeat", "rename"]))
            if action == "remove":
                del holder[path[-1]]
            elif action == "repeat" and isinstance(holder, list):
                holder.append(copy.deepcopy(holder[path[-1]]))
            elif action == "rename" and isinstance(holder, dict):
                holder[draw(st.text(max_size=8))] = holder.pop(path[-1])
            else:
                holder[path[-1]] = draw(VALUES)
        return document

    return changed() | JSON_VALUES


def json_bytes(seeds: Sequence[Any]) -> st.SearchStrategy[bytes]:
    """JSON documents as above, cut or with other bytes in them, and any bytes."""
    whole = mutated_json(seeds).map(lambda value: json.dumps(value).encode(errors="surrogatepass"))
    spoilt = st.tuples(whole, st.integers(0, 400), st.binary(max_size=4)).map(
        lambda drawn: drawn[0][: drawn[1]] + drawn[2] + drawn[0][drawn[1] :]
    )
    cut = st.tuples(whole, st.integers(0, 400)).map(lambda drawn: drawn[0][: drawn[1]])
    return whole | whole | spoilt | cut | st.binary(max_size=60)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    entries: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from _places(inner, (*path, key))


def value_or_error(read: Callable[[], T]) -> T | BakeryError:
    """Return what a reader returns, or the BakeryError that it raises. Anything else that it raises fails the test."""
    try:
        return read()
    except BakeryError as error:
        return error
