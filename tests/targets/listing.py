"""Targets and selections as the expected results of example projects write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bakery.targets import listing
from bakery.targets.select import Selection
from bakery.targets.target import Target


def described(target: Target) -> dict[str, Any]:
    """A target in the shape of expected.json, which leaves out what changes from commit to commit."""
    labels = {key: value for key, value in target.labels.items() if not key.endswith((".revision", ".created"))}
    return listing.described(target) | {"labels": labels}


def selection(arguments: Sequence[str]) -> Selection:
    """The selection that these words of a command line mean."""
    given: dict[str, Any] = {}
    words = iter(arguments)
    for word in words:
        if word == "--latest":
            given["latest"] = True
        elif word == "--image-platform":
            given["image_platforms"] = (*given.get("image_platforms", ()), next(words))
        elif word == "--dev-spec":
            next(words)  # not a filter: it goes to the catalogue
        else:
            given[word.removeprefix("--").replace("-", "_")] = next(words)
    return Selection(**given)
