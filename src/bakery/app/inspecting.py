"""`bakery imagetools inspect`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bakery.errors import InvalidContent, UsageError
from bakery.events import Emit, ignore

if TYPE_CHECKING:
    from bakery.engines.image_inspection import InspectedImage

_LIMIT_S: Final = 60.0  # for a look, which a person or a script waits for
_LAG_S: Final = 5.0  # how long the children of an index may be absent


def inspect(
    text: str, *, platform: str = "", environment: Mapping[str, str] = os.environ, emit: Emit = ignore
) -> InspectedImage:
    """Return what an image in a registry or a layout consists of. Raises UsageError for an invalid name."""
    from bakery.app.engine import make_client
    from bakery.app.sources import check_layouts
    from bakery.engines.image_inspection import inspect_image
    from bakery.engines.native import NativeEngine
    from bakery.oci.platform import Platform
    from bakery.parallel.root import run_interruptible
    from bakery.plans.create import with_tag
    from bakery.plans.references import parse_source
    from bakery.retry import SystemClock

    try:
        source = parse_source(with_tag(text), Path.cwd())
        wanted = Platform.parse(platform) if platform else None
    except InvalidContent as error:
        raise UsageError(error.what, about=error.about, why=error.why) from error

    check_layouts([source])

    async def inspecting() -> InspectedImage:
        clock = SystemClock()
        deadline = clock.now() + _LIMIT_S
        client = make_client(environment, clock=clock, emit=emit, deadline=deadline, lag_limit_s=_LAG_S)
        async with NativeEngine(client) as engine:
            return await inspect_image(source.reference, engine, client, platform=wanted)

    return run_interruptible(inspecting())
