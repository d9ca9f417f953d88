"""What a run of a workflow needs: the sources of our actions, a tool cache that runs share, stand-ins of programs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bakery.oci import manifest as views
from bakery.oci.manifest import Index
from bakery.rehearsal import EmbeddedRegistry
from tests.engines.workload import add_image, layer
from tests.install.trees import copy_tree
from tests.peers.builder import BuildKit, build_kit
from tests.peers.programs import need
from tests.workflows.runner import Runner

PLATFORMS = ("linux/amd64", "linux/arm64")

# A build is what was recorded: the metadata file for this job's ID, if the build succeeded. `docker login` is noted.
BAKERY = """#!/bin/bash
[ "$1" = build ] || PATH=${PATH#*:} exec bakery "$@"
while [ "$1" != --metadata-file ]; do shift; done
echo '{"format": 2, "kind": "build", "targets": []}'
cp "$RECORDED/$ID.json" "$2"
"""
DOCKER = """#!/bin/bash
set -e
case "$1 $2 $3" in
"context create "* | "buildx create "*) echo "$*" >>"$NOTES" ;;
login*) echo "login $2 $4 $(cat)" >>"$NOTES" ;;
"buildx bake --print") cat "$RECORDED/bake.json" ;;
buildx*)
    while [ "$1" != --metadata-file ]; do shift; done
    name=${2##*/}
    [ -e "$RECORDED/$ID/$name" ] || name=metadata.json
    cp "$RECORDED/$ID/$name" "$2" ;;
esac
"""
# buildx by itself is what the Docker CLI runs; a login is not needed here.
REAL_DOCKER = """#!/bin/bash
[ "$1" = buildx ] || exit 0
shift
export BUILDX_BUILDER=tests DOCKER_CONFIG={config} HOME={home}
exec {buildx} "$@"
"""


COSIGN = """#!/bin/bash
echo "cosign $*" >>"$NOTES"
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the test come last that compares what the others ran with the files."""
    items.sort(key=lambda item: item.name == "test_every_script_is_run_by_a_test")


@dataclass
class Scene:
    """Two registries to publish to, one of builds, and a folder of recorded metadata."""

    folder: Path
    one: EmbeddedRegistry
    two: EmbeddedRegistry
    builds: EmbeddedRegistry

    @property
    def recorded(self) -> Path:
        return self.folder / "recorded"

    @property
    def notes(self) -> str:
        notes = self.folder / "notes"
        return notes.read_text() if notes.exists() else ""

    def build(self, repository: str, platform: str, salt: str = "") -> dict[str, Any]:
        """Push an image by digest as a build does, and return what buildx writes about it."""
        text = f"{repository} {platform} {salt}"
        pushed = add_image(self.builds, repository, platform, layers=[layer(text)], salt=text)
        descriptor = pushed.to_json()
        os_name, architecture = platform.split("/")
        descriptor["platform"] = {"os": os_name, "architecture": architecture}
        return {
            "image.name": f"{self.builds.address}/{repository}",
            "containerimage.digest": str(pushed.digest),
            "containerimage.descriptor": descriptor,
        }

    def record(self, name: str, metadata: dict[str, Any]) -> None:
        file = self.recorded / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(metadata))

    def shims(self, **programs: str) -> str:
        """Write programs, and return the part of PATH that finds them: `bakery` alone first, as it calls the next."""
        for name, text in programs.items():
            file = self.folder / ("first" if name == "bakery" else "shims") / name
            file.parent.mkdir(exist_ok=True)
            if text:
                file.write_text(text)
                file.chmod(0o755)
        return f"{self.folder}/first:{self.folder}/shims"


def platforms(registry: EmbeddedRegistry, repository: str, tag: str) -> list[str]:
    """Return the platforms of a published image, without its attestations."""
    view = views.parse(registry.manifest(repository, tag)[1])
    assert isinstance(view, Index)
    return [str(entry.platform) for entry in view.manifests if str(entry.platform) != "unknown/unknown"]


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository as a runner has it for `$/`: without git."""
    return copy_tree(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tool cache of the runners: the first run installs Bakery, others find it."""
    return tmp_path_factory.mktemp("tools")


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with EmbeddedRegistry() as one, EmbeddedRegistry() as two, EmbeddedRegistry() as builds:
        yield Scene(tmp_path, one, two, builds)


def runner(scene: Scene, sources: Path, tools: Path, project: Path, **programs: str) -> Runner:
    """Return a runner on which builds are recorded ones, unless other programs are given."""
    shims = scene.shims(**({"bakery": BAKERY, "docker": DOCKER, "cosign": COSIGN} | programs))
    variables = {"HOME": str(scene.folder), "RECORDED": str(scene.recorded), "NOTES": str(scene.folder / "notes")}
    return Runner(scene.folder / "run", sources=sources, project=project, shims=shims, tools=tools, variables=variables)


@pytest.fixture(scope="session")
def buildkit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BuildKit]:
    """A BuildKit for the tests of this folder."""
    with build_kit(tmp_path_factory.mktemp("buildkit")) as daemon:
        yield daemon


def real(daemon: BuildKit) -> dict[str, str]:
    """Return the programs of a runner whose builds are made by this BuildKit."""
    environment = daemon.environment
    docker = REAL_DOCKER.format(config=environment["DOCKER_CONFIG"], home=environment["HOME"], buildx=need("buildx"))
    return {"docker": docker, "bakery": ""}  # the installed one
