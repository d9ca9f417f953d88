"""pull-request.yml on recorded builds: what is built is tested with goss, nothing is pushed, and no job logs in."""

from __future__ import annotations

import asyncio

import pytest
import yaml

from tests.install.trees import commit, run
from tests.plugins.test_dgoss_parts import PASSING, REPORT
from tests.workflows.conftest import PLATFORMS, Scene, runner
from tests.workflows.test_publish_images import project, record

pytestmark = [pytest.mark.slow]

# The reports that goss wrote; what it is given is noted.
DGOSS = """#!/bin/bash
echo "dgoss $*" >>"$NOTES"
cat "$RECORDED/goss.json"
exit "$(cat "$RECORDED/goss.code")"
"""


def prepare(scene: Scene, report: str, code: int) -> None:
    """Give both images goss tests, with this result."""
    folder = project(scene)
    document = yaml.safe_load((folder / "bakery.yaml").read_text())
    for image in document["images"]:
        image["options"] = [{"tool": "goss"}]
        (folder / image["name"] / "test").mkdir()
        (folder / image["name"] / "test/goss.yaml").write_text("{}")
    (folder / "bakery.yaml").write_text(yaml.safe_dump(document))
    record(scene, folder)
    scene.recorded.mkdir(exist_ok=True)
    (scene.recorded / "goss.json").write_text(report)
    (scene.recorded / "goss.code").write_text(str(code))


async def test_a_pull_request_is_built_tested_and_rehearsed(scene, sources, tools):
    prepare(scene, PASSING, 0)
    made = runner(scene, sources, tools, scene.folder / "project", dgoss=DGOSS)
    ran = await asyncio.to_thread(made.run, "pull-request", {"test": True})
    assert ran.results == {"plan": "success", "build": "success", "result": "success"}, ran.log
    assert "| bread | 1.0 | linux/arm64 |" in ran.page
    assert "Rehearsal completed" in ran.page
    notes = scene.notes.splitlines()
    assert len(notes) == 4, "one run of dgoss per image and platform, and no login"
    assert all(any(f"--platform {platform}" in note for note in notes) for platform in PLATFORMS)


async def test_a_pull_request_whose_tests_fail_is_red(scene, sources, tools):
    prepare(scene, REPORT, 1)
    made = runner(scene, sources, tools, scene.folder / "project", dgoss=DGOSS)
    ran = await asyncio.to_thread(made.run, "pull-request", {"test": True})
    assert ran.results == {"plan": "success", "build": "failure", "result": "failure"}, ran.log


async def test_a_pull_request_builds_only_what_it_changes(scene, sources, tools):
    folder = project(scene)
    record(scene, folder)
    commit(folder, "base")
    base = run("git", "rev-parse", "HEAD", cwd=folder).strip()
    (folder / "bread/1.0/content").write_text("better bread")
    commit(folder, "change")
    made = runner(scene, sources, tools, folder)
    ran = await asyncio.to_thread(made.run, "pull-request", {"base-ref": base})
    assert ran.is_green, ran.log
    assert "| bread | 1.0 | linux/amd64 |" in ran.page
    assert "| cake |" not in ran.page
    (folder / "notes.md").write_text("nothing that is built")
    commit(folder, "notes")
    base = run("git", "rev-parse", "HEAD~1", cwd=folder).strip()
    ran = await asyncio.to_thread(made.run, "pull-request", {"base-ref": base})
    assert ran.results == {"plan": "success", "build": "skipped", "result": "success"}, ran.log
