"""The version of a build, from the tags of git, and the module `bakery._version` with it. Used by hatchling only.

A release is built from its tag: `v1.2.3` is version 1.2.3. Five commits later it is 1.2.4.dev5+g1a2b3c4, and without a
tag 0.0.0.dev5+g1a2b3c4; uncommitted changes append `.dirty`. Outside of git, as in an sdist, the version is the one in
the module, and 0.0.0+unknown if there is no module either. BAKERY_BUILD_VERSION overrides all of it: packagers set it.
Source: PEP 440 for the forms; git-describe(1) for the text.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_HERE: Final = Path(__file__).resolve().parent
_MODULE: Final = Path("src/bakery/_version.py")
_UNKNOWN: Final = "0.0.0+unknown"
_DESCRIPTION: Final = re.compile(r"v(\d+)\.(\d+)\.(\d+)-(\d+)-g([0-9a-f]+)(-dirty)?")


def version() -> str:
    """Return the version of this tree."""
    given = os.environ.get("BAKERY_BUILD_VERSION", "").strip()
    return given or _version_of_git() or _version_of_module()


def of_description(text: str) -> str | None:
    """Return the version that `git describe --long --dirty` describes, such as `v1.2.3-5-g1a2b3c4-dirty`."""
    match = _DESCRIPTION.fullmatch(text)
    if match is None:
        return None
    major, minor, patch, commits, commit, dirty = match.groups()
    if commits == "0" and not dirty:
        return f"{major}.{minor}.{patch}"
    return f"{major}.{minor}.{int(patch) + 1}.dev{commits}+g{commit}{'.dirty' if dirty else ''}"


def _version_of_git() -> str | None:
    if not (_HERE / ".git").exists():  # an sdist inside another repository has its own version
        return None
    described = of_description(_git("describe", "--tags", "--long", "--dirty", "--match", "v[0-9]*.[0-9]*.[0-9]*"))
    if described is not None:
        return described
    commit = _git("describe", "--always", "--dirty", "--exclude", "*")
    if not commit:
        return None
    return f"0.0.0.dev{_git('rev-list', '--count', 'HEAD')}+g{commit.replace('-', '.')}"


def _git(*words: str) -> str:
    # safe.directory: a build may run as root in a clone that belongs to another user.
    command = ["git", "-c", "safe.directory=*", *words]
    try:
        done = subprocess.run(command, cwd=_HERE, capture_output=True, text=True, check=False)
    except OSError:  # git is not installed
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _version_of_module() -> str:
    try:
        match = re.search(r'"(.+)"', (_HERE / _MODULE).read_text("utf-8"))
    except FileNotFoundError:
        return _UNKNOWN
    return match[1] if match else _UNKNOWN


class VersionModule(BuildHookInterface[Any]):
    """Writes `bakery._version` before a build, so that `bakery --version` needs no metadata of the installation."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Write the module, and put it into the build although git ignores it."""
        text = f'"""Written by the build: see hatch_build.py."""\n\n__version__ = "{self.metadata.version}"\n'
        (_HERE / _MODULE).write_text(text, "utf-8")
        build_data["artifacts"].append(str(_MODULE))
