"""A clean-up that is killed at any moment leaves every kept tag whole, and the same command completes it."""

import asyncio
import json
import os
import random

import pytest

from bakery.oci.digest import Digest
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.log import LoggedRequest
from tests.clean.making import index_of, pointer, push, push_image, signature_tag
from tests.program import PROGRAM

NAME = "acme/app"
MOMENTS = 100


def fill(registry: EmbeddedRegistry) -> set[Digest]:
    """Push images of three kinds: to keep, to delete, and shared. Return what must stay."""
    shared, raw_shared = push_image(registry, "shared")
    stays = {shared}
    for number in range(4):
        image, raw = push_image(registry, f"kept {number}")
        index = push(registry, index_of([raw, raw_shared]), f"1.{number}")
        signature, _ = push_image(registry, f"signature {number}", signature_tag(index))
        referrer, _ = push_image(
            registry, f"sbom {number}", subject=pointer(raw, "application/vnd.oci.image.manifest.v1+json")
        )
        stays |= {image, index, signature, referrer}
        raw = push_image(registry, f"gone {number}")[1]
        inner = index_of([raw, raw_shared])
        push(registry, inner)
        gone = push(registry, index_of([inner]), f"pr-{number}")
        push_image(registry, f"signature of what goes {number}", signature_tag(gone))
    return stays


async def clean(registry: EmbeddedRegistry, folder: str, *, killed_after: int = 0) -> int:
    """Run the command; kill it once the registry has had so many requests."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "clean", "repository", f"{registry.address}/{NAME}", "--tag", "^pr-", "--yes",
        "--journal", "clean.jsonl",
        cwd=folder, env=os.environ, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    seen = 0
    log, record = registry.log, registry.log.add

    def add(entry: LoggedRequest) -> None:
        nonlocal seen
        record(entry)
        seen += 1
        if seen == killed_after and process.returncode is None:
            process.kill()

    log.add = add  # type: ignore[method-assign]  # its own one is back below
    try:
        async with asyncio.timeout(50):
            code = await process.wait()
    finally:
        log.add = record  # type: ignore[method-assign]  # see above
    return code


def check_whole(registry: EmbeddedRegistry, stays: set[Digest]) -> None:
    there = set(registry.manifests(NAME))
    assert stays <= there, "something kept is gone"
    for digest in there:
        for child in json.loads(registry.manifest(NAME, digest)[1]).get("manifests", ()):
            assert Digest.parse(child["digest"]) in there, "an index lacks a child"


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_after_kill_9_at_any_moment_every_kept_tag_is_whole_and_the_same_command_completes_it(tmp_path):
    async with EmbeddedRegistry() as registry:
        stays = fill(registry)
        assert await clean(registry, str(tmp_path)) == 0
        assert set(registry.manifests(NAME)) == stays
        total = registry.count()
    moments, killed = random.Random(20260801), 0
    for number in range(MOMENTS):
        folder = tmp_path / str(number)
        folder.mkdir()  # a test
        async with EmbeddedRegistry() as registry:
            stays = fill(registry)
            moment = moments.randint(total // 3, total)  # deletes are in the second half
            killed += await clean(registry, str(folder), killed_after=moment) == -9
            check_whole(registry, stays)
            assert await clean(registry, str(folder)) == 0
            assert set(registry.manifests(NAME)) == stays, f"killed after {moment} of {total} requests"
    assert killed > MOMENTS * 0.8
