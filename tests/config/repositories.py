"""Git repositories for tests."""

from __future__ import annotations

import subprocess
from pathlib import Path


def git(directory: Path, *words: str) -> str:
    """Run git as a test author and return its stdout, stripped."""
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.org", "-c", "init.defaultBranch=main", *words]
    return subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True).stdout.strip()
