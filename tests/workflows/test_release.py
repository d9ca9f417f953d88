"""release.yml with the repository at a tag: `make release` and the checks for real, stand-ins for GitHub and PyPI."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.install.trees import ROOT, VERSION, released
from tests.workflows.runner import Runner

pytestmark = [pytest.mark.slow]

# What is not here: a release page, and packages of a fresh environment. Each call is noted, and the files must exist.
GH = """#!/bin/bash
set -e
echo "gh $*" >>"$NOTES"
for word; do case $word in dist/*) [ -s "$word" ] ;; esac; done
"""
PYTHON = """#!/bin/bash
set -e
[ "$1 $2" = "-m venv" ]
mkdir -p "$3/bin"
printf '#!/bin/bash\\necho "pip $*" >>"$NOTES"\\n' >"$3/bin/pip"
printf '#!/bin/bash\\necho "pip-audit $*" >>"$NOTES"\\ngrep -q sha256: "$2"\\n' >"$3/bin/pip-audit"
chmod +x "$3/bin/pip" "$3/bin/pip-audit"
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone at a tag, in which `make develop` has run."""
    folder = released(tmp_path_factory.mktemp("released") / "clone")
    environment = Path(sys.prefix)
    (folder / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (folder / ".venv" / name).symlink_to(environment / name)
    for name in (".installed", ".developed"):
        (folder / ".venv" / name).touch()
    return folder


def runner(folder: Path, repository: Path, tag: str, **programs: str) -> Runner:
    shims = folder / "shims"
    shims.mkdir()
    for name, text in programs.items():
        (shims / name).write_text(text)
        (shims / name).chmod(0o755)
    variables = {"HOME": str(folder), "NOTES": str(folder / "notes"), "GITHUB_REF_NAME": tag}
    tools = folder / "tools"
    return Runner(folder / "run", sources=ROOT, project=repository, shims=str(shims), tools=tools, variables=variables)


def test_a_tag_is_built_checked_attested_uploaded_and_on_a_page(repository: Path, tmp_path: Path):
    made = runner(tmp_path, repository, f"v{VERSION}", gh=GH)
    ran = made.run("release", {})
    assert ran.is_green, ran.log
    files = {f"bakery_images-{VERSION}{ending}" for ending in ("-py3-none-any.whl", ".tar.gz", ".cdx.json")}
    built = tmp_path / "run/artifacts/dist"
    assert {file.name for file in built.iterdir()} == files | {"SHA256SUMS"}
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=built, check=True, timeout=60)
    assert {file.name for file in made.uploaded.iterdir()} == {name for name in files if "cdx" not in name}
    (note,) = (tmp_path / "notes").read_text().splitlines()
    assert note.startswith(f"gh release create v{VERSION} --repo Acme/Images --verify-tag --title {VERSION} ")
    assert sorted(note.split()[-4:]) == sorted(f"dist/{name}" for name in (*files, "SHA256SUMS"))


def test_files_of_another_version_than_the_tag_are_not_released(repository: Path, tmp_path: Path):
    made = runner(tmp_path, repository, "v9.9.9", gh=GH)
    ran = made.run("release", {})
    assert ran.results == {"build": "failure", "attest": "skipped", "pypi": "skipped", "page": "skipped"}, ran.log
    assert not made.uploaded.exists()
    assert not (tmp_path / "notes").exists()


def test_the_audit_reads_the_lock_of_what_runs(tmp_path: Path):
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(ROOT / "requirements.lock", project)
    ran = runner(tmp_path, project, "main", python3=PYTHON).run("audit", {})
    assert ran.is_green, ran.log
    pip, audit = (tmp_path / "notes").read_text().splitlines()
    assert "pip-audit==" in pip
    assert audit == "pip-audit --requirement requirements.lock --require-hashes --disable-pip --desc"
