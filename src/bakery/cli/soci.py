"""`bakery soci convert|inspect|verify`, also called `bakery imagetools soci-convert|soci-inspect|soci-verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from bakery.cli import general, options, output
from bakery.cli.group import Group
from bakery.cli.options import into
from bakery.cli.publishing import Publishing, publishing, run
from bakery.errors import ExitCode, UsageError
from bakery.text import plural

if TYPE_CHECKING:
    from bakery.app.soci import ConvertOptions
    from bakery.engines.soci_inspection import VerifiedLayer

_image = click.argument(
    "image", metavar="REF|LAYOUT", type=options.FILES, help="A layout (folder or tar), or a reference in a registry."
)
_select = click.option(
    "--image", "select", metavar="NAME|DIGEST", default="", show_default=False,
    help="Image of the layout, by digest or reference name.",
)  # fmt: skip
_limit = click.option(
    "--limit", metavar="NAME=NUMBER", multiple=True,
    help="Limit for a layer: uncompressed, ratio, allowance, entries, toc, header, headers or checkpoints "
    "(BAKERY_SOCI_LIMITS); repeatable.",
)  # fmt: skip
_metadata = click.argument(
    "metadata", metavar="[METADATA...]", type=options.FILES, nargs=-1,
    help="Build metadata files of a project's targets, or glob patterns.",
)  # fmt: skip


@click.group("soci", cls=Group)
def group() -> None:
    """Convert images to SOCI, inspect SOCI indexes, verify them."""


@group.command("convert")
@publishing(metadata=_metadata, report=False)
@click.option(
    "--from-layout", metavar="PATH", type=click.Path(path_type=Path),
    help="Convert an image of this layout instead: a folder or a tar.",
)  # fmt: skip
@click.option(
    "--to-layout", metavar="PATH", type=click.Path(path_type=Path),
    help="Layout to write: a folder, or a name that ends in .tar.",
)  # fmt: skip
@into(
    "layout_options",
    "bakery.app.soci:ConvertOptions",
    _select,
    click.option("--span-size", type=int, metavar="BYTES", help="Uncompressed bytes of a span; default 4 MiB."),
    click.option("--min-layer-size", type=int, metavar="BYTES", help="Do not index smaller layers; default 10 MiB."),
    click.option("--prefetch-file", metavar="FILE", multiple=True, help="Prefetch this file; repeatable."),
    click.option("--optimizations", metavar="NAME", multiple=True, help="Only xattr is known; repeatable."),
    click.option("--platform", metavar="OS/ARCH", multiple=True, help="Convert only this platform; repeatable."),
    _limit,
)
@general.options
def convert_command(
    wanted: Publishing, from_layout: Path | None, to_layout: Path | None, layout_options: ConvertOptions
) -> None:
    """Convert to SOCI index manifest v2: a project's targets, or an image of a layout.

    With METADATA, every target whose options enable SOCI is assembled, converted and pushed by digest to where its
    builds are; no tag is written. With --from-layout and --to-layout, the options from --image on apply. Prints the
    reference or the digest of the result. An image with nothing to index stays as it is, with a note.
    """
    if wanted.request.metadata and from_layout is None and to_layout is None:
        run(replace(wanted, request=replace(wanted.request, only_soci=True)))
    if wanted.request.metadata or from_layout is None or to_layout is None:
        why = "expected either metadata files, or both --from-layout and --to-layout"
        raise UsageError("cannot tell what to convert", why=why)
    from bakery.app.soci import convert

    environment = wanted.options.environment
    output.write(str(convert(from_layout, to_layout, layout_options, environment=environment, emit=output.emit)))


@group.command("inspect")
@_image
@_select
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@general.options
def inspect_command(image: str, select: str, as_json: bool) -> None:
    """Show what the SOCI index of an image holds: spans, files and sizes of every layer."""
    from bakery.app.soci import inspect
    from bakery.report.soci import inspection_table

    found = inspect(image, select=select)
    if as_json:
        output.write_json(found)
    else:
        output.write(inspection_table(found))
    if not found["soci_indexes"]:
        output.note(f"note: {image} has no SOCI index")


@group.command("verify")
@_image
@_select
@_limit
@general.options
def verify_command(image: str, select: str, limit: tuple[str, ...]) -> None:
    """Check every span digest, window, offset and file of an image's SOCI index against its layers.

    Reads every indexed layer once, and prints the first wrong byte of each. Exits 1 if something is wrong or there is
    no SOCI index.
    """
    from bakery.app.soci import verify

    found = verify(image, select=select, limit=limit, on_layer=_show_layer)
    for error in found.errors:
        output.write(f"wrong: {error}")
    if not found.images:
        output.note(f"note: {image} has no SOCI index")
    if not found.right:
        raise click.exceptions.Exit(ExitCode.FAILED)


def _show_layer(layer: VerifiedLayer) -> None:
    if layer.error:
        output.write(f"wrong: {layer.platform} {layer.error}")
    else:
        counts = f"{plural(layer.spans, 'span')}, {plural(layer.files, 'file')}"
        output.write(f"right: {layer.platform} layer {layer.layer}: {counts}")
