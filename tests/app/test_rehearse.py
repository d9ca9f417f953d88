"""A rehearsal is a real publish inside the process: it survives faults, and takes real builds."""

import json
import subprocess
from pathlib import Path

import pytest

from bakery.app.rehearse import TEMPORARY, Rehearsal, make_image, rehearse
from bakery.config.load import load_project
from bakery.events import ignore
from bakery.publish.outcome import State
from bakery.retry import RetryPolicy
from bakery.targets.expand import defined_targets
from bakery.targets.metadata import find_files, read_metadata
from tests.program import PROGRAM

HELLO = Path(__file__).parents[2] / "examples" / "hello"
POLICY = RetryPolicy(base_delay=0.01)


def targets():
    return defined_targets(load_project(HELLO))


async def test_every_target_of_a_project_reaches_every_registry_that_it_names():
    done = await rehearse(Rehearsal(targets()), policy=POLICY, emit=ignore)
    assert {target.uid for target in done.outcome.targets} == {target.uid for target in targets()}
    assert {target.state for target in done.outcome.targets} == {State.PUBLISHED}
    assert set(done.stand_ins) == {"ghcr.io", "docker.io", TEMPORARY}
    assert all(len(target.destinations) == 2 for target in done.outcome.targets)


async def test_equal_rehearsals_yield_equal_digests():
    first, second = [await rehearse(Rehearsal(targets()), policy=POLICY, emit=ignore) for _ in range(2)]
    assert [one.digest for one in first.outcome.targets] == [one.digest for one in second.outcome.targets]
    assert make_image("a", "linux/arm64") == make_image("a", "linux/arm64")


@pytest.mark.parametrize("kind", ["attested", "plain"])
async def test_builds_of_a_real_buildx_are_published_with_both_platforms(kind):
    metadata = read_metadata(find_files([f"builds/{kind}-*.json"], HELLO))
    hello = [target for target in targets() if target.image == "hello"]
    rehearsal = Rehearsal(hello, metadata, HELLO / "builds" / "layout")
    done = await rehearse(rehearsal, policy=POLICY, emit=ignore)
    assert {target.state for target in done.outcome.targets} == {State.PUBLISHED}, done.outcome.failures
    for target in done.outcome.targets:
        assert [item.platform for item in target.platforms] == ["linux/amd64", "linux/arm64"]
    assert "registry.example" in done.stand_ins


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["ghcr", "hub", "ecr", "flaky"])
async def test_the_faults_of_real_registries_are_survived(profile):
    done = await rehearse(Rehearsal(targets(), faults=profile, seed=1), policy=POLICY, emit=ignore)
    assert {target.state for target in done.outcome.targets} == {State.PUBLISHED}, done.outcome.failures


def test_the_command_prints_a_table_for_people_and_json_for_machines():
    command = [*PROGRAM, "rehearse", str(HELLO)]
    done = subprocess.run(
        [*command, "--summary-format", "json"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["targets"]) == 3
    assert "Rehearsal completed" in done.stderr
