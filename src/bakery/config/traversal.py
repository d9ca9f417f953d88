"""Walk through a parsed bakery.yaml that may contain anything: values of the wrong type are skipped, not reported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bakery.config.yaml.problem import Keys

Mapping = dict[Any, Any]


def entries(raw: Any, key: str) -> Sequence[Any]:
    """Return the list under a key, or an empty list if the value is not a list."""
    found = raw.get(key) if isinstance(raw, dict) else None
    return found if isinstance(found, list) else ()


def mappings(raw: Any, key: str) -> Iterator[tuple[int, Mapping]]:
    """Yield the mappings in the list under a key, with their indexes."""
    for index, entry in enumerate(entries(raw, key)):
        if isinstance(entry, dict):
            yield index, entry


def images(raw: Any) -> Iterator[tuple[Keys, Mapping]]:
    """Yield the images of a document, with their paths."""
    for index, image in mappings(raw, "images"):
        yield ("images", index), image


def matrix(image: Mapping) -> Mapping | None:
    """Return the matrix of an image, or None."""
    found = image.get("matrix")
    return found if isinstance(found, dict) else None


def holders_of_systems(image: Mapping, path: Keys) -> Iterator[tuple[Keys, Mapping]]:
    """Yield the entries of an image that have `os` and registries: versions, development versions, the matrix."""
    for key in ("versions", "devVersions"):
        for index, entry in mappings(image, key):
            yield (*path, key, index), entry
    found = matrix(image)
    if found is not None:
        yield (*path, "matrix"), found
