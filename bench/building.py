"""The row `build`: `bakery build` of trivial targets, next to `buildx bake` of the same plan on the same BuildKit."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.peers.builder import build_kit
from tests.peers.programs import need

from bakery.app.build import BuildRequest, plan_build
from bakery.build.builder import find_builder
from bakery.build.options import BuildOptions
from bench.contenders import BAKERY, Measured, measure
from bench.scene import KIND, start, storage

TARGETS = 20
_HEAD = """\
repository: {{url: https://example.com/acme, vendor: Acme, maintainer: bench@example.com}}
registries: [{{host: {host}, namespace: acme}}]
images:
"""
_IMAGE = """\
  - name: {name}
    versions: [{{name: "1.0", latest: true, os: [{{name: "Ubuntu 24.04", platforms: [linux/amd64]}}]}}]
"""


class Bakehouse:
    """A project of trivial images, a registry, and the environment of a machine where buildx is by itself."""

    def __init__(self, folder: Path, host: str, environment: dict[str, str]) -> None:
        self.folder, self.host = folder, host
        path = f"{need('buildx').parent}{os.pathsep}{os.defpath}"
        self.environment = environment | {"PATH": path, "BUILDX_BUILDER": "tests", "BAKERY_DOCKER": "buildx"}
        self.names = [f"image{number:02}" for number in range(TARGETS)]
        self.options = BuildOptions(push=True, temp_registry=host)
        self.built = 0
        (folder / "bakery.yaml").write_text(
            _HEAD.format(host=host) + "".join(_IMAGE.format(name=name) for name in self.names)
        )
        for name in self.names:
            (folder / name / "1.0").mkdir(parents=True)
            text = f"FROM scratch\nLABEL name={name}\nCOPY {name}/1.0/content /content\n"
            (folder / name / "1.0" / "Containerfile.ubuntu2404").write_text(text)
        self.fresh()
        words = [str(BAKERY), "build", "--plan", "--push", "--temp-registry", host]
        plan = subprocess.run(words, env=self.environment, cwd=folder, check=True, capture_output=True, timeout=60)
        (folder / "plan.json").write_bytes(plan.stdout)

    def fresh(self) -> None:
        """Give every image new content, so that nothing comes from the cache."""
        self.built += 1
        for name in self.names:
            (self.folder / name / "1.0" / "content").write_text(f"{name} {self.built}\n")

    def run(self, name: str, words: Sequence[object]) -> Measured:
        """Measure one build, and check that its metadata file has every target."""
        self.fresh()
        file = self.folder / f"{name}-metadata.json"
        file.unlink(missing_ok=True)
        command = [*map(str, words), "--metadata-file", str(file)]
        result = measure(name, command, self.environment, self.folder)
        found = len(json.loads(file.read_text())) if file.exists() else 0
        if result.exit_code or found != TARGETS:
            result.problems.append(f"exit {result.exit_code}, {found} targets: {result.output[-600:]}")
        return result

    def preflight_s(self) -> float:
        """Return how long it takes to find the program and look whether its builder runs."""
        plan = plan_build(BuildRequest(self.folder, options=self.options))
        began = time.perf_counter()
        asyncio.run(find_builder(plan, self.environment))
        return time.perf_counter() - began


def contest(repeat: int) -> tuple[list[Measured], list[Measured], list[Measured], list[float]]:
    """Measure bare bake, ours, and ours with a summary, alternately; and as often the preflight."""
    with tempfile.TemporaryDirectory(prefix="bakery-bench-build-", dir=storage()) as place:
        root = Path(place)
        with build_kit(root / "buildkit") as daemon, start(KIND, root / "registry", None, None) as registry:
            (root / "project").mkdir()
            house = Bakehouse(root / "project", registry.host, daemon.environment)
            bake = [need("buildx"), "bake", "--progress", "plain", "--file", "plan.json"]
            build = [BAKERY, "build", "--push", "--temp-registry", registry.host]
            house.run("first", bake)  # BuildKit's first build is slower
            peers, own, told, preflights = [], [], [], []
            for _ in range(repeat):
                peers.append(house.run("buildx bake", bake))
                own.append(house.run("ours", build))
                told.append(house.run("ours, summary", [*build, "--summary"]))
                preflights.append(house.preflight_s())
            return peers, own, told, preflights


def overhead_note(own: Sequence[Measured], told: Sequence[Measured], preflights: Sequence[float]) -> str:
    """Return what preflight and summary take, as a share of a build."""
    whole = statistics.median(one.wall_s for one in told)
    summary = max(0.0, whole - statistics.median(one.wall_s for one in own))
    preflight = statistics.median(preflights)
    share = (preflight + summary) / whole
    return f"preflight {preflight:.3f} s, summary {summary:.3f} s: {share:.1%} of the build (goal: under 5 %)"
