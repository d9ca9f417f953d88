"""The workflows of the README and the steps of pages, run as they are printed, on recorded builds."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bakery.oci.digest import Digest
from tests.cli.running import bakery
from tests.install.trees import ROOT
from tests.workflows.conftest import PLATFORMS, Scene, platforms, runner
from tests.workflows.test_publish_images import project

pytestmark = [pytest.mark.slow]

# Of `bakery build`, the recorded metadata is what it leaves; a job of the README is for one architecture.
BAKERY = """#!/bin/bash
[ "$1" = build ] || PATH=${PATH#*:} exec bakery "$@"
while [ "$1" != --metadata-file ]; do shift; done
cp "$RECORDED/$ARCH.json" "$2"
"""
PIPX = f"""#!/bin/bash
[ "$1 $2 $3" = "run --spec bakery-images" ] && shift 4 && exec {sys.executable} -m bakery "$@"
"""


def block(page: str, beginning: str) -> str:
    """Return the block of a page that begins so."""
    (found,) = re.findall(rf"```yaml\n({beginning}.*?)```", (ROOT / page).read_text(), re.DOTALL)
    return str(found)


def job_of(*steps: object) -> dict[str, Any]:
    return {"jobs": {"one": {"runs-on": "x", "steps": list(steps)}}}


CHECKOUT = {"uses": "actions/checkout@v7", "with": {"persist-credentials": False}}


def record(scene: Scene, folder: Path, *, without: str = "") -> None:
    """Record the builds of each architecture, except that of the image cake for `without`."""
    targets = json.loads(bakery("get", "targets", "--context", folder, "--output", "json").out)
    for platform in PLATFORMS:
        arch = platform.partition("/")[2]
        built = [one for one in targets if (one["image"], arch) != ("cake", without)]
        scene.record(f"{arch}.json", {one["uid"]: scene.build(f"acme/{one['image']}/tmp", platform) for one in built})


async def test_the_job_that_merges_publishes_the_digests_of_the_runners(scene, sources, tools):
    """As on GitHub: each runner left a file named by its digest, and docker/metadata-action says `main`."""
    printed = block("README.md", "merge:")
    assert len(printed.splitlines()) <= 12
    document = {"jobs": yaml.safe_load(printed.replace("ghcr.io", scene.builds.address))}
    del document["jobs"]["merge"]["needs"]
    made = runner(scene, sources, tools, scene.folder, bakery="")
    for platform in PLATFORMS:
        built = scene.build("acme/app", platform)
        digest = Digest.parse(built["containerimage.digest"])
        folder = scene.folder / "run" / "artifacts" / f"digests-{platform.replace('/', '-')}"
        folder.mkdir(parents=True)
        (folder / digest.hex).touch()
    ran = await asyncio.to_thread(made.run_document, document, {}, {"GITHUB_TOKEN": "a-token"})
    assert ran.is_green, ran.log
    assert platforms(scene.builds, "acme/app", "main") == list(PLATFORMS)


@pytest.mark.parametrize("missing", ["", "arm64"], ids=["all built", "one platform of one image failed"])
async def test_the_workflow_of_a_project_publishes_what_is_complete(scene, sources, tools, missing):
    folder = project(scene)
    record(scene, folder, without=missing)
    made = runner(scene, sources, tools, folder, bakery=BAKERY)
    secrets = {"GITHUB_TOKEN": "a-token", "HUB_TOKEN": "another"}
    ran = await asyncio.to_thread(made.run_document, yaml.safe_load(block("README.md", "name: images")), {}, secrets)
    assert ran.results == {"build": "success", "publish": "failure" if missing else "success"}, ran.log
    assert "bread" in ran.page
    for registry in (scene.one, scene.two):
        assert platforms(registry, "acme/bread", "latest") == list(PLATFORMS)
        assert bool(registry.tags("acme/cake")) is not bool(missing)


async def test_the_commands_for_any_shell_build_each_platform_and_publish(scene, sources, tools):
    folder = project(scene)
    record(scene, folder)
    build, publish = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/any-ci.md").read_text(), re.DOTALL)
    made = runner(scene, sources, tools, folder, bakery=BAKERY)
    setup = {"uses": "OWNER/bakery/.github/actions/setup-bakery"}
    variables = {"TEMP_REGISTRY": f"{scene.builds.address}/acme"}
    builds = [{"run": build, "env": {**variables, "ARCH": arch}} for arch in ("amd64", "arm64")]
    ran = await asyncio.to_thread(made.run_document, job_of(CHECKOUT, setup, *builds, {"run": publish}), {})
    assert ran.is_green, ran.log
    for registry in (scene.one, scene.two):
        for name in ("acme/bread", "acme/cake"):
            assert platforms(registry, name, "latest") == list(PLATFORMS)


async def test_the_steps_of_pages_check_publish_and_verify_a_project(scene, sources, tools):
    folder = project(scene)
    record(scene, folder)
    (folder / "metadata").mkdir()
    for file in scene.recorded.iterdir():
        (folder / "metadata" / file.name).write_bytes(file.read_bytes())
    made = runner(scene, sources, tools, folder, bakery="", pipx=PIPX)
    setup, check = yaml.safe_load(block("docs/workflows.md", "- uses: OWNER/bakery/.github/actions/setup-bakery"))
    ran = await asyncio.to_thread(made.run_document, job_of(CHECKOUT, setup, check), {})
    assert ran.is_green, ran.log
    publish, attest, upload = yaml.safe_load(block("docs/summary-page.md", "- id: publish"))
    ran = await asyncio.to_thread(made.run_document, job_of(CHECKOUT, setup, publish, attest, upload), {})
    assert ran.is_green, ran.log
    ran = await asyncio.to_thread(made.run_document, yaml.safe_load(block("docs/release.md", "on: {schedule")), {})
    assert ran.is_green, ran.log
