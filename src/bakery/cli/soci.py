"""`bakery imagetools soci-convert`, `soci-inspect`, `soci-verify`, and the same as `bakery soci convert` and so on."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bakery.cli import options
from bakery.cli.group import Group
from bakery.errors import BadReference, ExitCode, UsageError

if TYPE_CHECKING:
    from bakery.engines.soci_images import Checked, Source
    from bakery.soci.options import Limits

_image = click.argument(
    "image", metavar="REF|LAYOUT", type=options.FILES, help="A layout (folder or tar), or a reference in a registry."
)
_select = click.option(
    "--image", "select", metavar="NAME|DIGEST", default="", show_default=False,
    help="Which image of the layout: digest, or reference name.",
)  # fmt: skip
_limit = click.option(
    "--limit", metavar="NAME=NUMBER", multiple=True,
    help="What a layer may cost: uncompressed, ratio, allowance, entries, toc, header, headers or checkpoints "
    "(BAKERY_SOCI_LIMITS).",
)  # fmt: skip


@click.group("soci", cls=Group)
def group() -> None:
    """SOCI conversion: convert, inspect, verify."""


@group.command("convert")
@click.argument(
    "metadata",
    metavar="[METADATA...]",
    type=options.FILES,
    nargs=-1,
    help="Build metadata files of a project's targets.",
)
@click.option(
    "--from-layout", metavar="PATH", type=click.Path(path_type=Path),
    help="Convert this image instead: a folder or a tar.",
)  # fmt: skip
@click.option(
    "--to-layout", metavar="PATH", type=click.Path(path_type=Path),
    help="The result: a folder, or a name ending in .tar.",
)  # fmt: skip
@options.publishing
@_select
@click.option("--span-size", type=int, metavar="BYTES", help="Uncompressed bytes of a span; default 4 MiB.")
@click.option("--min-layer-size", type=int, metavar="BYTES", help="Smaller layers get none; default 10 MiB.")
@click.option("--prefetch-file", metavar="FILE", multiple=True, help="Fetch this file early; repeatable.")
@click.option("--optimizations", metavar="NAME", multiple=True, help="Known: xattr; repeatable.")
@click.option("--platform", metavar="OS/ARCH", multiple=True, help="Only these; repeatable. Default: all.")
@click.option("--build-tool-identifier", metavar="TEXT", help="Part of the digests (BAKERY_BUILD_TOOL_IDENTIFIER).")
@_limit
@options.general
def convert_command(
    metadata: tuple[str, ...],
    from_layout: Path | None,
    to_layout: Path | None,
    context: Path,
    image_name: str | None,
    jobs: int | None,
    dry_run: bool,
    engine: str,
    select: str,
    span_size: int | None,
    min_layer_size: int | None,
    prefetch_file: tuple[str, ...],
    optimizations: tuple[str, ...],
    platform: tuple[str, ...],
    build_tool_identifier: str | None,
    limit: tuple[str, ...],
) -> None:
    """Convert to SOCI index manifest v2: a project's targets, or an image layout without a project.

    With METADATA: each target with soci enabled is assembled, converted as bakery.yaml says, and kept by digest where
    its builds are; no tag is written. With --from-layout and --to-layout: the options below count. Prints what the
    result is called. An image with nothing to index stays as it is, with a note.
    """
    if from_layout is None and to_layout is None and metadata:
        from bakery.cli.publishing import Request, publish

        request = Request(metadata, context, image_name, jobs, dry_run, engine, only_soci=True)
        raise click.exceptions.Exit(publish(request))
    if from_layout is None or to_layout is None or metadata:
        hint = "give metadata files, or both --from-layout and --to-layout"
        raise UsageError("choosing what to convert", hint=hint)
    from msgspec.structs import replace

    from bakery.engines.soci_defaults import SociDefaults
    from bakery.engines.soci_images import convert_layout
    from bakery.publish.engine import SociRequest
    from bakery.transfer.layout import open_layout

    defaults = SociDefaults.from_environment(os.environ)
    if build_tool_identifier:
        defaults = replace(defaults, identifier=build_tool_identifier)
    wanted = SociRequest(span_size, min_layer_size, prefetch_file, optimizations, platform)
    asked, limits = defaults.options(wanted), _limited(defaults.limits, limit)
    with open_layout(from_layout) as layout:
        result = convert_layout(layout, to_layout, asked, select=select, limits=limits, note=_note)
    print(result.root.descriptor.digest)


@group.command("inspect")
@_image
@_select
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@options.general
def inspect_command(image: str, select: str, as_json: bool) -> None:
    """Show what the SOCI index of an image holds: spans, files and sizes of every layer."""
    from bakery.engines.soci_images import inspect_image
    from bakery.parallel.root import run_interruptible

    async def look() -> dict[str, Any]:
        async with _source(image, select) as source:
            return await inspect_image(source)

    told = run_interruptible(look())
    if as_json:
        print(json.dumps(told, indent=2))
    else:
        from bakery.report.soci import inspection_table

        print(inspection_table(told))
    if not told["soci_indexes"]:
        _note(f"{image} has no SOCI index")


@group.command("verify")
@_image
@_select
@_limit
@options.general
def verify_command(image: str, select: str, limit: tuple[str, ...]) -> None:
    """Check every span digest, window, offset and file of an image's SOCI index against its layers.

    Reads every indexed layer once. Tells the first wrong byte of each layer; exit code 1 where something is wrong or
    there is nothing to verify.
    """
    from bakery.engines.soci_defaults import SociDefaults
    from bakery.engines.soci_images import Verification, verify_image
    from bakery.parallel.root import run_interruptible

    limits = _limited(SociDefaults.from_environment(os.environ).limits, limit)

    async def check() -> Verification:
        async with _source(image, select) as source:
            return await verify_image(source, limits=limits, tell=_tell)

    found = run_interruptible(check())
    for error in found.errors:
        print(f"wrong: {error}")
    if not found.images:
        _note(f"{image} has no SOCI index")
    if not found.right:
        raise click.exceptions.Exit(ExitCode.FAILED)


@asynccontextmanager
async def _source(image: str, select: str) -> AsyncIterator[Source]:
    """The image behind an argument: a path that exists, or is spelled as one, is a layout."""
    from bakery.engines.soci_images import LayoutSource, RegistrySource
    from bakery.oci.reference import parse_reference
    from bakery.transfer.layout import open_layout

    if _is_path(image):
        with open_layout(Path(image)) as layout:
            yield LayoutSource(layout, select)
        return
    if select:
        raise UsageError("choosing an image", about=select, hint="--image is for layouts; name a tag or digest instead")
    from bakery.registry.client import Client
    from bakery.registry.settings import Settings
    from bakery.retry import RetryPolicy

    try:
        reference = parse_reference(image)
    except BadReference as error:
        raise UsageError(error.what, about=error.about, why=error.why, hint=error.hint) from error
    policy = RetryPolicy.from_environment(os.environ, base_delay=0.5)
    async with Client(settings=Settings.from_environment(os.environ), policy=policy) as client:
        yield RegistrySource(client, reference)


def _is_path(image: str) -> bool:
    return image.startswith((".", "/", "~")) or image.endswith(".tar") or Path(image).exists()


def _limited(limits: Limits, changes: Sequence[str]) -> Limits:
    from bakery.soci.options import parse_limits

    return limits.changed(parse_limits(",".join(changes))) if changes else limits


def _tell(checked: Checked) -> None:
    if checked.error:
        print(f"wrong: {checked.platform} {checked.error}")
    else:
        print(f"right: {checked.platform} layer {checked.layer}: {checked.spans} spans, {checked.files} files")


def _note(message: str) -> None:
    if not options.quiet_wanted():
        print(f"note: {message}", file=sys.stderr)
