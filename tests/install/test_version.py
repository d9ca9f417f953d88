"""The version of a build is the tag it was built from; without a tag it says so."""

from __future__ import annotations

import re
import shutil
import tarfile

import pytest
from hatch_build import of_description

from tests.install.trees import BIN, ROOT, commit, copy_tree, released, run

DESCRIPTIONS = {
    "a release": ("v1.2.3-0-g1a2b3c4", "1.2.3"),
    "commits after it": ("v1.2.3-5-g1a2b3c4", "1.2.4.dev5+g1a2b3c4"),
    "a release with changes": ("v1.2.3-0-g1a2b3c4-dirty", "1.2.4.dev0+g1a2b3c4.dirty"),
    "another tag": ("version-0-g1a2b3c4", None),
    "no tag": ("", None),
}


@pytest.mark.parametrize(("text", "version"), DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_a_description_of_git_is_a_version(text, version):
    assert of_description(text) == version


def small_tree(folder):
    """What the version needs, without the package."""
    folder.mkdir()
    for name in ("hatch_build.py", "pyproject.toml", ".gitignore", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def version_of(folder):
    return run(BIN / "hatchling", "metadata", "version", cwd=folder, BAKERY_BUILD_VERSION="").strip()


def test_a_clone_without_tags_is_a_development_version_of_nothing(tmp_path):
    tree = small_tree(tmp_path / "tree")
    commit(tree, "one")
    commit(tree, "two")
    assert re.fullmatch(r"0\.0\.0\.dev2\+g[0-9a-f]{7,}", version_of(tree))


def test_a_tag_is_the_version_and_changes_are_seen(tmp_path):
    tree = small_tree(tmp_path / "tree")
    commit(tree, "one")
    run("git", "tag", "v2.0.0", cwd=tree)
    assert version_of(tree) == "2.0.0"
    (tree / "pyproject.toml").write_text((tree / "pyproject.toml").read_text() + "# changed\n")
    assert re.fullmatch(r"2\.0\.1\.dev0\+g[0-9a-f]{7,}\.dirty", version_of(tree))
    commit(tree, "two")
    assert re.fullmatch(r"2\.0\.1\.dev1\+g[0-9a-f]{7,}", version_of(tree))


def test_a_tree_outside_of_git_has_the_version_of_its_module_or_an_unknown_one(tmp_path):
    tree = small_tree(tmp_path / "tree")
    assert version_of(tree) == "0.0.0+unknown"
    (tree / "src/bakery").mkdir(parents=True)
    (tree / "src/bakery/_version.py").write_text('__version__ = "4.5.6"\n')
    assert version_of(tree) == "4.5.6"


@pytest.mark.slow
def test_an_sdist_builds_the_wheel_of_its_release_without_git(tmp_path):
    tree = released(tmp_path / "tree")
    run(BIN / "hatchling", "build", "--target", "sdist", cwd=tree)
    with tarfile.open(tree / "dist/bakery_images-1.2.3.tar.gz") as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    unpacked = tmp_path / "unpacked/bakery_images-1.2.3"
    run(BIN / "hatchling", "build", "--target", "wheel", cwd=unpacked)
    assert [one.name for one in (unpacked / "dist").iterdir()] == ["bakery_images-1.2.3-py3-none-any.whl"]


@pytest.mark.slow
def test_a_checkout_that_was_never_installed_still_runs(tmp_path):
    tree = copy_tree(tmp_path / "tree")
    command = "import sys; sys.path.insert(0, 'src'); import bakery; print(bakery.__version__)"
    assert run(BIN / "python", "-S", "-c", command, cwd=tree) == "0.0.0+unknown\n"
