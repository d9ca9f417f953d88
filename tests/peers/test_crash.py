"""After a kill at any moment, the same command completes the publish and uploads nothing twice."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path

import pytest
from bench.workload import Shape, build, load

from tests.peers.conftest import StartRegistry
from tests.peers.programs import need
from tests.peers.publishing import Kitchen
from tests.peers.registries import RealRegistry, serve

MOMENTS = 30
SHAPE = Shape(images=2, layers=2, layer_bytes=1_500_000)  # large enough that some are killed in the middle of a body
_BLOB = re.compile(r"(/v2/[^?]+/blobs/uploads/)[^?]*\?.*digest=([^&]+)")


def completed(registry: RealRegistry) -> Counter[str]:
    """Return the number of acknowledged writes, of blobs by digest and of manifests by reference."""
    writes: Counter[str] = Counter()
    for one in registry.requests("PUT"):
        if one.status == 201:
            blob = _BLOB.match(one.path)
            writes[blob[1] + blob[2] if blob else one.path] += 1
    return writes


@pytest.mark.slow
async def test_a_rerun_after_kill_9_completes_the_publish_and_uploads_nothing_twice(
    start_registry: StartRegistry, tmp_path: Path
):
    source = start_registry("distribution")
    targets = list(build(SHAPE))
    await load(source.host, targets)

    def fresh(name: str) -> Kitchen:
        return Kitchen(tmp_path / name / "project", source, list(destinations), targets)

    with (
        serve("distribution", need("distribution"), tmp_path / "one") as first,
        serve("distribution", need("distribution"), tmp_path / "two") as second,
    ):
        destinations = (first, second)
        assert fresh("uninterrupted").publish().exit_code == 0
        total = sum(len(one.requests()) for one in destinations)

    moments = random.Random(20260601)
    killed = 0
    for number in range(MOMENTS):
        with (
            serve("distribution", need("distribution"), tmp_path / f"one-{number}") as first,
            serve("distribution", need("distribution"), tmp_path / f"two-{number}") as second,
        ):
            destinations = (first, second)
            kitchen = fresh(f"run-{number}")
            moment = moments.randrange(total)
            killed += kitchen.publish_and_be_killed(moment) == -9
            done = kitchen.publish()
            assert done.exit_code == 0, f"killed after {moment} of {total} requests: {done.stderr}"
            assert kitchen.problems() == [], f"killed after {moment} of {total} requests"
            for registry in destinations:
                repeated = {written: times for written, times in completed(registry).items() if times > 1}
                assert repeated == {}, f"killed after {moment} of {total} requests"
    assert killed > MOMENTS * 0.8, f"only {killed} runs were still running when they were to be killed"
