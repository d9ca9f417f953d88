"""`bakery imagetools`: images made of images, and the steps of publishing a project one by one.

Its merge is also `bakery oras merge`.
"""

from __future__ import annotations

import click
from msgspec.structs import replace

from bakery.cli import ci, create, general, inspect, soci
from bakery.cli.group import Group
from bakery.cli.publishing import Publishing, publishing, run


@click.group("imagetools", cls=Group)
def group() -> None:
    """Create, copy, tag and inspect images; single steps of publishing a project."""


group.add_command(create.create_command)
group.add_command(create.copy_command)
group.add_command(create.tag_command)
group.add_command(inspect.inspect_command)
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
