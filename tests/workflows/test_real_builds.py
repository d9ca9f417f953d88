"""The workflows of a project with a real BuildKit: publishing, a platform that fails, a pull request."""

from __future__ import annotations

import asyncio

import pytest

from tests.workflows.conftest import PLATFORMS, platforms, real, runner
from tests.workflows.test_publish_images import project

pytestmark = [pytest.mark.slow, pytest.mark.peer]


def inputs(scene, **more):
    return {"push": True, "temp-registry": f"{scene.builds.address}/acme", "retry": 0, **more}


async def test_a_project_is_built_and_published(scene, sources, tools, buildkit):
    made = runner(scene, sources, tools, project(scene), **real(buildkit))
    ran = await asyncio.to_thread(made.run, "publish-images", inputs(scene))
    assert ran.is_green, ran.log
    for name in ("acme/bread", "acme/cake"):
        assert platforms(scene.one, name, "latest") == list(PLATFORMS)
        assert scene.two.tags(name) == scene.one.tags(name)
    built = [one for one in scene.builds.repositories() if scene.builds.manifests(one)]
    assert built == ["acme/bread/tmp", "acme/cake/tmp"]


async def test_what_is_complete_is_published_if_a_build_fails_on_one_platform(scene, sources, tools, buildkit):
    folder = project(scene)
    text = "FROM scratch\nARG TARGETARCH\nCOPY cake/1.0/content-${TARGETARCH} /\n"
    (folder / "cake/1.0/Containerfile.debian12").write_text(text)
    (folder / "cake/1.0/content-amd64").write_text("cake")
    made = runner(scene, sources, tools, folder, **real(buildkit))
    ran = await asyncio.to_thread(made.run, "publish-images", inputs(scene))
    assert ran.results == {"matrix": "success", "build": "failure", "publish": "failure", "summary": "success"}, ran.log
    assert platforms(scene.one, "acme/bread", "latest") == list(PLATFORMS)
    assert not scene.one.tags("acme/cake")
    assert "A job failed" in ran.page


async def test_a_pull_request_builds_and_rehearses_and_pushes_nothing(scene, sources, tools, buildkit):
    made = runner(scene, sources, tools, project(scene), **real(buildkit))
    ran = await asyncio.to_thread(made.run, "pull-request", {})
    assert ran.results == {"plan": "success", "build": "success", "result": "success"}, ran.log
    assert "| bread | 1.0 | linux/arm64 |" in ran.page
    assert "Rehearsal completed" in ran.page
    for registry in (scene.one, scene.two, scene.builds):
        assert registry.repositories() == []
    assert scene.notes == ""


async def test_a_pull_request_that_does_not_build_is_red(scene, sources, tools, buildkit):
    folder = project(scene)
    (folder / "bread/1.0/content").unlink()
    made = runner(scene, sources, tools, folder, **real(buildkit))
    ran = await asyncio.to_thread(made.run, "pull-request", {})
    assert ran.results == {"plan": "success", "build": "failure", "result": "failure"}, ran.log
