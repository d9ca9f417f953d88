"""`bakery publish`: publish what was built, with or without a bakery.yaml."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from bakery.cli import general, options, output
from bakery.cli.group import Command
from bakery.cli.options import into
from bakery.cli.publishing import Publishing, finish, publishing
from bakery.errors import UsageError

if TYPE_CHECKING:
    from bakery.app.origins import OriginRequest

_sources = click.argument(
    "metadata", metavar="[SOURCE...]", type=options.FILES, nargs=-1,
    help="Build metadata files or glob patterns; oci-layout://DIR[:NAME], oci-archive:FILE; REPOSITORY@DIGEST.",
)  # fmt: skip


@click.command("publish", cls=Command)
@into(
    "origin",
    "bakery.app.origins:OriginRequest",
    options.digests,
    options.repositories,
    options.bake,
    options.tag,
    options.annotation,
    options.require_platform,
    options.on_duplicate,
    options.soci,
)
@publishing(metadata=_sources)
@general.options
def command(wanted: Publishing, origin: OriginRequest) -> None:
    """Publish what was built per platform: assemble, copy to every registry, move tags, verify."""
    from bakery.app.origins import plan_publish, project_of

    if origin.bake == "-":
        origin = replace(origin, stdin=sys.stdin.buffer.read())
    plan = plan_publish(wanted.request, origin, emit=output.emit)
    if wanted.request.offline and not wanted.reporting.dry_run and project_of(wanted.request, origin) is None:
        why = "it is about product APIs of a bakery.yaml, or a dry run"
        raise UsageError("cannot use --offline", why=why, hint="pass --dry-run")
    finish(plan, wanted)
