"""The labels of an image, and the commit they name. Source: config.md 14, "Labels"."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from bakery.config.project import Image, ProjectRepository, Version

_OCI = "org.opencontainers.image."
_OWN = "co.posit.image."
CREATED = f"{_OCI}created"
_GIT_LIMIT_S = 10


def project_labels(repository: ProjectRepository, revision: str | None) -> dict[str, str]:
    """What all images of a project share."""
    labels = {
        f"{_OCI}source": repository.url,
        f"{_OCI}vendor": repository.vendor,
        f"{_OWN}maintainer": str(repository.maintainer),
    }
    if repository.authors:
        labels[f"{_OCI}authors"] = ", ".join(map(str, repository.authors))
    if revision:
        labels[f"{_OCI}revision"] = labels[f"{_OWN}revision"] = revision
    return labels


def version_labels(image: Image, version: Version) -> dict[str, str]:
    """What all targets of a version share."""
    labels = {
        f"{_OCI}title": image.display_name,
        f"{_OWN}name": image.display_name,
        f"{_OCI}version": version.name,
        f"{_OWN}version": version.name,
    }
    if image.description is not None:
        labels[f"{_OCI}description"] = labels[f"{_OWN}description"] = image.description
    if image.documentation_url is not None:
        labels[f"{_OCI}documentation"] = labels[f"{_OWN}documentation"] = image.documentation_url
    return labels


def target_labels(version: Version, variant: str | None, system: str | None) -> dict[str, str]:
    """What only one target has."""
    labels: dict[str, str] = {}
    if variant is not None:
        labels[f"{_OWN}variant"] = variant
    if system is not None:
        labels[f"{_OWN}os"] = system
    if variant != "Minimal":
        for dependency in version.dependencies:
            labels[f"{_OWN}tools.{dependency.name}"] = ", ".join(dependency.versions)
    return labels


def created(environ: Mapping[str, str] = os.environ) -> str | None:
    """The creation time that SOURCE_DATE_EPOCH fixes, in UTC; None where nothing fixes it."""
    epoch = environ.get("SOURCE_DATE_EPOCH", "")
    if not epoch.isdigit():
        return None
    try:
        return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return None


def revision(context: Path) -> str | None:
    """The full commit id of the git repository that holds a directory, or None.

    Read from git's files, not asked of git: it refuses directories of another owner, as CI containers have them.
    """
    for directory in (context.absolute(), *context.absolute().parents):
        dot_git = directory / ".git"
        if dot_git.exists():
            return _head(dot_git) or _asked(directory)
    return None


def _head(dot_git: Path) -> str | None:
    try:
        if dot_git.is_file():  # a worktree or submodule: the file names the directory
            named = dot_git.read_text().removeprefix("gitdir:").strip()
            dot_git = dot_git.parent / named
        common = dot_git / "commondir"
        shared = dot_git / common.read_text().strip() if common.is_file() else dot_git
        head = (dot_git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return _commit(head)
        name = head.removeprefix("ref: ")
        for base in (dot_git, shared):
            if (base / name).is_file():
                return _commit((base / name).read_text().strip())
        packed = shared / "packed-refs"
        for line in packed.read_text().splitlines() if packed.is_file() else ():
            commit, _, ref = line.partition(" ")
            if ref == name:
                return _commit(commit)
    except (OSError, UnicodeDecodeError):
        return None
    return None


def _commit(text: str) -> str | None:
    return text if len(text) in (40, 64) and not set(text) - set("0123456789abcdef") else None


def _asked(directory: Path) -> str | None:
    """For repositories whose references are not in files that we read (reftable)."""
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), "rev-parse", "--verify", "--quiet", "HEAD"],
            capture_output=True, text=True, timeout=_GIT_LIMIT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return _commit(done.stdout.strip()) if done.returncode == 0 else None
