"""A wheel and a repository install with pip, pipx and uv, and what they install publishes without the checkout."""

from __future__ import annotations

import re
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.install.trees import BIN, ROOT, VERSION, build_wheel, released, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return released(tmp_path_factory.mktemp("released"))


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel") / "dist"
    folder.mkdir()
    return build_wheel(repository, folder)


def from_git(repository: Path) -> str:
    return f"git+{repository.as_uri()}@v{VERSION}"


def with_pip(package: object, folder: Path) -> Path:
    run(sys.executable, "-m", "venv", folder / "env", cwd=folder)
    run(folder / "env/bin/python", "-m", "pip", "install", "--quiet", package, cwd=folder)
    return folder / "env/bin/bakery"


def with_pipx(package: object, folder: Path) -> Path:
    places = {"PIPX_HOME": f"{folder}/pipx", "PIPX_BIN_DIR": f"{folder}/bin", "PIPX_MAN_DIR": f"{folder}/man"}
    run(BIN / "pipx", "install", "--quiet", "--python", sys.executable, package, cwd=folder, **places)
    return folder / "bin/bakery"


def with_uv_tool(package: object, folder: Path) -> Path:
    places = {"UV_TOOL_DIR": f"{folder}/tools", "UV_TOOL_BIN_DIR": f"{folder}/bin", "UV_PYTHON": sys.executable}
    run(BIN / "uv", "tool", "install", "--quiet", package, cwd=folder, **places)
    return folder / "bin/bakery"


def with_uvx(package: object, folder: Path) -> Path:
    program = folder / "bakery"
    command = f"{BIN}/uvx --quiet --python {sys.executable} --from '{package}' bakery"
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    program.chmod(0o755)
    return program


INSTALLERS = {"pip": with_pip, "pipx": with_pipx, "uv tool install": with_uv_tool, "uvx --from": with_uvx}
Install = Callable[[object, Path], Path]


@pytest.mark.parametrize("install", INSTALLERS.values(), ids=INSTALLERS)
@pytest.mark.parametrize("source", ["wheel", "git"])
def test_every_installer_brings_a_program_that_publishes(install: Install, source, wheel, repository, tmp_path):
    bakery = install(wheel if source == "wheel" else from_git(repository), tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run(bakery, "--version", cwd=empty) == f"Bakery v{VERSION}\n"
    schema = run(bakery, "get", "schema", cwd=empty)
    assert schema == (ROOT / "docs/schemas/bakery.schema.json").read_text()
    shutil.copytree(ROOT / "examples/hello", tmp_path / "hello")
    words = ("-c", '"$0" "$@" 2>&1', bakery, "rehearse", tmp_path / "hello", "--image-name", "hello")
    assert "Rehearsal completed" in run("sh", *words, cwd=empty)


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(wheel):
    package = ROOT / "src" / "bakery"
    files = {f"bakery/{one.relative_to(package)}" for one in package.rglob("*") if one.is_file()}
    expected = {one for one in files if "__pycache__" not in one} | {"bakery/_version.py"}
    with zipfile.ZipFile(wheel) as archive:
        names = {one for one in archive.namelist() if ".dist-info/" not in one}
    assert names == expected
    assert {"bakery/py.typed", "bakery/templates/macros/python.j2"} <= names


def test_what_runs_takes_less_than_40_mb(wheel, tmp_path):
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env", cwd=tmp_path)
    pip = (sys.executable, "-m", "pip", "--python", tmp_path / "env", "install", "--quiet")
    run(*pip, "--require-hashes", "-r", ROOT / "requirements.lock", cwd=tmp_path)
    run(*pip, "--no-deps", wheel, cwd=tmp_path)
    files = [one for one in (tmp_path / "env").rglob("*") if one.is_file() and not one.is_symlink()]
    assert sum(one.stat().st_size for one in files) < 40e6


OLD, NEW = "9999.0.0", "9999.1.0"  # above every version that PyPI may have


@pytest.fixture(scope="module")
def wheels(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wheel of each version, in a folder of its own."""
    found = {}
    for version in (OLD, NEW):
        folder = tmp_path_factory.mktemp("version") / "dist"
        folder.mkdir()
        found[version] = build_wheel(repository, folder, BAKERY_BUILD_VERSION=version)
    return found


def rows() -> dict[str, tuple[str, str]]:
    """The commands of docs/install.md that upgrade and uninstall, by installer."""
    text = (ROOT / "docs/install.md").read_text().partition("## Upgrade, uninstall")[2].partition("\n## ")[0]
    return {name: (one, two) for name, one, two in re.findall(r"^\| (\w+) \| `(.+)` \| `(.+)` \|$", text, re.MULTILINE)}


INSTALLS = {"uv": "uv tool install", "pipx": "pipx install", "pip": "pip install"}


@pytest.mark.parametrize("installer", INSTALLS)
def test_the_commands_of_the_page_install_upgrade_and_uninstall(
    installer: str, wheels: dict[str, Path], tmp_path: Path
):
    offered = tmp_path / "offered"
    offered.mkdir()
    places = {
        "UV_TOOL_DIR": f"{tmp_path}/tools", "UV_TOOL_BIN_DIR": f"{tmp_path}/bin", "UV_PYTHON": sys.executable,
        "PIPX_HOME": f"{tmp_path}/pipx", "PIPX_BIN_DIR": f"{tmp_path}/bin", "PIPX_DEFAULT_PYTHON": sys.executable,
        "PIPX_MAN_DIR": f"{tmp_path}/man", "UV_FIND_LINKS": str(offered), "PIP_FIND_LINKS": str(offered),
    }  # fmt: skip
    program = tmp_path / "bin/bakery"
    if installer == "pip":
        run(sys.executable, "-m", "venv", tmp_path / "env", cwd=tmp_path)
        program = tmp_path / "env/bin/bakery"

    def do(command: str) -> None:
        name, *words = command.split()
        words += ["--yes"] if command.startswith("pip uninstall") else []
        run(program.with_name("pip") if name == "pip" else BIN / name, *words, cwd=tmp_path, **places)

    upgrade, uninstall = rows()[installer]
    shutil.copy(wheels[OLD], offered)
    do(f"{INSTALLS[installer]} bakery-images")
    assert run(program, "--version", cwd=tmp_path) == f"Bakery v{OLD}\n"
    shutil.copy(wheels[NEW], offered)
    do(upgrade)
    assert run(program, "--version", cwd=tmp_path) == f"Bakery v{NEW}\n"
    do(uninstall)
    assert not program.exists()


def test_the_page_has_commands_for_every_installer():
    assert rows().keys() == INSTALLS.keys()
