"""examples/gitlab-ci.yml: its scripts in order, with the variables of a GitLab job, and builds that were recorded."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.running import bakery
from tests.install.trees import ROOT
from tests.workflows.conftest import DOCKER, PLATFORMS, Scene, platforms
from tests.workflows.runner import EXECUTED
from tests.workflows.test_publish_images import project

TEMPLATE = ROOT / "examples/gitlab-ci.yml"
pytestmark = [pytest.mark.slow]

# The installed program is this checkout's; of `bakery build`, the recorded metadata is what it leaves.
PROGRAM = """#!/bin/bash
[ "$1" = build ] || exec {python} -m bakery "$@"
while [ "$1" != --metadata-file ]; do shift; done
cp "$RECORDED/${{2##*/}}" "$2"
"""


def job(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text())[name]
    return found


def run(scene: Scene, name: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a job's scripts as one, as GitLab's runner does; pip leaves a program that calls this checkout."""
    pip = f'#!/bin/bash\nprintf %s "$PROGRAM" >{folder}/.bakery/bin/bakery && chmod +x {folder}/.bakery/bin/bakery\n'
    venv = f"#!/bin/bash\nmkdir -p {folder}/.bakery/bin; cp $PIP {folder}/.bakery/bin/pip\n"
    (scene.folder / "pip").write_text(pip)
    (scene.folder / "pip").chmod(0o755)
    shims = scene.shims(docker=DOCKER, apk="#!/bin/bash\n", python3=venv)
    environment = {
        "PATH": f"{shims}:{os.environ['PATH']}",
        "HOME": str(scene.folder / "home"),
        "PIP": str(scene.folder / "pip"),
        "PROGRAM": PROGRAM.format(python=sys.executable),
        "PYTHONPATH": str(ROOT / "src"),
        "RECORDED": str(scene.recorded),
        "NOTES": str(scene.folder / "notes"),
        "CI": "true",
        "CI_PROJECT_DIR": str(folder),
        "CI_REGISTRY": scene.builds.address,
        "CI_REGISTRY_USER": "ci",
        "CI_REGISTRY_PASSWORD": "secret",
        **yaml.safe_load(TEMPLATE.read_text())["variables"],
        "TEMP_REGISTRY": f"{scene.builds.address}/acme",
        **variables,
    }
    lines = [*job(name)["before_script"], *job(name)["script"]]
    EXECUTED.update(lines)
    script = "\n".join(lines)
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip


@pytest.mark.parametrize("missing", ["", "arm64"], ids=["all built", "one platform of one image failed"])
async def test_the_jobs_publish_what_is_complete(scene: Scene, missing: str):
    folder = project(scene)
    targets = yaml.safe_load(bakery("get", "targets", "--context", folder, "--output", "json").out)
    for platform in PLATFORMS:
        arch = platform.partition("/")[2]
        built = [one for one in targets if not (arch == missing and one["image"] == "cake")]
        scene.record(f"{arch}.json", {one["uid"]: scene.build(f"acme/{one['image']}/tmp", platform) for one in built})
    shutil.rmtree(folder / "metadata", ignore_errors=True)
    for axis in job("build")["parallel"]["matrix"]:
        done = await asyncio.to_thread(run, scene, "build", folder, **axis)
        assert done.returncode == 0, done.stderr
    done = await asyncio.to_thread(run, scene, "publish", folder)
    assert done.returncode == (1 if missing else 0), done.stderr
    for registry in (scene.one, scene.two):
        assert platforms(registry, "acme/bread", "latest") == list(PLATFORMS)
        assert bool(registry.tags("acme/cake")) is not bool(missing)
    assert f"login {scene.builds.address} ci secret" in scene.notes
    assert scene.notes.count("buildx create --use bakery") == len(PLATFORMS), (
        "Docker's own builder cannot push by digest"
    )


def test_artifacts_are_kept_and_publishing_runs_after_a_failure():
    assert job("build")["artifacts"]["when"] == "always"
    assert job("publish")["rules"][0]["when"] == "always"
