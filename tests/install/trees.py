"""Copies of this repository for tests that build or install it: the checkout itself is never written to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.test_repository import tracked

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
VERSION = "1.2.3"


def run(*command: object, cwd: Path, **variables: str) -> str:
    """Run a command without this process's variables of Python and git, and return its stdout."""
    kept = {name: one for name, one in os.environ.items() if not name.startswith(("PYTHON", "GIT_", "VIRTUAL_ENV"))}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=kept | variables, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, f"{command} exited with {done.returncode}: {done.stderr[-3000:]}"
    return done.stdout


def copy_tree(folder: Path) -> Path:
    """Copy what git tracks, with what is not committed yet."""
    for file in tracked():
        copy = folder / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    return folder


def commit(folder: Path, message: str) -> None:
    """Commit everything in a folder, a repository or not."""
    run("git", "init", "--quiet", cwd=folder)
    run("git", "add", "--all", cwd=folder)
    author = ("-c", "user.name=Tests", "-c", "user.email=tests@example.org")
    run("git", *author, "commit", "--quiet", "--allow-empty", "-m", message, cwd=folder)


def released(folder: Path) -> Path:
    """Return a repository whose newest commit is the release `VERSION`."""
    copy_tree(folder)
    commit(folder, "everything")
    run("git", "tag", f"v{VERSION}", cwd=folder)
    return folder


def build_wheel(tree: Path, folder: Path, **variables: str) -> Path:
    """Build the wheel of a tree with the locked build tools, as `make` does."""
    words = ("--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    run(sys.executable, "-m", "pip", "wheel", *words, tree, cwd=folder.parent, **variables)
    (wheel,) = folder.glob("*.whl")
    return wheel
