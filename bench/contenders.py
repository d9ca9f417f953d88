"""The contenders: a regctl script, an oras pipeline, and ours; and how one process is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers.programs import ROOT, need

from bench.scene import Scene, Traffic
from bench.workload import BuiltTarget, write_plan, write_project

HERE = Path(__file__).parent
BAKERY = ROOT / ".venv" / "bin" / "bakery"


@dataclass
class Measured:
    """One run of a contender. Memory is the peak of its largest process, CPU the total of all its processes."""

    name: str
    exit_code: int
    wall_s: float
    cpu_s: float
    peak_bytes: int
    output: str
    registry_cpu_s: float = 0.0
    traffic: Traffic | None = None
    token_requests: int | None = None
    problems: list[str] = field(default_factory=list)


def measure(
    name: str, command: Sequence[str | Path], environment: dict[str, str], folder: Path, *, limit_s: int = 900
) -> Measured:
    """Run a command and measure it. Its output goes to a file: a full pipe would slow it down."""
    log, result = folder / f"{name}.log", folder / f"{name}.json"
    with log.open("wb") as output:
        subprocess.run(
            [sys.executable, "-I", "-S", HERE / "stopwatch.py", result, str(limit_s), *command],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=True,
        )
    return Measured(name=name, output=log.read_text("utf-8", "replace")[-3000:], **json.loads(result.read_text()))


def script(scene: Scene, targets: Sequence[BuiltTarget]) -> Measured:
    """Run the shell script with regctl, eight targets at a time."""
    plan = scene.folder / "plan.tsv"
    write_plan(plan, targets, scene.source, scene.destinations)
    return measure("script", [HERE / "peers" / "script", plan], scene.environment, scene.folder)


def pipeline(scene: Scene, targets: Sequence[BuiltTarget]) -> Measured:
    """Run the pipeline of oras commands, which copies and verifies serially."""
    plan = scene.folder / "plan.tsv"
    write_plan(plan, targets, scene.source, scene.destinations)
    return measure("pipeline", [HERE / "peers" / "pipeline", plan], scene.environment, scene.folder)


def ours(scene: Scene, targets: Sequence[BuiltTarget], *options: str | Path) -> Measured:
    """Run `bakery ci publish` with its defaults, and these options."""
    project = scene.folder / "project"
    metadata = write_project(project, targets, scene.source, scene.destinations)
    command: list[str | Path] = [BAKERY, "ci", "publish", "--context", project, *options, *metadata]
    return measure("ours", command, scene.environment, scene.folder)


def rollback(scene: Scene, journal: Path) -> Measured:
    """Run `bakery rollback`: every tag is read, what it goes back to is read, it is written and read back."""
    return measure("ours-rollback", [BAKERY, "rollback", "--yes", journal], scene.environment, scene.folder)


def rollback_script(scene: Scene, plan: Path) -> Measured:
    """Run the shell script with regctl, eight tags at a time: a tag is read, and written if it names what we put."""
    return measure("script-rollback", [HERE / "peers" / "rollback", plan], scene.environment, scene.folder)


def pipeline_soci(scene: Scene, targets: Sequence[BuiltTarget]) -> Measured:
    """Run the pipeline of oras and soci commands, four conversions at a time."""
    plan = scene.folder / "plan.tsv"
    write_plan(plan, targets, scene.source, scene.destinations)
    environment = scene.environment | {"ORAS": str(need("oras")), "SOCI": str(need("soci")), "TZ": "UTC"}
    return measure("pipeline-soci", [HERE / "peers" / "pipeline-soci", plan], environment, scene.folder)


def ours_soci(scene: Scene, targets: Sequence[BuiltTarget]) -> Measured:
    """Run `bakery ci publish` with SOCI enabled for every target."""
    project = scene.folder / "project"
    metadata = write_project(project, targets, scene.source, scene.destinations, soci=True)
    command: list[str | Path] = [BAKERY, "ci", "publish", "--context", project, *metadata]
    return measure("ours-soci", command, scene.environment, scene.folder)


def ours_cli(scene: Scene, targets: Sequence[BuiltTarget]) -> Measured:
    """Run `bakery ci publish --engine cli` with its defaults: our pipeline, with oras doing the work."""
    project = scene.folder / "project"
    metadata = write_project(project, targets, scene.source, scene.destinations)
    command: list[str | Path] = [BAKERY, "ci", "publish", "--engine", "cli", "--context", project, *metadata]
    return measure("ours-cli", command, scene.environment | {"ORAS_PATH": str(need("oras"))}, scene.folder)
