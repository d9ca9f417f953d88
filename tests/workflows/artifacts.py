"""Artifacts of a run as folders: what actions/upload-artifact and actions/download-artifact do, by major version.

From version 4 on, an artifact is written once, and a download may select several by a pattern. Version 3, the last one
for GitHub Enterprise Server, adds the files of every upload to the artifact of that name, and downloads by name.
Source: action.yml, README.md and docs/MIGRATION.md of both actions.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from release.enterprise import DOWNLOAD, UPLOAD

ROOT: Final = Path(__file__).resolve().parents[2]
_V3_UPLOAD: Final = {"name", "path", "if-no-files-found", "retention-days", "include-hidden-files"}
_V3_DOWNLOAD: Final = {"name", "path"}
INPUTS: Final = {
    ("actions/upload-artifact", 3): _V3_UPLOAD,
    ("actions/download-artifact", 3): _V3_DOWNLOAD,
    ("actions/upload-artifact", 7): _V3_UPLOAD | {"compression-level", "overwrite", "archive"},
    ("actions/download-artifact", 8): _V3_DOWNLOAD
    | {"pattern", "merge-multiple", "artifact-ids", "github-token", "repository", "run-id", "skip-decompress"},
}


class StepFailed(Exception):
    """An action that failed: its step fails, and with it the job unless the step has `continue-on-error`."""


def _pins() -> dict[str, int]:
    """Return the major version of every pin in the workflows and of those that are for Enterprise servers."""
    texts = [file.read_text() for file in (ROOT / ".github").rglob("*.yml")]
    texts += [f"uses: {pin}" for pin in (UPLOAD, DOWNLOAD)]
    found = re.findall(r"uses: ([\w/.-]+@[0-9a-f]{40}) # v(\d+)", "\n".join(texts))
    return {pin: int(major) for pin, major in found}


PINS: Final = _pins()


class Artifacts:
    """The artifacts of a run. on_enterprise: whether the server is GitHub Enterprise Server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.on_enterprise = False

    def forget(self) -> None:
        """Begin another run: it has none of the artifacts of this one."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def use(self, uses: str, given: Mapping[str, Any], workspace: Path) -> None:
        """Upload or download, as the action at this pin does. Raises StepFailed."""
        name, _, version = uses.partition("@")
        major = int(version[1:]) if re.fullmatch(r"v\d+", version) else PINS[uses]
        unknown = set(given) - INPUTS[name, major]
        assert not unknown, f"{name} v{major} does not have the inputs {unknown}"
        if self.on_enterprise and major > 3:
            raise StepFailed("@actions/artifact v2.0.0+ is not supported on GHES")
        if name.endswith("upload-artifact"):
            self._upload(given, workspace, major)
        else:
            self._download(given, workspace)

    def _upload(self, given: Mapping[str, Any], workspace: Path, major: int) -> None:
        found = [
            file
            for line in given["path"].splitlines()
            for file in _found(workspace, line.partition("#")[0].strip())
            if file.is_file()
        ]
        if not found:
            if given.get("if-no-files-found") == "error":
                raise StepFailed(f"nothing to upload: {given['path']}")
            return
        top = Path(os.path.commonpath([file.parent for file in found]))
        folder = self._folder / given["name"]
        if folder.exists() and major > 3:
            raise StepFailed(f"two artifacts of the name {given['name']}")
        for file in found:
            copy = folder / file.relative_to(top)
            assert not copy.exists(), f"one job overwrites the file of another: {copy}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)

    def _download(self, given: Mapping[str, Any], workspace: Path) -> None:
        where = workspace / given.get("path", "")
        where.mkdir(parents=True, exist_ok=True)
        artifacts = sorted(self._folder.glob(given.get("pattern") or given["name"]))
        if not artifacts and "pattern" not in given:
            raise StepFailed(f"unable to find an artifact with the name {given['name']}")
        assert "pattern" not in given or given["merge-multiple"] is True, "one folder for each artifact"
        for artifact in artifacts:
            shutil.copytree(artifact, where, dirs_exist_ok=True)


def _found(workspace: Path, pattern: str) -> Iterable[Path]:
    """Return what a path of an action means: a glob pattern in the workspace, or a file elsewhere."""
    return [Path(pattern)] if pattern.startswith("/") else workspace.glob(pattern)
