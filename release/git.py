"""Git, as making a release uses it."""

from __future__ import annotations

import subprocess
from pathlib import Path


class NotReleasable(Exception):
    """The tree cannot be released, or rewritten for an Enterprise server. The message says why."""


def git(root: Path, *words: str) -> str:
    """Run git in a repository, and return its stdout without white space around it. Raises NotReleasable."""
    command = ["git", "-c", "safe.directory=*", *words]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotReleasable(f"git {words[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def require_clean(root: Path) -> None:
    """Raise NotReleasable if the tree has changes that are not committed."""
    if git(root, "status", "--porcelain"):
        raise NotReleasable("the tree has changes that are not committed")
