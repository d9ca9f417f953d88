"""`bakery verify`: check that what was published is still there, whole and the same everywhere."""

from __future__ import annotations

import os
import sys
from typing import Any, Literal

import click

from bakery.cli import filters, general, options, output
from bakery.cli.group import Command
from bakery.cli.options import declaring
from bakery.cli.publishing import ACCESS, ACCESS_NAMES
from bakery.cli.watching import look


@click.command("verify", cls=Command)
@click.argument(
    "what", metavar="[SUMMARY|PROJECT|REF]...", type=options.FILES, nargs=-1,
    help="JSON summaries, folders with a bakery.yaml, and references; by default the project in the current folder.",
)  # fmt: skip
@declaring(
    options.image_name,
    filters.allow_empty,
    click.option("--require-signature", is_flag=True, help="Report what is not signed as drift."),
    options.time_budget,
    click.option("--output", "result", type=click.Choice(["table", "json"]), default="table", help="Output format."),
    *ACCESS,
)
@general.options
def command(
    what: tuple[str, ...], image_name: str, allow_empty: bool, require_signature: bool, time_budget: float,
    result: Literal["table", "json"], **access: Any,
) -> None:  # fmt: skip
    """Check that every tag names what it must, and that everything it names is there.

    All manifests are read, and every blob is looked for. The tags of a target must name the same digest in every
    registry, with the declared platforms and the same signatures. Exits 1 if anything differs: run it daily.
    """
    from bakery.app.verifying import VerifyRequest, verify
    from bakery.report.audit import audit_json, audit_lines, audit_table

    environment = options.overlaid(os.environ, **{name: access[name] for name in ACCESS_NAMES})
    request = VerifyRequest(what or (".",), image_name, allow_empty, require_signature, time_budget, environment)
    found = verify(request, emit=output.emit)
    if result == "json":
        output.write_json(audit_json(found))
    else:
        output.write(audit_table(found, look(sys.stdout)), end="")
    output.report(audit_lines(found))
    raise click.exceptions.Exit(found.exit_code)
