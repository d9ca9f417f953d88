"""The workflows of a project with a real BuildKit: publishing, a platform that fails, a pull request, cleaning."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
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


async def test_old_temporary_builds_are_deleted_and_young_ones_stay(scene, sources, tools):
    folder = project(scene)
    young = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    for tag, created in (("old", "2020-01-01T00:00:00Z"), ("young", young)):
        config = json.dumps({"os": "linux", "architecture": "amd64", "created": created}).encode()
        scene.builds.put_blob("acme/bread/tmp", config)
        descriptor = {"mediaType": mt.OCI_CONFIG, "digest": str(Digest.of(config)), "size": len(config)}
        manifest = {"schemaVersion": 2, "mediaType": mt.OCI_MANIFEST, "config": descriptor, "layers": []}
        scene.builds.put_manifest("acme/bread/tmp", json.dumps(manifest).encode(), tag)
    wanted = {"temp-registry": f"{scene.builds.address}/acme", "clean-caches": False}
    made = runner(scene, sources, tools, folder)
    ran = await asyncio.to_thread(made.run, "clean", {**wanted, "dry-run": True})
    assert ran.is_green, ran.log
    assert set(scene.builds.tags("acme/bread/tmp")) == {"old", "young"}
    ran = await asyncio.to_thread(made.run, "clean", wanted)
    assert ran.is_green, ran.log
    assert list(scene.builds.tags("acme/bread/tmp")) == ["young"]


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
