"""Where a program is that we run for somebody: a variable, PATH, `<context>/tools/`, in this order.

Source: pipeline.md 5.2 and 8, "Binaries".
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from bakery.errors import BakeryError


class ProgramMissing(BakeryError):
    """A program that this run needs is nowhere."""


def find_program(
    name: str, context: Path | None = None, environment: Mapping[str, str] = os.environ, *, variable: str = ""
) -> str:
    """The program to start. The variable (ORAS_PATH for oras) is taken as it is, without a look.

    Raises ProgramMissing, which says where it was looked for.
    """
    variable = variable or f"{name.upper()}_PATH"
    if environment.get(variable):
        return environment[variable]
    found = shutil.which(name, path=environment.get("PATH", os.defpath))
    if found:
        return name
    in_tools = context / "tools" / name if context is not None else None
    if in_tools is not None and os.access(in_tools, os.X_OK):
        return str(in_tools.absolute())
    places = "PATH" if in_tools is None else f"PATH and {in_tools}"
    raise ProgramMissing(
        "looking for a program",
        about=name,
        why=f"neither {variable} nor {places} has it",
        hint=f"install {name}, or set {variable} to where it is",
    )
