"""Example projects with their expected results. `nightly` needs the recorded responses in `http/`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HTTP = HERE / "http"
NAMES = ("atlas-app", "lab-matrix", "relay-registries", "nightly")


def expected(name: str) -> dict[str, Any]:
    """Return the expected results of a project, by command."""
    loaded: dict[str, Any] = json.loads((HERE / name / "expected.json").read_text())
    return loaded


def cases(command: str, names: Sequence[str] = NAMES) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield project, case, and arguments with result of a command, for all projects that have it."""
    for name in names:
        for case, entry in expected(name).get(command, {}).items():
            yield name, case, entry
