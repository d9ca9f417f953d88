"""Runs git for the rooms that must not start processes (`bakery.config.git`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bakery.config.git import GitFailed

_TIMEOUT_S = 60.0


def run_git(directory: Path, arguments: Sequence[str]) -> bytes:
    """Run git in a directory, without prompts, and return its stdout. Raises GitFailed."""
    from bakery.parallel.blocking import run_command

    command = ("git", "-c", "core.quotePath=false", "-C", str(directory), *arguments)
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    done = run_command(command, env=environment, timeout_s=_TIMEOUT_S)
    if done.exception is not None:
        raise GitFailed(f"cannot run git {arguments[0]}", why=str(done.exception)) from done.exception
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise GitFailed(f"git {arguments[0]} failed", why=lines[0] if lines else f"exit code {done.returncode}")
    return done.stdout
