"""Settings of SOCI conversion, and limits for one layer. Values only; nothing is read here.

The default span size and minimum layer size are those of the real tool (pipeline.md 5.6), so that both produce the same
digests. The default build tool identifier is Bakery's: it is part of the digests and must never change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

from msgspec import Struct
from msgspec.structs import replace

from bakery.errors import UsageError
from bakery.oci.platform import Platform

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

DEFAULT_SPAN_SIZE: Final = 4 * MIB
DEFAULT_MIN_LAYER_SIZE: Final = 10 * MIB
# Part of every ztoc and SOCI index: a different text changes their digests, so it contains no version of Bakery.
DEFAULT_BUILD_TOOL_IDENTIFIER: Final = "Bakery SOCI v1"
BUILD_TOOL_IDENTIFIER_VARIABLE: Final = "BAKERY_BUILD_TOOL_IDENTIFIER"
LIMITS_VARIABLE: Final = "BAKERY_SOCI_LIMITS"
XATTR: Final = "xattr"
_MAX_SPAN_SIZE: Final = 2**62


class Limits(Struct, frozen=True):
    """What one layer may cost before it is treated as an attack. Errors name the limit, and every limit can be set.

    uncompressed: total bytes after inflating. ratio: those bytes per compressed byte, which applies only above
    `allowance` bytes, so that a small layer of zeros passes. entries, toc: files in the archive, and bytes of their
    names, links and records. header: bytes of one extended header (as in the real tool). headers: extended headers
    before one entry. checkpoints: bytes of windows, 32 KiB per span.
    """

    uncompressed: int = 1024 * GIB
    ratio: int = 200
    allowance: int = GIB
    entries: int = 500_000
    toc: int = 128 * MIB
    header: int = MIB
    headers: int = 100
    checkpoints: int = 512 * MIB

    def for_layer(self, size: int | None) -> int:
        """Return the uncompressed bytes allowed for a layer of `size` compressed bytes (None: unknown)."""
        if size is None:
            return self.uncompressed
        return min(self.uncompressed, max(self.allowance, self.ratio * size))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the defaults changed by a list such as `entries=1000000,ratio=500`. Raises UsageError."""
        return cls().changed(parse_limits(text))

    def changed(self, values: Mapping[str, int]) -> Self:
        """Return these limits with the given ones changed. Raises UsageError for an unknown name."""
        known = set(self.__struct_fields__)
        unknown = sorted(values.keys() - known)
        if unknown:
            raise UsageError(
                "unknown SOCI limit", about=", ".join(unknown), why=f"expected one of: {', '.join(sorted(known))}"
            )
        return replace(self, **values)


class SociSettings(Struct, frozen=True):
    """How an image is converted, with every default filled in. Equal settings and equal images give equal digests.

    span_size: bytes of uncompressed content between two checkpoints. min_layer_size: smaller layers get no ztoc.
    platforms: those to index, as the user wrote them; empty for all but unknown ones. Raises UsageError.
    """

    span_size: int = DEFAULT_SPAN_SIZE
    min_layer_size: int = DEFAULT_MIN_LAYER_SIZE
    prefetch_files: tuple[str, ...] = ()
    optimizations: tuple[str, ...] = ()
    platforms: tuple[Platform, ...] = ()
    build_tool_identifier: str = DEFAULT_BUILD_TOOL_IDENTIFIER
    limits: Limits = Limits()  # a frozen value

    def __post_init__(self) -> None:
        if not 0 < self.span_size <= _MAX_SPAN_SIZE:
            raise UsageError("invalid span size", about=self.span_size, why="expected a positive number of bytes")
        if self.min_layer_size < 0:
            raise UsageError(
                "invalid minimum layer size", about=self.min_layer_size, why="expected a number of bytes, 0 for all"
            )
        unknown = [name for name in self.optimizations if name != XATTR]
        if unknown:
            raise UsageError("unknown SOCI optimization", about=", ".join(unknown), why=f"expected one of: {XATTR}")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the defaults with BAKERY_BUILD_TOOL_IDENTIFIER and BAKERY_SOCI_LIMITS applied."""
        identifier = environment.get(BUILD_TOOL_IDENTIFIER_VARIABLE) or DEFAULT_BUILD_TOOL_IDENTIFIER
        limits = Limits.parse(environment.get(LIMITS_VARIABLE, ""))
        return cls(build_tool_identifier=identifier, limits=limits)

    @property
    def marks_xattrs(self) -> bool:
        """Whether layers without extended attributes are marked as such."""
        return XATTR in self.optimizations


def parse_limits(text: str) -> dict[str, int]:
    """Return a list such as `entries=1000000,ratio=500` as a dictionary. Raises UsageError."""
    return dict(_pair(item) for item in text.split(",") if item.strip())


def _pair(item: str) -> tuple[str, int]:
    name, _, number = item.partition("=")
    if not number.strip().isascii() or not number.strip().isdigit():
        raise UsageError("invalid SOCI limit", about=repr(item[:100]), why="expected name=NUMBER")
    return name.strip(), int(number)
