"""publish-bake.yml and publish-image.yml: no bakery.yaml, builds recorded or made by a real BuildKit."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.workflows.conftest import DOCKER, PLATFORMS, Scene, platforms, real, runner
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


async def test_a_runner_that_is_kept_does_not_publish_a_platform_of_an_earlier_run(scene, sources, tools):
    folder = dockerfile(scene)
    scene.builds = scene.one
    made = runner(scene, sources, tools, folder)
    made.keeps_workspace = True
    for platform in PLATFORMS:
        scene.record(f"{platform.replace('/', '-')}/metadata.json", scene.build("acme/app", platform))
    ran = await run_image(made, scene)
    assert ran.is_green, ran.log
    before = scene.two.tags("acme/app")["latest"]
    scene.record("linux-amd64/metadata.json", scene.build("acme/app", PLATFORMS[0], "newer"))
    (scene.recorded / "linux-arm64/metadata.json").unlink()
    ran = await run_image(made, scene)
    assert ran.results == {"matrix": "success", "build": "failure", "publish": "failure"}, ran.log
    assert scene.two.tags("acme/app")["latest"] == before


async def test_a_runner_that_is_kept_does_not_publish_bake_targets_of_an_earlier_run(scene, sources, tools):
    bake_file(scene)
    record_bake(scene, ("app", PLATFORMS[0]), ("app", PLATFORMS[1]), ("tool", PLATFORMS[1]))
    made = runner(scene, sources, tools, scene.folder / "project")
    made.keeps_workspace = True
    ran = await run_bake(made, scene)
    assert ran.is_green, ran.log
    before = scene.one.tags("acme/app")["1.0"]
    scene.record("linux-amd64/built-app.json", {"app": scene.build("acme/app", PLATFORMS[0], "newer")})
    for target in ("app", "tool"):
        (scene.recorded / f"linux-arm64/built-{target}.json").unlink()
    ran = await run_bake(made, scene)
    assert ran.results == {"matrix": "success", "build": "failure", "publish": "failure"}, ran.log
    assert scene.one.tags("acme/app")["1.0"] == before


# Also notes what buildx was given: its words, the variable of the test, and the bake file of a build.
NOTING = DOCKER.replace(
    "set -e\n",
    """set -e
echo "VERSION=$VERSION docker $*" >>"$NOTES"
[ "$3" != --file ] || jq -c .target "$4" >>"$NOTES" 2>/dev/null || true
""",
)


async def test_the_inputs_of_one_image_reach_buildx(scene, sources, tools):
    folder = dockerfile(scene)
    scene.builds = scene.one
    for platform in PLATFORMS:
        scene.record(f"{platform.replace('/', '-')}/metadata.json", scene.build("acme/app", platform))
    made = runner(scene, sources, tools, folder, docker=NOTING)
    given = {"build-args": "A=1\nB=two words\n", "cache-registry": "r.example/cache", "sign": True}
    ran = await run_image(made, scene, file="Other", target="final", **given)
    assert ran.is_green, ran.log
    built = [line for line in scene.notes.splitlines() if "docker buildx build" in line]
    assert len(built) == len(PLATFORMS)
    for line, platform in zip(built, PLATFORMS, strict=True):
        cache = f"type=registry,ref=r.example/cache:{platform.replace('/', '-')}"
        for words in ("--file Other", "--target final", "--build-arg A=1", "--build-arg B=two words",
                      f"--platform {platform}", f"--cache-from {cache}", f"--cache-to {cache},mode=max"):  # fmt: skip
            assert f" {words} " in line
    assert "cosign sign" in scene.notes


async def test_without_push_one_image_is_only_built(scene, sources, tools):
    folder = dockerfile(scene)
    for platform in PLATFORMS:
        scene.record(f"{platform.replace('/', '-')}/metadata.json", {})
    made = runner(scene, sources, tools, folder, docker=NOTING)
    ran = await run_image(made, scene, push=False, **{"cache-registry": "r.example/cache"})
    assert ran.results == {"matrix": "success", "build": "success", "publish": "skipped"}, ran.log
    assert scene.notes.count("--output type=cacheonly") == len(PLATFORMS)
    assert "--cache-to" not in scene.notes
    assert "login" not in scene.notes


async def test_the_inputs_of_a_bake_file_reach_buildx(scene, sources, tools):
    bake_file(scene)
    record_bake(scene, ("app", PLATFORMS[0]), ("app", PLATFORMS[1]), ("tool", PLATFORMS[1]))
    made = runner(scene, sources, tools, scene.folder / "project", docker=NOTING)
    given = {"files": "docker-bake.json\n", "variables": "VERSION=1.2.3\n", "cache-registry": "r.example/cache"}
    ran = await run_bake(made, scene, targets="app tool", **given)
    assert ran.is_green, ran.log
    printed = "VERSION=1.2.3 docker buildx bake --print --file docker-bake.json app tool"
    assert printed in scene.notes
    builds = [json.loads(line) for line in scene.notes.splitlines() if line.startswith("{")]
    assert [sorted(one) for one in builds] == [["app"], ["app", "tool"], ["app", "tool"]]
    cache = "type=registry,ref=r.example/cache:app-linux-amd64"
    assert builds[0]["app"]["platforms"] == [PLATFORMS[0]]
    assert (builds[0]["app"]["cache-from"], builds[0]["app"]["cache-to"]) == ([cache], [f"{cache},mode=max"])
    assert all("push-by-digest=true" in one["output"][0] and "tags" not in one for one in builds[1].values())


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
