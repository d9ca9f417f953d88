"""Find a program to run: in its variable, in PATH, in `<context>/tools/`, in this order.

Source: pipeline.md 5.2 and 8, "Binaries".
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from bakery.errors import BakeryError


class ProgramMissing(BakeryError):
    """A program that this run needs was not found."""

    error_code = "program/missing"


def find_program(
    name: str, context: Path | None = None, environment: Mapping[str, str] = os.environ, *, variable: str = ""
) -> str:
    """Return the program to start. The value of the variable (ORAS_PATH for oras) is not checked.

    Raises ProgramMissing, which names the places that were searched.
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
    places = "PATH" if in_tools is None else f"PATH or {in_tools}"
    raise ProgramMissing(
        "cannot find program",
        about=name,
        why=f"{variable} is not set, and it is not in {places}",
        hint=f"install {name}, or set {variable} to its path",
    )
