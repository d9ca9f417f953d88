"""What can be wrong with a layer that is to be indexed. Four kinds, as callers do four different things.

Every one names the layer. `LayerDamaged` fails the target; `LayerUnsupported` leaves that layer without ztoc and is
a warning; `LayerLimit` fails the target and says which limit to raise; `Abandoned` is the answer to `stop()`.
"""

from __future__ import annotations

from bakery.errors import BakeryError, InvalidContent


class LayerDamaged(InvalidContent):
    """The layer's bytes are cut off or altered: no reader could unpack it."""


class LayerUnsupported(BakeryError):
    """The layer is sound, or may be, but cannot be described by a ztoc. It is pulled whole."""


class LayerLimit(BakeryError):
    """The layer would take more memory or time than its limits allow."""


class NoZlib(BakeryError):
    """The C library that inflates is not on this machine."""


class Abandoned(BakeryError):
    """Somebody called `stop()`: nobody wants the result any more."""
