"""Where the foreign programs are that tests and bench compare with: `.peers/bin` of this repository, then PATH.

`make peers` puts them there. On a machine without them the tests that need one are skipped and say so; where `CI` or
`BAKERY_REQUIRE_PEERS` is set the same absence is a failure, so that no gate is ever green by having skipped its proof.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".peers" / "bin"

# Which program is meant by a name that is not its file name.
_FILES = {"distribution": "registry"}


def find(name: str) -> Path | None:
    """The program called `name`, if it is here: a file name, or `distribution` for its registry."""
    file = _FILES.get(name, name)
    if name == "soci" and os.access(os.environ.get("SOCI_PATH", ""), os.X_OK):
        return Path(os.environ["SOCI_PATH"])
    ours = BIN / file
    if os.access(ours, os.X_OK):
        return ours
    # A program called `registry` in PATH may be anything; distribution is taken from .peers/bin only.
    elsewhere = shutil.which(file) if name not in _FILES else None
    return Path(elsewhere) if elsewhere else None


def required() -> bool:
    """Whether an absent peer is an error here."""
    return any(os.environ.get(name, "") not in ("", "0", "false") for name in ("CI", "BAKERY_REQUIRE_PEERS"))


def need(name: str) -> Path:
    """The program, or the end of this test: skipped with the reason, failed where peers are required."""
    found = find(name)
    if found is None:
        reason = f"{name} is not here: run `make peers`"
        if required():
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return found


def run(
    name: str, *arguments: object, env: dict[str, str] | None = None, stdin: bytes = b"", timeout_s: float = 60
) -> bytes:
    """Run a peer to its end and give its stdout; a failure carries what it said."""
    command = [str(need(name)), *map(str, arguments)]
    done = subprocess.run(
        command, input=stdin, capture_output=True, check=False, timeout=timeout_s, env={**os.environ, **(env or {})}
    )
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace")[-2000:]
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}: {said}")
    return done.stdout
