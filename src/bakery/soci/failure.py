"""Errors of indexing a layer. There is one class for each thing that a caller does about them, and all name the layer.

`LayerDamaged` fails the target. `LayerUnsupported` is a warning, and the layer gets no ztoc. `LayerLimit` fails the
target and names the limit to raise. `Abandoned` is raised after `stop()`.
"""

from __future__ import annotations

from bakery.errors import BakeryError, InvalidContent


class LayerDamaged(InvalidContent):
    """The layer's bytes are cut off or altered: nothing can unpack it."""

    error_code = "soci/layer-damaged"


class LayerUnsupported(BakeryError):
    """A ztoc cannot describe the layer, though it may be intact. Nodes pull it whole."""

    error_code = "soci/layer-unsupported"


class LayerLimit(BakeryError):
    """The layer exceeds one of its limits."""

    error_code = "soci/limit"


class NoZlib(BakeryError):
    """zlib, the C library that inflates, is not installed."""

    error_code = "soci/zlib"


class Abandoned(BakeryError):
    """`stop()` was called: the result is not needed any more."""

    error_code = "soci/abandoned"
