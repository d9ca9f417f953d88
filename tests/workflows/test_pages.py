"""The job of the README that needs no bakery.yaml, run as it is printed."""

from __future__ import annotations

import asyncio
import re

import pytest
import yaml

from bakery.oci.digest import Digest
from tests.install.trees import ROOT
from tests.workflows.conftest import PLATFORMS, platforms, runner

pytestmark = [pytest.mark.slow]


async def test_the_job_that_merges_publishes_the_digests_of_the_runners(scene, sources, tools):
    """As on GitHub: each runner left a file named by its digest, and docker/metadata-action says `main`."""
    (block,) = re.findall(r"```yaml\n(jobs:\n  merge:.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(block.splitlines()) <= 14
    document = yaml.safe_load(block.replace("ghcr.io", scene.builds.address))
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
