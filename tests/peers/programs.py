"""Finds the programs that tests and bench compare with: in `.peers/bin` of this repository, then in PATH.

`make peers` installs them. Tests that need a missing program are skipped with a reason. If `CI` or
`BAKERY_REQUIRE_PEERS` is set, they fail instead, so that CI never passes by skipping tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".peers" / "bin"

# Names that differ from the file name.
_FILES = {"distribution": "registry"}


def find(name: str) -> Path | None:
    """Return the program with this name, or None. The name is a file name, or `distribution` for its registry."""
    file = _FILES.get(name, name)
    if name == "soci" and os.access(os.environ.get("SOCI_PATH", ""), os.X_OK):
        return Path(os.environ["SOCI_PATH"])
    ours = BIN / file
    if os.access(ours, os.X_OK):
        return ours
    # A program named `registry` in PATH may be anything, so distribution is only taken from .peers/bin.
    elsewhere = shutil.which(file) if name not in _FILES else None
    return Path(elsewhere) if elsewhere else None


def required() -> bool:
    """Return whether a missing peer is an error."""
    return any(os.environ.get(name, "") not in ("", "0", "false") for name in ("CI", "BAKERY_REQUIRE_PEERS"))


def need(name: str) -> Path:
    """Return the program. If it is missing, skip the test, or fail it if peers are required."""
    found = find(name)
    if found is None:
        reason = f"cannot find {name}: run `make peers`"
        if required():
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return found


def run(
    name: str, *arguments: object, env: dict[str, str] | None = None, stdin: bytes = b"", timeout_s: float = 60
) -> bytes:
    """Run a peer and return its stdout. A failure includes its stderr."""
    command = [str(need(name)), *map(str, arguments)]
    done = subprocess.run(
        command, input=stdin, capture_output=True, check=False, timeout=timeout_s, env={**os.environ, **(env or {})}
    )
    if done.returncode != 0:
        errors = done.stderr.decode("utf-8", "replace")[-2000:]
        raise AssertionError(f"{' '.join(command)} exited with {done.returncode}: {errors}")
    return done.stdout
