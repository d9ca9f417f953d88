"""clean.yml: old temporary builds and caches are deleted, young ones stay."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from tests.workflows.conftest import runner
from tests.workflows.test_publish_images import project

pytestmark = [pytest.mark.slow]

FOLDERS = ("acme/bread/tmp", "acme/bread/cache")


def push(scene, repository, tag, created):
    """Push an image of that age."""
    config = json.dumps({"os": "linux", "architecture": "amd64", "created": created}).encode()
    scene.builds.put_blob(repository, config)
    descriptor = {"mediaType": mt.OCI_CONFIG, "digest": str(Digest.of(config)), "size": len(config)}
    manifest = {"schemaVersion": 2, "mediaType": mt.OCI_MANIFEST, "config": descriptor, "layers": []}
    scene.builds.put_manifest(repository, json.dumps(manifest).encode(), tag)


def left(scene):
    return {repository: sorted(scene.builds.tags(repository)) for repository in FOLDERS}


async def test_old_builds_and_caches_are_deleted_and_young_ones_stay(scene, sources, tools):
    folder = project(scene)
    young = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    for repository in FOLDERS:
        push(scene, repository, "old", "2020-01-01T00:00:00Z")
        push(scene, repository, "young", young)
    wanted = {"temp-registry": f"{scene.builds.address}/acme"}
    made = runner(scene, sources, tools, folder)
    ran = await asyncio.to_thread(made.run, "clean", {**wanted, "dry-run": True})
    assert ran.is_green, ran.log
    assert left(scene) == {name: ["old", "young"] for name in FOLDERS}
    ran = await asyncio.to_thread(made.run, "clean", {**wanted, "clean-caches": False})
    assert ran.is_green, ran.log
    assert left(scene) == dict(zip(FOLDERS, (["young"], ["old", "young"]), strict=True))
    ran = await asyncio.to_thread(made.run, "clean", wanted)
    assert ran.is_green, ran.log
    assert left(scene) == {name: ["young"] for name in FOLDERS}
