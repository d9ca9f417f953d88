"""`make release`: the files of a release are complete, say what they are, and are the same bytes each time."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.install.trees import VERSION, released, run
from tests.test_repository import pins

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return released(tmp_path_factory.mktemp("released"))


def release(repository: Path, output: Path) -> dict[str, bytes]:
    run(sys.executable, "-m", "release", "--output", output, cwd=repository)
    return {file.name: file.read_bytes() for file in output.iterdir()}


@pytest.fixture(scope="module")
def files(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return release(repository, tmp_path_factory.mktemp("files") / "dist")


def test_a_release_is_wheel_sdist_bill_of_materials_and_checksums(files):
    expected = {f"bakery_images-{VERSION}{ending}" for ending in ("-py3-none-any.whl", ".tar.gz", ".cdx.json")}
    assert files.keys() == expected | {"SHA256SUMS"}
    sums = dict(line.split("  ")[::-1] for line in files["SHA256SUMS"].decode().splitlines())
    assert sums == {name: hashlib.sha256(files[name]).hexdigest() for name in expected}


def test_the_bill_of_materials_has_every_package_that_runs_at_its_version(files):
    document = json.loads(files[f"bakery_images-{VERSION}.cdx.json"])
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["component"]["version"] == VERSION
    locked = {entry.split()[0] for entry in pins("requirements.lock").values()}
    assert {f"{one['name']}=={one['version']}" for one in document["components"]} == locked
    references = {one["bom-ref"] for one in document["components"]}
    assert references == set(document["dependencies"][0]["dependsOn"])


def test_another_clone_at_another_place_makes_the_same_bytes(files, repository, tmp_path):
    shutil.copytree(repository, tmp_path / "elsewhere")
    assert release(tmp_path / "elsewhere", tmp_path / "dist") == files


def test_a_tree_with_changes_is_not_released(repository, tmp_path):
    tree = tmp_path / "tree"
    shutil.copytree(repository, tree)
    (tree / "README.md").write_text("changed\n")
    command = [sys.executable, "-m", "release", "--output", str(tmp_path / "dist")]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "error: cannot make a release: the tree has changes that are not committed\n"
    assert not (tmp_path / "dist").exists()
