"""Which files of a directory differ from another commit, asked of git. Every call has a limit and never prompts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path, PurePosixPath

from msgspec import Struct

from bakery.errors import BakeryError

_LIMIT_S = 60


class GitFailed(BakeryError):
    """git cannot say what changed."""


class Changes(Struct, frozen=True):
    """The changed files, relative to the context, and the commit they are compared with."""

    paths: tuple[str, ...]
    base: str


def changed_files(context: Path, ref: str) -> Changes:
    """The files under `context` that differ between HEAD and its merge base with `ref`. Raises GitFailed."""
    commit = _git(context, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}").strip()
    if not commit:
        raise GitFailed("reading a commit", about=ref, why="git does not know it", hint=_HINT)
    base = _git(context, "merge-base", "HEAD", commit).strip()
    # Without renames both the old and the new place of a moved file are named.
    listed = _git(context, "diff", "--name-only", "--no-renames", "-z", base, "HEAD")
    prefix = _git(context, "rev-parse", "--show-prefix").strip()
    paths = [path for path in listed.split("\0") if path]
    return Changes(tuple(path.removeprefix(prefix) for path in paths if path.startswith(prefix)), base)


def old_text(context: Path, base: str, name: str) -> str | None:
    """The text of a file of the context at a commit, or None where it cannot be read."""
    try:
        prefix = _git(context, "rev-parse", "--show-prefix").strip()
        return _git(context, "show", f"{base}:{PurePosixPath(prefix) / name}")
    except GitFailed:
        return None


_HINT = "fetch the whole history (`fetch-depth: 0`), or name the files with --changed-files-from"


def _git(context: Path, *arguments: str) -> str:
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "-c", "core.quotePath=false", "-C", str(context), *arguments],
            capture_output=True, env=environment, stdin=subprocess.DEVNULL, timeout=_LIMIT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise GitFailed("asking git", about=arguments[0], why=str(error), hint=_HINT) from error
    if done.returncode != 0:
        answer = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise GitFailed("asking git", about=arguments[0], why=(answer or [f"exit {done.returncode}"])[0], hint=_HINT)
    return done.stdout.decode("utf-8", "surrogateescape")
