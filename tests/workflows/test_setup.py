"""setup-bakery: which version it installs, and that a second job finds the installation of the first."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.install.trees import build_wheel
from tests.workflows.conftest import Scene
from tests.workflows.runner import Runner

pytestmark = [pytest.mark.slow]
VERSION = "9999.0.0"  # above every version that PyPI may have


def runner(scene: Scene, sources: Path, offered: Path) -> Runner:
    """Return a runner with a tool cache of its own, whose pip also knows the wheels in a folder."""
    variables = {"HOME": str(scene.folder), "PIP_FIND_LINKS": str(offered)}
    return Runner(
        scene.folder / "run", sources=sources, project=scene.folder, shims="/nonexistent",
        tools=scene.folder / "tools", variables=variables,
    )  # fmt: skip


def document(version: str, expected: str) -> dict[str, object]:
    """A job that installs a version and checks what it got."""
    setup = {"id": "bakery", "uses": "OWNER/bakery/.github/actions/setup-bakery", "with": {"version": version}}
    outputs = {"OUTPUT": "${{ steps.bakery.outputs.version }}", "PROGRAM": "${{ steps.bakery.outputs.path }}"}
    check = {
        "env": {**outputs, "EXPECTED": expected},
        "run": '[ "$OUTPUT" = "$EXPECTED" ] && [ "$(bakery --version)" = "Bakery v$EXPECTED" ]\n'
        '[ "$(command -v bakery)" = "$PROGRAM" ]',
    }
    return {"jobs": {"one": {"runs-on": "x", "steps": [setup, check]}}}


@pytest.mark.parametrize("version", [VERSION, f"v{VERSION}"])
async def test_a_version_comes_from_pypi_and_is_installed_once(scene, sources, version, tmp_path):
    offered = tmp_path / "offered"
    offered.mkdir()
    wheel = build_wheel(sources, offered, BAKERY_BUILD_VERSION=VERSION)
    made = runner(scene, sources, offered)
    ran = await asyncio.to_thread(made.run_document, document(version, VERSION), {})
    assert ran.is_green, ran.log
    wheel.unlink()
    ran = await asyncio.to_thread(made.run_document, document(version, VERSION), {})
    assert ran.is_green, ran.log


async def test_the_sources_of_a_release_have_its_version(scene, sources, tmp_path):
    made = runner(scene, sources, tmp_path)
    made.action_ref = "v1.2.3"
    ran = await asyncio.to_thread(made.run_document, document("", "1.2.3"), {})
    assert ran.is_green, ran.log


async def test_a_python_that_is_too_old_is_named(scene, sources, tmp_path):
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && exec echo Python 3.9.25\nexit 1\n')
    old.chmod(0o755)
    step = {"uses": "OWNER/bakery/.github/actions/setup-bakery", "with": {"python": str(old)}}
    one = {"jobs": {"one": {"runs-on": "x", "steps": [step]}}}
    ran = await asyncio.to_thread(runner(scene, sources, tmp_path).run_document, one, {})
    assert ran.results == {"one": "failure"}
    assert f"::error::Bakery needs Python 3.11 or later, and {old} is Python 3.9.25\n" in ran.log


async def test_a_version_that_does_not_exist_fails_the_step(scene, sources, tmp_path):
    ran = await asyncio.to_thread(runner(scene, sources, tmp_path).run_document, document("9999.9.9", "9999.9.9"), {})
    assert ran.results == {"one": "failure"}
    assert "bakery-images==9999.9.9" in ran.log
