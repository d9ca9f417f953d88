"""From what bakery.yaml says about SOCI to what the converter uses. Apart from the conversion, which few runs load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from bakery.oci.platform import Platform
from bakery.soci.options import DEFAULT_MIN_LAYER_SIZE, DEFAULT_SPAN_SIZE, SociSettings

if TYPE_CHECKING:
    from bakery.config.schema.options import SociOptions


def settings_for(options: SociOptions, run: SociSettings) -> SociSettings:
    """Return the settings of the run with the options of one image, and the default for each that it does not set."""
    return replace(
        run,
        span_size=DEFAULT_SPAN_SIZE if options.span_size is None else options.span_size,
        min_layer_size=DEFAULT_MIN_LAYER_SIZE if options.min_layer_size is None else options.min_layer_size,
        prefetch_files=options.prefetch_files,
        optimizations=options.optimizations,
        platforms=tuple(Platform.parse(text) for text in options.platforms or ()),
    )
