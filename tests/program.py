"""Runs Bakery as a program: in a process of its own, as users do."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tests import written

RUN: Final = "from bakery.cli.main import run; run()"
PROGRAM: Final = (sys.executable, "-c", RUN)
_LIMIT_S: Final = 60


class Done(NamedTuple):
    """How a program ended, and what it printed."""

    code: int
    out: str
    err: str


async def run_bakery(
    folder: Path, *arguments: str, environment: Mapping[str, str] = os.environ, stdin: str = ""
) -> Done:
    """Run a command in a folder to its end."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, *arguments, cwd=folder, env=environment,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(_LIMIT_S):
        out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    written.check_text(out.decode())
    return Done(process.returncode, out.decode(), err.decode())
