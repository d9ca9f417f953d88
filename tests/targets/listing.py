"""Targets and selections in the form of the expected results of the example projects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bakery.targets import listing
from bakery.targets.select import Selection
from bakery.targets.target import Target


def described(target: Target) -> dict[str, Any]:
    """Return a target in the form of expected.json, without labels that change with every commit."""
    labels = {key: value for key, value in target.labels.items() if not key.endswith((".revision", ".created"))}
    return listing.described(target) | {"labels": labels}


def selection(arguments: Sequence[str]) -> Selection:
    """Return the selection that these words of a command line describe."""
    given: dict[str, Any] = {}
    words = iter(arguments)
    for word in words:
        if word == "--latest":
            given["latest"] = True
        elif word == "--image-platform":
            given["image_platforms"] = (*given.get("image_platforms", ()), next(words))
        elif word == "--dev-spec":
            next(words)  # not a filter, but an argument of the catalog
        else:
            given[word.removeprefix("--").replace("-", "_")] = next(words)
    return Selection(**given)
