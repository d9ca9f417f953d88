"""How large a build is, where it could be measured. Pure. Source: commands.md 2.3."""

from __future__ import annotations

from msgspec import Struct


class Size(Struct, frozen=True):
    """The bytes of an image or a cache. layers: how many it has; None if unknown."""

    size_bytes: int
    layers: int | None = None


class TargetSizes(Struct, frozen=True):
    """The sizes of one target; None for what is not there or could not be measured.

    registry: all layers of all platforms. local: in Docker's store. cache: all layers at the cache reference.
    """

    registry: Size | None = None
    local: Size | None = None
    cache: Size | None = None


NOT_MEASURED = TargetSizes()
