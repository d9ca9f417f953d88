"""Images without a bakery.yaml: `imagetools create` and `publish --bake`, and buildx, which they replace."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.peers.programs import need

from bench.contenders import BAKERY, HERE, Measured, measure
from bench.scene import Scene, environment_for
from bench.workload import BuiltTarget, write_plan, write_project

_LIMIT_S = 30


class FiveTags(BuiltTarget):
    """A target with one more tag."""

    @property
    def tags(self) -> tuple[str, ...]:
        return (*super().tags, "latest")


def buildx(scene: Scene, targets: Sequence[BuiltTarget]) -> Measured:
    """Run `buildx imagetools create` for each target, eight at a time."""
    plan = scene.folder / "plan.tsv"
    write_plan(plan, targets, scene.source, scene.destinations)
    environment = scene.environment | {"BUILDX": str(need("buildx"))}
    return measure("buildx", [HERE / "peers" / "buildx-create", plan], environment, scene.folder)


def create(scene: Scene, targets: Sequence[BuiltTarget]) -> Measured:
    """Run `bakery imagetools create` for one target."""
    (target,) = targets
    command: list[str | Path] = [BAKERY, "imagetools", "create"]
    for host in scene.destinations:
        command += ["-t", f"{host}/{target.repository}:{','.join(target.tags)}"]
    command += [f"{scene.source}/{target.source_repository}@{built.digest}" for built in target.builds]
    return measure("ours", command, scene.environment, scene.folder)


def bake(scene: Scene, targets: Sequence[BuiltTarget]) -> Measured:
    """Run `bakery publish --bake` with a bake file of all targets."""
    metadata = write_project(scene.folder / "metadata", targets, scene.source, scene.destinations)
    baked = {
        target.uid: {
            "tags": [f"{host}/{target.repository}:{tag}" for host in scene.destinations for tag in target.tags],
            "platforms": [f"linux/{built.architecture}" for built in target.builds],
        }
        for target in targets
    }
    file = scene.folder / "bake.json"
    file.write_text(json.dumps({"target": baked}))
    return measure("ours", [BAKERY, "publish", "--bake", file, *metadata], scene.environment, scene.folder)


def first_request_s(folder: Path) -> float:
    """Return the seconds from the start of `bakery imagetools create` to the first bytes of its first request."""
    environment = environment_for(folder, [], None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(_LIMIT_S)
        host = f"127.0.0.1:{server.getsockname()[1]}"
        command = [str(BAKERY), "imagetools", "create", "-t", f"{host}/app:1", f"{host}/tmp@sha256:{'0' * 64}"]
        started = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(_LIMIT_S)
                connection.recv(1)
                return time.perf_counter() - started
        finally:
            process.kill()
            process.wait()
