"""What git knows about the directory that holds a project: its commit, the files that changed, and their old text.

No process is started here: the caller passes a `RunGit`, such as `bakery.app.git.run_git`. Source: config.md 2 and 16.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from msgspec import Struct

from bakery.errors import BakeryError
from bakery.files import is_file, is_there

RunGit = Callable[[Path, Sequence[str]], bytes]
"""Runs git with these arguments in a directory and returns its stdout. Raises GitFailed for any exit code but 0."""

_FETCH = "fetch the whole history (`fetch-depth: 0`), or list the files with --changed-files-from"


class GitFailed(BakeryError):
    """git is missing, failed, or does not know a commit."""

    error_code = "program/git"


class Changes(Struct, frozen=True):
    """The changed files, relative to the context, and the commit they are compared with."""

    paths: tuple[str, ...]
    base: str


def changed_files(context: Path, ref: str, run_git: RunGit) -> Changes:
    """Return the files under `context` that differ between HEAD and its merge base with `ref`. Raises GitFailed."""
    try:
        base = _text(run_git(context, ("merge-base", "--", "HEAD", ref))).strip()
        # Without renames, both the old and the new path of a moved file are listed.
        listed = _text(run_git(context, ("diff", "--name-only", "--no-renames", "-z", base, "HEAD")))
        prefix = _text(run_git(context, ("rev-parse", "--show-prefix"))).strip()
    except GitFailed as error:
        raise GitFailed("cannot list the files changed since", about=ref, why=str(error), hint=_FETCH) from error
    paths = [path for path in listed.split("\0") if path]
    return Changes(tuple(path.removeprefix(prefix) for path in paths if path.startswith(prefix)), base)


def old_text(context: Path, base: str, name: str, run_git: RunGit) -> str | None:
    """Return the text of a file of the context at a commit, or None if it cannot be read."""
    try:
        prefix = _text(run_git(context, ("rev-parse", "--show-prefix"))).strip()
        return _text(run_git(context, ("show", f"{base}:{PurePosixPath(prefix) / name}")))
    except GitFailed:
        return None


def revision(context: Path, run_git: RunGit | None = None) -> str | None:
    """Return the full commit id of the git repository that contains a directory, or None.

    Read from git's files: git itself refuses directories of another owner, which are common in CI containers. `run_git`
    is for repositories whose references are not in files that we can read (reftable).
    """
    for directory in (context.absolute(), *context.absolute().parents):
        dot_git = directory / ".git"
        if is_there(dot_git):
            return _head(dot_git) or (_head_from_git(directory, run_git) if run_git is not None else None)
    return None


def _head(dot_git: Path) -> str | None:
    try:
        if is_file(dot_git):  # a worktree or submodule: the file names the directory
            named = dot_git.read_text().removeprefix("gitdir:").strip()
            dot_git = dot_git.parent / named
        common = dot_git / "commondir"
        shared = dot_git / common.read_text().strip() if is_file(common) else dot_git
        head = (dot_git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return _commit(head)
        name = head.removeprefix("ref: ")
        for base in (dot_git, shared):
            if is_file(base / name):
                return _commit((base / name).read_text().strip())
        packed = shared / "packed-refs"
        for line in packed.read_text().splitlines() if is_file(packed) else ():
            commit, _, ref = line.partition(" ")
            if ref == name:
                return _commit(commit)
    except (OSError, UnicodeDecodeError):
        return None
    return None


def _head_from_git(directory: Path, run_git: RunGit) -> str | None:
    try:
        return _commit(_text(run_git(directory, ("rev-parse", "--verify", "HEAD"))).strip())
    except GitFailed:
        return None


def _commit(text: str) -> str | None:
    return text if len(text) in (40, 64) and not set(text) - set("0123456789abcdef") else None


def _text(output: bytes) -> str:
    return output.decode("utf-8", "surrogateescape")
