"""What `targets` needs to know about versions that bakery.yaml does not list. `bakery.products` provides it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from bakery.config.project import Image, Matrix, Version
from bakery.config.yaml.problem import Finding
from bakery.errors import BakeryError


class LookupFailed(BakeryError):
    """A version cannot be looked up: the product API did not respond, refused, or must not be queried."""

    error_code = "product/lookup"


class VersionCatalog(Protocol):
    """Looks up the versions that constraints and development versions refer to."""

    def prepare(self, images: Sequence[Image], *, matrices: Sequence[Matrix], channel: str | None) -> None:
        """Fetch, concurrently, everything that the development versions of these images and these matrices need."""

    def constrained(self, matrix: Matrix) -> Mapping[str, tuple[str, ...]]:
        """Return the versions that satisfy a matrix's constraints, newest first, by dependency.

        Raises LookupFailed.
        """

    def dev_versions(self, image: Image, channel: str | None) -> tuple[list[Version], list[Finding]]:
        """Return the development versions of an image (of one channel, if given), and a finding for each failure."""
