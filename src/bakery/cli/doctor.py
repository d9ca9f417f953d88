"""`bakery doctor`: may this machine publish what the project names?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, Literal

import click

from bakery.cli import filters, general, options, output
from bakery.cli.group import Command

_ACCESS: Final = (
    options.ca_file, options.client_cert, options.client_key, options.plain_http, options.trusted_realm,
)  # fmt: skip


@click.command("doctor", cls=Command)
@click.argument(
    "repositories", metavar="[REPOSITORY...]", nargs=-1,
    help="Repositories to check, such as ghcr.io/acme/app; by default those of the project.",
)  # fmt: skip
@options.context
@options.image_name
@filters.allow_empty
@click.option("--offline", is_flag=True, help="Check no registry, only this machine.")
@click.option("--output", "form", type=click.Choice(["table", "json"]), default="table", help="Output format.")
@options.declaring(*_ACCESS)
@general.options
def doctor_command(
    repositories: tuple[str, ...],
    context: Path,
    image_name: str,
    allow_empty: bool,
    offline: bool,
    form: Literal["table", "json"],
    **access: Any,
) -> None:
    """Check what publishing needs: registries, logins, permission to push, TLS, clock, proxies, programs.

    To learn about the permission, an upload is opened in each repository and cancelled; nothing is written. Exits 1 for
    a problem, and 4 if every problem is a missing or refused login.
    """
    from bakery.app.doctor import DoctorRequest, diagnose
    from bakery.report.diagnosis import diagnosis_json, diagnosis_text

    environment = options.overlaid(os.environ, **access)
    request = DoctorRequest(repositories, context, image_name, allow_empty, offline, environment)
    found = diagnose(request, emit=output.emit)
    if form == "json":
        output.write_json(diagnosis_json(found))
    else:
        output.write(diagnosis_text(found), end="")
    raise click.exceptions.Exit(found.exit_code)
