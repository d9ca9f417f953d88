"""A rehearsal is a real publish inside the process: it survives faults, and takes real builds."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from bakery.app.rehearse import (
    TEMPORARY,
    Rehearsal,
    RehearseRequest,
    make_image,
    of_project,
    rehearse,
    rehearse_request,
)
from bakery.config.load import load_project
from bakery.errors import UsageError
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
    done = await rehearse(Rehearsal(of_project(targets())), policy=POLICY, emit=ignore)
    assert {target.uid for target in done.outcome.targets} == {target.uid for target in targets()}
    assert {target.state for target in done.outcome.targets} == {State.PUBLISHED}
    assert set(done.stand_ins) == {"ghcr.io", "docker.io", TEMPORARY}
    assert all(len(target.destinations) == 2 for target in done.outcome.targets)


async def test_equal_rehearsals_yield_equal_digests():
    first, second = [await rehearse(Rehearsal(of_project(targets())), policy=POLICY, emit=ignore) for _ in range(2)]
    assert [one.digest for one in first.outcome.targets] == [one.digest for one in second.outcome.targets]
    assert make_image("a", "linux/arm64") == make_image("a", "linux/arm64")


@pytest.mark.parametrize("kind", ["attested", "plain"])
async def test_builds_of_a_real_buildx_are_published_with_both_platforms(kind):
    metadata = read_metadata(find_files([f"builds/{kind}-*.json"], HELLO))
    hello = [target for target in targets() if target.image == "hello"]
    rehearsal = Rehearsal(of_project(hello), metadata, HELLO / "builds" / "layout")
    done = await rehearse(rehearsal, policy=POLICY, emit=ignore)
    assert {target.state for target in done.outcome.targets} == {State.PUBLISHED}, done.outcome.failures
    for target in done.outcome.targets:
        assert [item.platform for item in target.platforms] == ["linux/amd64", "linux/arm64"]
    assert "registry.example" in done.stand_ins


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["ghcr", "hub", "ecr", "flaky"])
async def test_the_faults_of_real_registries_are_survived(profile):
    done = await rehearse(Rehearsal(of_project(targets()), faults=profile, seed=1), policy=POLICY, emit=ignore)
    assert {target.state for target in done.outcome.targets} == {State.PUBLISHED}, done.outcome.failures


BAKE = {
    "target": {
        "App": {
            "tags": ["ghcr.io/acme/app:1.0", "quay.io/acme/app:latest"],
            "platforms": ["linux/amd64", "linux/s390x"],
        },
        "db": {"tags": ["ghcr.io/acme/db"]},
        "base": {},
    }
}


def rehearsed(**request):
    """Rehearse in this process. Return the state, repositories and platforms of each target."""
    done = rehearse_request(RehearseRequest(**request, environment={}))
    assert TEMPORARY in done.stand_ins
    return {
        target.uid: (
            target.state,
            [place.repository.path for place in target.destinations],
            [item.platform for item in target.platforms],
        )
        for target in done.outcome.targets
    }


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_each_target_of_a_bake_file_is_built_for_its_platforms_and_published_to_its_tags(tmp_path, source):
    file = tmp_path / "bake.json"
    file.write_text(json.dumps(BAKE))
    what = {"bake": str(file)} if source == "file" else {"bake": "-", "stdin": file.read_bytes()}
    assert rehearsed(**what) == {
        "App": (State.PUBLISHED, ["acme/app", "acme/app"], ["linux/amd64", "linux/s390x"]),
        "db": (State.PUBLISHED, ["acme/db"], ["linux/amd64", "linux/arm64"]),
    }


def test_an_image_is_built_for_the_required_platforms_and_published_to_its_tags():
    done = rehearsed(tag=("ghcr.io/acme/app:1.2,latest", "quay.io/acme/app:1.2"), require_platform=("linux/riscv64",))
    assert done == {"ghcr.io/acme/app:1.2": (State.PUBLISHED, ["acme/app", "acme/app"], ["linux/riscv64"])}


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"bake": "b.json", "tag": ("x/y:1",)}, "cannot combine --bake and --tag"),
        ({"bake": "b.json", "image_name": "x"}, "cannot combine --bake: it excludes a project and --image-name"),
        ({"tag": ("x/y:1",), "project": HELLO}, "cannot combine --tag: it excludes a project and --image-name"),
        ({"require_platform": ("linux/amd64",)}, "cannot use --require-platform: the project says what is built"),
        ({"tag": ("x/y:1",), "require_platform": ("linux",)}, "invalid value for --require-platform 'linux'"),
        ({"tag": ("x/y:1",), "metadata": ("m.json",)}, "--metadata needs --layout"),
    ],
)
def test_what_cannot_be_rehearsed_together_is_wrong_usage(request_, says):
    with pytest.raises(UsageError, match=re.escape(says)):
        rehearse_request(RehearseRequest(**request_))


def test_the_command_reads_a_bake_file_from_stdin(tmp_path):
    done = subprocess.run(
        [*PROGRAM, "rehearse", "--bake", "-"], input=json.dumps(BAKE), cwd=tmp_path,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Rehearsal completed · 2 published" in done.stderr


def test_the_command_prints_a_table_for_people_and_json_for_machines():
    command = [*PROGRAM, "rehearse", str(HELLO)]
    done = subprocess.run(
        [*command, "--summary-format", "json"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["targets"]) == 3
    assert "Rehearsal completed" in done.stderr
