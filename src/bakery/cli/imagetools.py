"""`bakery imagetools` and, for its merge, `bakery oras`: the steps of publishing one by one."""

from __future__ import annotations

from pathlib import Path

import click

from bakery.cli import ci, options, soci
from bakery.cli.group import Group


@click.group("imagetools", cls=Group)
def group() -> None:
    """The steps of publishing one by one: merge, soci-convert, publish; soci-inspect, soci-verify."""


group.add_command(ci.publish_command)
group.add_command(soci.convert_command, "soci-convert")
group.add_command(soci.inspect_command, "soci-inspect")
group.add_command(soci.verify_command, "soci-verify")


@group.command("merge")
@options.metadata
@options.publishing
@options.general
def merge_command(
    metadata: tuple[str, ...], context: Path, image_name: str | None, jobs: int | None, dry_run: bool, engine: str
) -> None:
    """Assemble and copy, without SOCI."""
    from bakery.cli.publishing import Request, publish

    request = Request(metadata, context, image_name, jobs, dry_run, engine, with_soci=False)
    raise click.exceptions.Exit(publish(request))
