"""Sets and policies over real sockets, at random: failures while tags move, and two runs that race for one tag."""

import asyncio
import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from bakery.engines.native import NativeEngine
from bakery.errors import ExitCode
from bakery.oci import media_type as mt
from bakery.oci.index import encode_index
from bakery.publish.assemble import AssemblyOptions
from bakery.publish.pipeline import Pipeline, PipelineOptions
from bakery.publish.plan import Plan
from bakery.publish.policy import TagPolicy
from bakery.publish.sets import Whole
from bakery.registry.client import Client
from bakery.registry.config import RegistryConfig
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.faults import Drop, Refuse, Wait
from bakery.retry import RetryPolicy
from tests.engines.workload import add_target
from tests.report.texts import outcome_lines

RUNS = 40
RACES = 50


def engine() -> NativeEngine:
    policy = RetryPolicy(base_delay=0.01, jitter=False)
    return NativeEngine(Client(config=RegistryConfig.from_environment({}), policy=policy))


def run(*targets, **options):
    return Pipeline(Plan(targets), engine(), options=PipelineOptions(jobs=8, **options)).execute()


async def test_forty_random_failures_while_tags_move_leave_every_tag_restored_or_listed():
    failed = 0
    async with EmbeddedRegistry() as source, EmbeddedRegistry(seed=1) as one, EmbeddedRegistry(seed=2) as two:
        for number in range(RUNS):
            draw, path = random.Random(number), f"acme/app-{number}"
            old = encode_index((), {"annotations": {"n": str(number)}}, media_type=mt.OCI_INDEX)
            for place in (one, two):
                place.put_manifest(path, old.raw, "a", "b", "latest", media_type=mt.OCI_INDEX)
            before = [place.tags(path) for place in (one, two)]
            rules = [
                place.fault(method, f"{path}/manifests/{tag}", then=Refuse(403, "DENIED"), skip=draw.randrange(2))
                for place in (one, two)
                for tag in ("a", "b", "new", "latest")
                for method, chance in (("PUT", 0.25), ("DELETE", 0.4))
                if draw.random() < chance
            ]
            targets = [
                add_target(source, (one, two), "a", tags=("a", "new"), path=path),
                add_target(source, (one, two), "b", tags=("b", "latest"), path=path),
            ]
            outcome = await run(*targets, whole=Whole.RUN)
            lines = outcome_lines(outcome)
            failed += outcome.exit_code != ExitCode.DONE
            for place, was in zip((one, two), before, strict=True):
                for tag, digest in place.tags(path).items():
                    restored = was.get(tag) == digest
                    listed = f"not restored: {place.address}/{path}:{tag}: " in lines
                    assert (restored or listed) == (outcome.exit_code != ExitCode.DONE), (number, tag, lines, rules)
                assert was.keys() <= place.tags(path).keys()
    assert failed > RUNS / 2


@pytest.mark.timeout(300)
async def test_the_newer_of_two_runs_that_race_for_a_tag_has_it_at_the_end_fifty_times():
    async with EmbeddedRegistry() as source, EmbeddedRegistry(seed=3) as place:
        place.fault("PUT", "/manifests/latest", then=Wait(0.2), probability=0.3)
        place.fault("*", "/manifests/", then=Wait(0.05), probability=0.3)

        async def race(number: int) -> None:
            path = f"acme/app-{number}"
            old = encode_index((), {"annotations": {"org.opencontainers.image.created": "1970-01-01T00:00:00Z"}})
            place.put_manifest(path, old.raw, "latest", media_type=mt.OCI_INDEX)
            planned = add_target(source, (place,), f"{number}", tags=("latest",), path=path)
            planned = replace(planned, policy=TagPolicy(if_newer=True))
            both = await asyncio.gather(
                *(run(planned, assembly=AssemblyOptions(source_date_epoch=time)) for time in (1_000_000, 2_000_000))
            )
            newer = both[1].targets[0]
            assert place.tags(path)["latest"] == newer.digest, number
            assert both[1].exit_code == ExitCode.DONE
            written = [
                one for one in place.requests if one.method == "PUT" and one.path.endswith(f"{path}/manifests/latest")
            ]
            assert len(written) <= 3, "a tag is put back once"

        await asyncio.gather(*(race(number) for number in range(RACES)))


async def test_a_set_under_faults_leaves_no_task_and_no_descriptor():
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async with EmbeddedRegistry() as source, EmbeddedRegistry(seed=4) as one, EmbeddedRegistry(seed=5) as two:
        targets = [add_target(source, (one, two), f"{n}", tags=(f"{n}",), path=f"acme/{n}") for n in range(30)]
        await run(targets[0], whole=Whole.RUN)
        before, tasks = descriptors(), len(asyncio.all_tasks())
        for place in (one, two):
            place.fault(then=Refuse(503), probability=0.02)
            place.fault(then=Drop(), probability=0.02)
        two.fault("PUT", "/manifests/7", then=Refuse(403, "DENIED"))
        outcome = await run(*targets, whole=Whole.RUN)
        assert outcome.exit_code != ExitCode.DONE
        async with asyncio.timeout(10):
            while (
                len(asyncio.all_tasks()) > tasks or descriptors() > before
            ):  # the registries notice closed connections
                await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=0.01)
