"""publish-images.yml: what is complete is published, and the run is red if anything is missing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import yaml

from tests.cli.running import bakery
from tests.workflows.conftest import BAKERY, PLATFORMS, Scene, platforms, runner
from tests.workflows.runner import Ran

pytestmark = [pytest.mark.slow]


BUILD_NOTED = BAKERY.replace(
    "shift; done",
    """
    [ "$1" != --temp-registry ] || echo "build $1 $2" >>"$NOTES"
    shift
done""",
)


def project(scene: Scene) -> Path:
    """Two images of two platforms, from scratch, for two registries."""
    folder = scene.folder / "project"
    images = []
    for name in ("bread", "cake"):
        (folder / name / "1.0").mkdir(parents=True)
        (folder / name / "1.0" / "Containerfile.debian12").write_text(f"FROM scratch\nCOPY {name}/1.0/content /\n")
        (folder / name / "1.0" / "content").write_text(name)
        system = {"name": "Debian 12", "platforms": list(PLATFORMS)}
        images.append({"name": name, "versions": [{"name": "1.0", "latest": True, "os": [system]}]})
    registries = [{"host": one.address, "namespace": "acme"} for one in (scene.one, scene.two)]
    document = {"repository": {"url": "https://example.org/images"}, "registries": registries, "images": images}
    (folder / "bakery.yaml").write_text(yaml.safe_dump(document))
    return folder


def record(scene: Scene, folder: Path, *, without: str = "") -> None:
    """Record the builds of every job, except those of the job `without`."""
    targets = json.loads(bakery("get", "targets", "--context", folder, "--output", "json").out)
    for target in targets:
        for platform in PLATFORMS:
            job = f"{target['image']}-1.0-{platform.replace('/', '-')}"
            if job != without:
                scene.record(f"{job}.json", {target["uid"]: scene.build(f"acme/{target['image']}/tmp", platform)})


async def run(scene: Scene, sources: Path, tools: Path, **inputs: object) -> Ran:
    """Run the workflow on the scene's project, pushing."""
    given = {"push": True, "temp-registry": f"{scene.builds.address}/acme", **inputs}
    auths = {"registry-auths": f"{scene.one.address} robot secret\nregistry.example other word\n"}
    made = runner(scene, sources, tools, scene.folder / "project")
    return await asyncio.to_thread(made.run, "publish-images", given, auths)


async def test_every_image_is_published_to_every_registry_and_the_page_says_so(scene, sources, tools):
    record(scene, project(scene))
    ran = await run(scene, sources, tools, sign=True)
    assert ran.results == {"matrix": "success", "build": "success", "publish": "success", "summary": "success"}, ran.log
    for registry in (scene.one, scene.two):
        assert {name for name in registry.repositories() if registry.tags(name)} == {"acme/bread", "acme/cake"}
    assert platforms(scene.one, "acme/bread", "latest") == list(PLATFORMS)
    images = json.loads(ran.outputs["images"])
    assert {image["state"] for image in images} == {"published"}
    assert "bread" in ran.page
    signed = {line.split()[-1] for line in scene.notes.splitlines() if line.startswith("cosign sign")}
    assert {reference for reference in signed if any(image["digest"] in reference for image in images)} == {
        f"{registry.address}/acme/{image['uid'].partition('-')[0]}@{image['digest']}"
        for registry in (scene.one, scene.two)
        for image in images
    }
    assert f"login {scene.one.address} robot secret" in scene.notes
    assert "login registry.example other word" in scene.notes


async def test_a_failed_platform_leaves_its_image_out_and_the_run_red(scene, sources, tools):
    record(scene, project(scene), without="cake-1.0-linux-arm64")
    ran = await run(scene, sources, tools)
    assert ran.results == {"matrix": "success", "build": "failure", "publish": "failure", "summary": "success"}, ran.log
    assert platforms(scene.one, "acme/bread", "latest") == list(PLATFORMS)
    assert not scene.one.tags("acme/cake")
    assert "A job failed" in ran.page
    assert "cake" in ran.page


async def test_without_push_nothing_is_published_and_no_token_is_used(scene, sources, tools):
    record(scene, project(scene))
    ran = await run(scene, sources, tools, push=False)
    assert ran.results == {"matrix": "success", "build": "success", "publish": "skipped", "summary": "success"}, ran.log
    assert scene.one.repositories() == []
    assert "ghcr.io" not in scene.notes


@pytest.mark.parametrize(
    ("server", "registry"),
    [("https://github.com", "ghcr.io"), ("https://git.acme.example", "containers.git.acme.example")],
)
async def test_builds_go_to_the_registry_of_the_server_by_default(scene, sources, tools, server, registry):
    record(scene, project(scene))
    made = runner(scene, sources, tools, scene.folder / "project", bakery=BUILD_NOTED)
    made.server = server
    ran = await asyncio.to_thread(made.run, "publish-images", {"push": True})
    assert ran.is_green, ran.log
    assert scene.notes.count(f"build --temp-registry {registry}/acme\n") == 4
    assert scene.notes.count(f"login {registry} ") == 5, "four builds and the publish"


async def test_a_selection_without_builds_is_green_and_builds_nothing(scene, sources, tools):
    project(scene)
    ran = await run(scene, sources, tools, **{"matrix-versions": "only"})
    assert ran.results == {"matrix": "success", "build": "skipped", "publish": "skipped", "summary": "skipped"}, ran.log
