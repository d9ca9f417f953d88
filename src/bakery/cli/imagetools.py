"""`bakery imagetools` and its merge, which is also `bakery oras merge`: the steps of publishing one by one."""

from __future__ import annotations

import click
from msgspec.structs import replace

from bakery.cli import ci, general, soci
from bakery.cli.group import Group
from bakery.cli.publishing import Publishing, publishing, run


@click.group("imagetools", cls=Group)
def group() -> None:
    """Single steps of publishing: merge, soci-convert, publish; soci-inspect, soci-verify."""


group.add_command(ci.publish_command)
group.add_command(soci.convert_command, "soci-convert")
group.add_command(soci.inspect_command, "soci-inspect")
group.add_command(soci.verify_command, "soci-verify")


@group.command("merge")
@publishing()
@general.options
def merge_command(wanted: Publishing) -> None:
    """Publish without converting to SOCI: assemble, copy, tag, verify."""
    run(replace(wanted, request=replace(wanted.request, with_soci=False)))
