"""`bakery imagetools soci-convert`, `soci-inspect`, `soci-verify`, and the same as `bakery soci convert` and so on."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bakery.cli import options
from bakery.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from bakery.engines.soci_images import Checked, Source
    from bakery.soci.options import Limits

_IMAGE_HELP = "A layout (folder or tar), or a reference in a registry."
_SELECT_HELP = "Which image of the layout: digest, or reference name."
_LIMIT_HELP = (
    "What a layer may cost: uncompressed, ratio, allowance, entries, toc, header, headers or checkpoints "
    "(BAKERY_SOCI_LIMITS)."
)

Image = Annotated[str, typer.Argument(metavar="REF|LAYOUT", help=_IMAGE_HELP)]
Select = Annotated[str, typer.Option("--image", metavar="NAME|DIGEST", help=_SELECT_HELP, show_default=False)]
LimitOption = Annotated[list[str] | None, typer.Option("--limit", metavar="NAME=NUMBER", help=_LIMIT_HELP)]


def convert_command(
    metadata: Annotated[
        list[str] | None,
        typer.Argument(metavar="METADATA...", help="Build metadata files of a project's targets.", show_default=False),
    ] = None,
    from_layout: Annotated[
        Path | None,
        typer.Option("--from-layout", metavar="PATH", help="Convert this image instead: a folder or a tar."),
    ] = None,
    to_layout: Annotated[
        Path | None, typer.Option("--to-layout", metavar="PATH", help="The result: a folder, or a name ending in .tar.")
    ] = None,
    context: options.Context = Path(),
    image_name: options.ImageName = None,
    temp_registry: options.TempRegistry = None,  # sources are where image.name says; kept for old callers
    jobs: options.Jobs = None,
    dry_run: options.DryRun = False,
    engine: options.Engine = "native",
    select: Select = "",
    span_size: Annotated[
        int | None, typer.Option("--span-size", metavar="BYTES", help="Uncompressed bytes of a span; default 4 MiB.")
    ] = None,
    min_layer_size: Annotated[
        int | None, typer.Option("--min-layer-size", metavar="BYTES", help="Smaller layers get none; default 10 MiB.")
    ] = None,
    prefetch_file: Annotated[
        list[str] | None, typer.Option("--prefetch-file", metavar="FILE", help="Fetch this file early; repeatable.")
    ] = None,
    optimizations: Annotated[
        list[str] | None, typer.Option("--optimizations", metavar="NAME", help="Known: xattr; repeatable.")
    ] = None,
    platform: Annotated[
        list[str] | None, typer.Option("--platform", metavar="OS/ARCH", help="Only these; repeatable. Default: all.")
    ] = None,
    build_tool_identifier: Annotated[
        str | None,
        typer.Option(
            "--build-tool-identifier",
            metavar="TEXT",
            help="Part of the digests (BAKERY_BUILD_TOOL_IDENTIFIER).",
        ),
    ] = None,
    limit: LimitOption = None,
    _verbose: options.Verbose = False,
    _quiet: options.Quiet = False,
    _debug: options.Debug = False,
) -> None:
    """Convert to SOCI index manifest v2: a project's targets, or an image layout without a project.

    With METADATA: each target with soci enabled is assembled, converted as bakery.yaml says, and kept by digest where
    its builds are; no tag is written. With --from-layout and --to-layout: the options below count. Prints what the
    result is called. An image with nothing to index stays as it is, with a note.
    """
    if from_layout is None and to_layout is None and metadata:
        from bakery.cli.publishing import Request, publish

        request = Request(metadata, context, image_name, jobs, dry_run, engine, only_soci=True)
        raise typer.Exit(publish(request))
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
    wanted = SociRequest(
        span_size,
        min_layer_size,
        tuple(prefetch_file or ()),
        tuple(optimizations or ()),
        tuple(platform or ()),
    )
    asked, limits = defaults.options(wanted), _limited(defaults.limits, limit)
    with open_layout(from_layout) as layout:
        result = convert_layout(layout, to_layout, asked, select=select, limits=limits, note=_note)
    print(result.root.descriptor.digest)


def inspect_command(
    image: Image,
    select: Select = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    _verbose: options.Verbose = False,
    _quiet: options.Quiet = False,
    _debug: options.Debug = False,
) -> None:
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


def verify_command(
    image: Image,
    select: Select = "",
    limit: LimitOption = None,
    _verbose: options.Verbose = False,
    _quiet: options.Quiet = False,
    _debug: options.Debug = False,
) -> None:
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
        raise typer.Exit(ExitCode.FAILED)


def register(group: typer.Typer) -> None:
    """Add the three commands to a group."""
    group.command("soci-convert")(convert_command)
    group.command("soci-inspect")(inspect_command)
    group.command("soci-verify")(verify_command)


app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
app.command("convert")(convert_command)
app.command("inspect")(inspect_command)
app.command("verify")(verify_command)


@asynccontextmanager
async def _source(image: str, select: str) -> AsyncIterator[Source]:
    """The image behind an argument: a path that exists, or is spelled as one, is a layout."""
    from bakery.engines.soci_images import LayoutSource, RegistrySource
    from bakery.oci.reference import Reference
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

    reference = Reference.parse(image)
    if not reference.target:
        raise UsageError("reading a reference", about=image, hint="add a tag or a digest")
    policy = RetryPolicy.from_environment(os.environ, base_delay=0.5)
    async with Client(settings=Settings.from_environment(os.environ), policy=policy) as client:
        yield RegistrySource(client, reference)


def _is_path(image: str) -> bool:
    return image.startswith((".", "/", "~")) or image.endswith(".tar") or Path(image).exists()


def _limited(limits: Limits, changes: list[str] | None) -> Limits:
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
