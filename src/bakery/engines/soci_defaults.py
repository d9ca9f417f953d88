"""What SOCI conversion is told for a whole run. Apart from the conversion itself, which most runs never load."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from bakery.oci.platform import Platform
from bakery.publish.engine import SociRequest
from bakery.soci.options import (
    BUILD_TOOL_IDENTIFIER_VARIABLE,
    DEFAULT_BUILD_TOOL_IDENTIFIER,
    DEFAULT_MIN_LAYER_SIZE,
    DEFAULT_SPAN_SIZE,
    LIMITS_VARIABLE,
    Limits,
    SociOptions,
)


class SociDefaults(Struct, frozen=True):
    """What is decided for all images of a run: the identifier that is part of every digest, and the limits."""

    identifier: str = DEFAULT_BUILD_TOOL_IDENTIFIER
    limits: Limits = Limits()  # a frozen value

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> SociDefaults:
        """As BAKERY_BUILD_TOOL_IDENTIFIER and BAKERY_SOCI_LIMITS say. Raises UsageError for limits that are none."""
        identifier = environment.get(BUILD_TOOL_IDENTIFIER_VARIABLE) or DEFAULT_BUILD_TOOL_IDENTIFIER
        return cls(identifier, Limits.parse(environment.get(LIMITS_VARIABLE, "")))

    def options(self, request: SociRequest) -> SociOptions:
        """The whole of what a target asks for, with defaults where it says nothing."""
        return SociOptions(
            enabled=True,
            span_size=DEFAULT_SPAN_SIZE if request.span_size is None else request.span_size,
            min_layer_size=DEFAULT_MIN_LAYER_SIZE if request.min_layer_size is None else request.min_layer_size,
            prefetch_files=request.prefetch_files,
            optimizations=request.optimizations,
            platforms=tuple(Platform.parse(text) for text in request.platforms),
            build_tool_identifier=self.identifier,
        )
