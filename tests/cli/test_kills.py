"""kill -9 at any moment of a set or of a rollback, then the same command: everything is right. And a dead registry."""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from bench.workload import BuiltTarget, Shape, build, load, write_project

from bakery.errors import ExitCode
from bakery.oci import manifest as views
from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.oci.index import encode_index
from bakery.oci.manifest import Index, Manifest
from bakery.rehearsal.embedded import EmbeddedRegistry
from tests.program import PROGRAM

MOMENTS = 100
AT_ONCE = 2
TARGETS = tuple(build(Shape(images=2, versions=2, layers=1, layer_bytes=300)))
WHOLE = ("--all-or-nothing", "run")
CLOSED = "127.0.0.1:1"  # nothing listens there


@dataclass
class Release:
    """Four targets, built in `source`, to be published to two registries whose tags name something old."""

    source: EmbeddedRegistry
    places: tuple[EmbeddedRegistry, ...]
    folder: Path
    hosts: tuple[str, ...] = ()
    metadata: list[Path] = field(default_factory=list)

    def prepare(self) -> None:
        hosts = self.hosts or tuple(place.address for place in self.places)
        self.metadata = write_project(self.folder, TARGETS, self.source.address, hosts)
        old = encode_index((), {"annotations": {"a": "old"}})
        for place in self.places:
            for target in TARGETS:
                place.put_manifest(target.repository, old.raw, *target.tags[:2], media_type=mt.OCI_INDEX)

    def publish(self, *options: str) -> tuple[str, ...]:
        return ("ci", "publish", *options, *(str(file) for file in self.metadata))

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("BAKERY_", "GITHUB_"))}
        return await asyncio.create_subprocess_exec(
            *PROGRAM, *words, cwd=self.folder, env=environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def bakery(self, *words: str) -> tuple[int, str]:
        process = await self.start(*words)
        _, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, err.decode()

    def requests(self) -> int:
        return sum(len(place.requests) for place in self.places)

    async def killed(self, *words: str, after: int) -> bool:
        """Start a command and kill it after so many requests. Return whether it was still running."""
        until, process = self.requests() + after, await self.start(*words)
        reading = asyncio.ensure_future(process.communicate())
        while not reading.done() and self.requests() < until:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(reading), 0.002)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await reading
        return process.returncode == -9

    def tags(self) -> list[dict[str, dict[str, Digest]]]:
        return [{target.uid: place.tags(target.repository) for target in TARGETS} for place in self.places]

    def problems(self) -> list[str]:
        """Return what is wrong after a publish: each tag of a target names one whole index, the same everywhere."""
        found = []
        for target in TARGETS:
            named = {place.tags(target.repository).get(tag) for place in self.places for tag in target.tags}
            digest = named.pop()
            if named or digest is None:
                found.append(f"{target.uid}: its tags name {digest} and {named}")
            else:
                found += [lost for place in self.places for lost in missing(place, target, digest)]
        return found


def missing(place: EmbeddedRegistry, target: BuiltTarget, digest: Digest) -> list[str]:
    index = views.parse(place.manifest(target.repository, str(digest))[1])
    assert isinstance(index, Index)
    assert len(index.manifests) == 2
    lost = []
    for entry in index.manifests:
        image = views.parse(place.manifest(target.repository, entry.digest)[1])
        assert isinstance(image, Manifest)
        lost += [str(blob.digest) for blob in image.blobs if blob.digest not in place.blobs(target.repository)]
    return lost


@contextlib.asynccontextmanager
async def releases(folder: Path, hosts: tuple[str, ...] = ()):
    async with EmbeddedRegistry() as source, EmbeddedRegistry() as one, EmbeddedRegistry() as two:
        await load(source.address, TARGETS)
        release = Release(source, (one, two), folder, hosts)
        release.prepare()
        yield release


async def at_random_moments(tmp_path: Path, seed: int, one: Callable[[Release, float], Awaitable[bool]]) -> None:
    """Run `one(release, share)` at so many moments, some at the same time."""
    draw, gate = random.Random(seed), asyncio.Semaphore(AT_ONCE)

    async def moment(number: int, share: float) -> bool:
        async with gate, releases(tmp_path / str(number)) as release:
            return await one(release, share)

    killed = await asyncio.gather(*(moment(number, draw.random()) for number in range(MOMENTS)))
    assert sum(killed) > MOMENTS * 0.7, "too few commands were still running when they were to be killed"


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_rerun_after_kill_9_at_any_of_a_hundred_moments_completes_a_set(tmp_path):
    async with releases(tmp_path / "whole") as release:
        assert (await release.bakery(*release.publish(*WHOLE)))[0] == ExitCode.DONE
        total = release.requests()

    async def one(release: Release, share: float) -> bool:
        command = release.publish(*WHOLE, "--journal", "journal")
        before, after = release.tags(), int(share * total)
        was_killed = await release.killed(*command, after=after)
        code, err = await release.bakery(*command)
        assert code == ExitCode.DONE, f"killed after {after} of {total} requests: {err}"
        assert release.problems() == [], f"killed after {after} of {total} requests"
        code, err = await release.bakery("rollback", "--yes", "journal")  # the journal knows of both attempts
        assert (code, release.tags()) == (ExitCode.DONE, before), f"killed after {after} of {total} requests: {err}"
        return was_killed

    await at_random_moments(tmp_path, 20260615, one)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_rollback_after_kill_9_at_any_of_a_hundred_moments_completes_and_can_be_undone(tmp_path):
    async with releases(tmp_path / "whole") as release:
        assert (await release.bakery(*release.publish("--journal", "journal")))[0] == ExitCode.DONE
        before_rollback = release.requests()
        assert (await release.bakery("rollback", "--yes", "journal"))[0] == ExitCode.DONE
        total = release.requests() - before_rollback

    async def one(release: Release, share: float) -> bool:
        before, after = release.tags(), int(share * total)
        assert (await release.bakery(*release.publish("--journal", "journal")))[0] == ExitCode.DONE
        published = release.tags()
        was_killed = await release.killed("rollback", "--yes", "journal", after=after)
        code, err = await release.bakery("rollback", "--yes", "journal")
        assert (code, release.tags()) == (ExitCode.DONE, before), f"killed after {after} of {total}: {err}"
        code, err = await release.bakery("rollback", "--yes", "journal.undo.jsonl")
        assert (code, release.tags()) == (ExitCode.DONE, published), f"killed after {after} of {total}: {err}"
        return was_killed

    await at_random_moments(tmp_path, 20260616, one)


@pytest.mark.slow
async def test_a_registry_that_is_down_keeps_every_tag_where_it_is_within_25_seconds(tmp_path):
    async with releases(tmp_path) as release:
        release.hosts = (release.places[0].address, CLOSED)
        release.prepare()
        before = release.tags()
        started = time.monotonic()
        code, err = await release.bakery(*release.publish(*WHOLE))
        took_s = time.monotonic() - started
        assert (code, release.tags()) == (ExitCode.FAILED, before), err
        assert took_s < 25
        assert "no tag of the run moved" in err
        code, err = await release.bakery(*release.publish())
        assert code == ExitCode.FAILED
        release.places = release.places[:1]
        assert release.problems() == [], err
