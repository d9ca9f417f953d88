"""Careful steps through a document that may hold anything: what has the wrong type is passed over, no error here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bakery.config.yaml.problem import Keys

Mapping = dict[Any, Any]


def entries(raw: Any, key: str) -> Sequence[Any]:
    """The list under a key; empty where there is none."""
    found = raw.get(key) if isinstance(raw, dict) else None
    return found if isinstance(found, list) else ()


def mappings(raw: Any, key: str) -> Iterator[tuple[int, Mapping]]:
    """The mappings in the list under a key, with their indexes."""
    for index, entry in enumerate(entries(raw, key)):
        if isinstance(entry, dict):
            yield index, entry


def images(raw: Any) -> Iterator[tuple[Keys, Mapping]]:
    """The images of a document, with their places."""
    for index, image in mappings(raw, "images"):
        yield ("images", index), image


def matrix(image: Mapping) -> Mapping | None:
    """The matrix of an image, or None."""
    found = image.get("matrix")
    return found if isinstance(found, dict) else None


def holders_of_systems(image: Mapping, path: Keys) -> Iterator[tuple[Keys, Mapping]]:
    """Everything in an image that has systems and registries of its own: versions, development versions, the matrix."""
    for key in ("versions", "devVersions"):
        for index, entry in mappings(image, key):
            yield (*path, key, index), entry
    found = matrix(image)
    if found is not None:
        yield (*path, "matrix"), found
