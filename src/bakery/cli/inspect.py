"""`bakery imagetools inspect`."""

from __future__ import annotations

import os
import sys
from typing import Any, Literal

import click

from bakery.cli import general, options, output
from bakery.cli.group import Command
from bakery.cli.publishing import ACCESS
from bakery.cli.watching import look
from bakery.errors import UsageError


@click.command("inspect", cls=Command)
@click.argument("image", metavar="REF|LAYOUT", help="Image in a registry, or oci-layout://PATH[:NAME|@DIGEST].")
@click.option("--raw", is_flag=True, help="Print the manifest or index, byte for byte.")
@click.option("--output", "form", type=click.Choice(["text", "json"]), default="text", help="Output format.")
@click.option("--platform", metavar="OS/ARCH", default="", show_default=False, help="Only the image of this platform.")
@click.option("--format", "template", metavar="TEMPLATE", default=None, hidden=True)
@options.declaring(*ACCESS)
@general.options
def inspect_command(
    image: str, raw: bool, form: Literal["text", "json"], platform: str, template: str | None, **access: Any
) -> None:
    """Show an image: digest, platforms, annotations, attestations, SOCI, and how many manifests refer to it."""
    if template is not None:
        why = "Go templates are a feature of buildx"
        raise UsageError("cannot use --format", why=why, hint="pass --output json, and select members with jq")
    if raw and form == "json":
        raise UsageError("--raw and --output json exclude each other")
    from bakery.app.inspecting import inspect
    from bakery.report.inspection import inspection_text

    found = inspect(image, platform=platform, environment=options.overlaid(os.environ, **access), emit=output.emit)
    if raw:
        output.write_bytes(found.content.raw)
    elif form == "json":
        output.write_json(found.document)
    else:
        output.write(inspection_text(found.document, width=look(sys.stdout).width), end="")
