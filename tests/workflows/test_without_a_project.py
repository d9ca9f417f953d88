"""publish-bake.yml and publish-image.yml: no bakery.yaml, builds recorded or made by a real BuildKit."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.workflows.conftest import PLATFORMS, Scene, platforms, real, runner
from tests.workflows.runner import Ran, Runner

pytestmark = [pytest.mark.slow]


def bake_file(scene: Scene) -> dict[str, object]:
    """Two targets that `bake` finds in the project: `tool` is for one platform and may be made to fail."""
    folder = scene.folder / "project"
    folder.mkdir()
    (folder / "content").write_text("bread")
    (folder / "Dockerfile").write_text("FROM scratch\nARG FILE=content\nCOPY $FILE /content\n")
    app = {"context": ".", "platforms": list(PLATFORMS), "tags": [f"{scene.one.address}/acme/app:1.0"]}
    tool = {"context": ".", "platforms": [PLATFORMS[1]], "tags": [f"{scene.two.address}/acme/tool:1.0"]}
    document = {"group": {"default": {"targets": ["app", "tool"]}}, "target": {"app": app, "tool": tool}}
    (folder / "docker-bake.json").write_text(json.dumps(document))
    scene.record("bake.json", document)
    return document


def record_bake(scene: Scene, *targets: tuple[str, str]) -> None:
    for target, platform in targets:
        job = platform.replace("/", "-")
        scene.record(f"{job}/built-{target}.json", {target: scene.build(f"acme/{target}", platform)})


async def run_bake(made: Runner, scene: Scene, **inputs: object) -> Ran:
    given = {"push": True, "temp-registry": f"{scene.builds.address}/acme", **inputs}
    return await asyncio.to_thread(made.run, "publish-bake", given)


async def test_the_targets_of_a_bake_file_are_published_to_their_tags(scene, sources, tools):
    bake_file(scene)
    record_bake(scene, ("app", PLATFORMS[0]), ("app", PLATFORMS[1]), ("tool", PLATFORMS[1]))
    ran = await run_bake(runner(scene, sources, tools, scene.folder / "project"), scene, sign=True)
    assert ran.is_green, ran.log
    assert platforms(scene.one, "acme/app", "1.0") == list(PLATFORMS)
    assert platforms(scene.two, "acme/tool", "1.0") == [PLATFORMS[1]]
    assert "cosign sign" in scene.notes


async def test_a_bake_target_that_failed_is_missing_and_the_others_are_published(scene, sources, tools):
    bake_file(scene)
    record_bake(scene, ("app", PLATFORMS[0]), ("app", PLATFORMS[1]))
    ran = await run_bake(runner(scene, sources, tools, scene.folder / "project"), scene)
    assert ran.results == {"matrix": "success", "build": "failure", "publish": "failure"}, ran.log
    assert "::error::failed to build for linux/arm64: tool" in ran.log
    assert platforms(scene.one, "acme/app", "1.0") == list(PLATFORMS)
    assert not scene.two.tags("acme/tool")


async def run_image(made: Runner, scene: Scene, **inputs: object) -> Ran:
    images = f"{scene.one.address}/acme/app\n{scene.two.address}/acme/app\n"
    given = {"push": True, "images": images, "tags": "type=raw,value=1.2.3\ntype=raw,value=latest", **inputs}
    return await asyncio.to_thread(made.run, "publish-image", given)


def dockerfile(scene: Scene) -> Path:
    folder = scene.folder / "project"
    folder.mkdir()
    (folder / "content").write_text("bread")
    (folder / "content-arm64").write_text("bread for arm64")
    (folder / "Dockerfile").write_text("FROM scratch\nARG FILE=content\nCOPY $FILE /content\n")
    return folder


async def test_one_image_is_published_to_both_registries_with_the_tags_of_metadata_action(scene, sources, tools):
    folder = dockerfile(scene)
    scene.builds = scene.one
    for platform in PLATFORMS:
        scene.record(f"{platform.replace('/', '-')}/metadata.json", scene.build("acme/app", platform))
    ran = await run_image(runner(scene, sources, tools, folder), scene)
    assert ran.is_green, ran.log
    for registry in (scene.one, scene.two):
        assert platforms(registry, "acme/app", "latest") == platforms(registry, "acme/app", "1.2.3") == list(PLATFORMS)
    assert ran.outputs["digest"] == str(scene.two.tags("acme/app")["latest"])


async def test_an_image_without_one_of_its_platforms_is_not_published(scene, sources, tools):
    folder = dockerfile(scene)
    scene.builds = scene.one
    scene.record("linux-amd64/metadata.json", scene.build("acme/app", PLATFORMS[0]))
    ran = await run_image(runner(scene, sources, tools, folder), scene)
    assert ran.results == {"matrix": "success", "build": "failure", "publish": "failure"}, ran.log
    assert not scene.two.tags("acme/app")


@pytest.mark.peer
async def test_a_real_buildkit_builds_the_targets_of_a_bake_file(scene, sources, tools, buildkit):
    document = bake_file(scene)
    made = runner(scene, sources, tools, scene.folder / "project", **real(buildkit))
    ran = await run_bake(made, scene)
    assert ran.is_green, ran.log
    assert platforms(scene.one, "acme/app", "1.0") == list(PLATFORMS)
    assert platforms(scene.two, "acme/tool", "1.0") == [PLATFORMS[1]]
    assert document


@pytest.mark.peer
async def test_a_real_buildkit_builds_one_dockerfile(scene, sources, tools, buildkit):
    folder = dockerfile(scene)
    ran = await run_image(runner(scene, sources, tools, folder, **real(buildkit)), scene)
    assert ran.is_green, ran.log
    assert platforms(scene.two, "acme/app", "latest") == list(PLATFORMS)


@pytest.mark.peer
async def test_a_real_build_that_fails_on_one_platform_publishes_nothing_of_its_image(scene, sources, tools, buildkit):
    folder = dockerfile(scene)
    (folder / "Dockerfile").write_text("FROM scratch\nARG TARGETARCH\nCOPY content-$TARGETARCH /content\n")
    ran = await run_image(runner(scene, sources, tools, folder, **real(buildkit)), scene)
    assert ran.results == {"matrix": "success", "build": "failure", "publish": "failure"}, ran.log
    assert not scene.two.tags("acme/app")
