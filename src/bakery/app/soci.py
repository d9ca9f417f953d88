"""SOCI for single images: convert a layout, inspect the SOCI index of an image, verify it against its layers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from bakery.errors import BadReference, UsageError
from bakery.events import Emit, Noted, ignore
from bakery.files import is_there

if TYPE_CHECKING:
    from bakery.engines.soci_inspection import ImageSource, Verification, VerifiedLayer
    from bakery.oci.digest import Digest
    from bakery.soci.options import Limits


class ConvertOptions(Struct, frozen=True):
    """How an image is converted. select: which image of the layout, by digest or reference name; "" for the only one.

    span_size, min_layer_size: bytes; None means the default. platform: those to convert; empty means all. limit:
    "NAME=NUMBER" each (soci.options.Limits).
    """

    select: str = ""
    span_size: int | None = None
    min_layer_size: int | None = None
    prefetch_file: tuple[str, ...] = ()
    optimizations: tuple[str, ...] = ()
    platform: tuple[str, ...] = ()
    limit: tuple[str, ...] = ()


def convert(
    source: Path,
    destination: Path,
    options: ConvertOptions | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    emit: Emit = ignore,
) -> Digest:
    """Convert an image of a layout to SOCI index manifest v2, write it to another layout, and return its digest.

    source, destination: folders, or tars. An image with nothing to index is copied as it is, with a note.
    """
    from bakery.app.sources import open_usable
    from bakery.config.schema.options import SociOptions
    from bakery.engines.soci_layout import convert_layout
    from bakery.engines.soci_settings import settings_for
    from bakery.soci.options import SociSettings

    wanted = options or ConvertOptions()
    run = SociSettings.from_environment(environment)
    soci = SociOptions(
        span_size=wanted.span_size,
        min_layer_size=wanted.min_layer_size,
        prefetch_files=wanted.prefetch_file,
        optimizations=wanted.optimizations,
        platforms=wanted.platform,
    )
    with open_usable(source) as layout:
        result = convert_layout(
            layout,
            destination,
            settings_for(soci, replace(run, limits=_changed(run.limits, wanted.limit))),
            select=wanted.select,
            note=lambda text: emit(Noted("", text, warning=False)),
        )
    return result.root.descriptor.digest


def inspect(image: str, *, select: str = "", environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return what the SOCI indexes of an image hold: spans, files and sizes of every layer.

    image: a layout (a path that exists or looks like one), or a reference in a registry.
    """
    from bakery.engines.soci_inspection import inspect_image
    from bakery.parallel.root import run_interruptible

    async def inspecting() -> dict[str, Any]:
        async with _source(image, select, environment) as source:
            return await inspect_image(source)

    return run_interruptible(inspecting())


def verify(
    image: str,
    *,
    select: str = "",
    limit: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
    on_layer: Callable[[VerifiedLayer], None] = lambda _layer: None,
) -> Verification:
    """Check the SOCI index of an image against its layers. Every indexed layer is read once.

    on_layer: called with the result of each layer as soon as it is known.
    """
    from bakery.engines.soci_inspection import verify_image
    from bakery.parallel.root import run_interruptible
    from bakery.soci.options import SociSettings

    limits = _changed(SociSettings.from_environment(environment).limits, limit)

    async def verifying() -> Verification:
        async with _source(image, select, environment) as source:
            return await verify_image(source, limits=limits, on_layer=on_layer)

    return run_interruptible(verifying())


@asynccontextmanager
async def _source(image: str, select: str, environment: Mapping[str, str]) -> AsyncIterator[ImageSource]:
    from bakery.app.engine import make_client
    from bakery.app.sources import open_usable
    from bakery.engines.soci_inspection import LayoutSource, RegistrySource
    from bakery.oci.reference import parse_reference

    if _is_path(image):
        with open_usable(Path(image)) as layout:
            yield LayoutSource(layout, select)
        return
    if select:
        raise UsageError("--image is only for layouts", hint="put the tag or digest into the reference")
    try:
        reference = parse_reference(image)
    except BadReference as error:
        raise UsageError(error.what, about=error.about, why=error.why, hint=error.hint) from error
    async with make_client(environment) as client:
        yield RegistrySource(client, reference)


def _is_path(image: str) -> bool:
    return image.startswith((".", "/", "~")) or image.endswith(".tar") or is_there(Path(image))


def _changed(limits: Limits, changes: Sequence[str]) -> Limits:
    from bakery.soci.options import parse_limits

    return limits.changed(parse_limits(",".join(changes))) if changes else limits
