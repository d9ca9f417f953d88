"""A real BuildKit for tests: buildkitd without Docker, and buildx as its client. Needs root and runc.

Images are FROM scratch with COPY, so that they can be built for any platform; attested builds run no container either.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers.programs import need, required

ARCHITECTURES = ("amd64", "arm64")
_START_S = 60


@dataclass(frozen=True)
class BuildKit:
    """A running daemon, which buildx knows as `tests`. registry hosts are plain HTTP."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        return kept | {"HOME": str(self.folder), "DOCKER_CONFIG": str(self.folder / "docker")}

    def bake(self, file: Path, *options: object) -> None:
        """Run `buildx bake` on a bake file."""
        _run(
            ["bake", "--builder", "tests", "--progress", "plain", "-f", str(file), *map(str, options)],
            self,
            file.parent,
        )


def buildx(*words: object, environment: Mapping[str, str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run buildx, whatever its exit code is."""
    return subprocess.run(
        [str(need("buildx")), *map(str, words)],
        env=dict(environment), cwd=cwd, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def _run(words: Sequence[str], daemon: BuildKit, cwd: Path | None = None) -> str:
    done = buildx(*words, environment=daemon.environment, cwd=cwd)
    if done.returncode:
        raise AssertionError(f"buildx {' '.join(words)} exited with {done.returncode}: {done.stderr[-3000:]}")
    return done.stdout


@contextmanager
def build_kit(folder: Path) -> Iterator[BuildKit]:
    """Run buildkitd until the block ends. Skips the test where it cannot run; an error if peers are required."""
    programs = [need(name) for name in ("buildkitd", "buildctl", "buildx", "runc")]
    if os.geteuid() != 0:
        _cannot("buildkitd needs root here")
    (folder / "docker").mkdir(parents=True, exist_ok=True)
    config = folder / "buildkitd.toml"
    worker = 'snapshotter = "native"\nrootless = true\nnoProcessSandbox = true\n'
    config.write_text(f"[worker.oci]\n{worker}[worker.containerd]\nenabled = false\n")
    socket = f"unix://{folder}/buildkitd.sock"
    places = ["--addr", socket, "--root", str(folder / "root"), "--config", str(config)]
    command = [str(programs[0]), *places, "--oci-worker-net", "host"]
    daemon = BuildKit(folder)
    with (folder / "buildkitd.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=daemon.environment)
        try:
            _await_start(process, [str(programs[1]), "--addr", socket, "debug", "workers"], folder / "buildkitd.log")
            _run(["create", "--name", "tests", "--driver", "remote", socket], daemon)
            yield daemon
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await_start(process: subprocess.Popen[bytes], look: Sequence[str], log: Path) -> None:
    until = time.monotonic() + _START_S
    while subprocess.run(look, capture_output=True, check=False, timeout=_START_S).returncode:
        if process.poll() is not None or time.monotonic() > until:
            _cannot(f"buildkitd does not start here: {log.read_text('utf-8', 'replace')[-1500:]}")
        time.sleep(0.1)


def _cannot(reason: str) -> None:
    if required():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def push_scanner(daemon: BuildKit, folder: Path, reference: str) -> None:
    """Push an SBOM generator: a shell without programs, which writes a fixed SPDX document.

    Source: BuildKit's scanner protocol (docs/attestations/sbom-protocol.md of its repository)
    """
    folder.mkdir()
    needed = subprocess.run(["ldd", "/bin/sh"], capture_output=True, text=True, check=True, timeout=60).stdout
    files = ["/bin/sh", *re.findall(r"(/\S+) \(0x", needed)]
    for file in files:
        (folder / file[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / file[1:])
        (folder / file[1:]).chmod(0o755)
    predicate = {"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "bread", "packages": []}
    statement = {"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://spdx.dev/Document"}
    script = f"echo '{json.dumps({**statement, 'predicate': predicate})}' >$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json"
    copies = "".join(f"COPY {file[1:]} {file}\n" for file in files)
    entry = json.dumps(["/bin/sh", "-c", script])
    (folder / "Dockerfile").write_text(f"FROM scratch\n{copies}ENTRYPOINT {entry}\n")
    output = f"type=image,name={reference},push=true"
    _run(["build", "--builder", "tests", "--provenance=false", "--output", output, str(folder)], daemon)


def write_bake(folder: Path, tags: Mapping[str, Sequence[str]], registry: str, scanner: str) -> dict[str, Path]:
    """Write a context, and for each architecture a bake file that pushes every target by digest, attested.

    tags: by target. `docker-bake.json` gets the tags and both platforms of every target. Return the file of each
    architecture.
    """
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nARG NAME\nCOPY content /content\nLABEL name=$NAME\n")
    (folder / "content").write_text("bread\n")

    def target(name: str, architectures: Sequence[str]) -> dict[str, object]:
        platforms = [f"linux/{architecture}" for architecture in architectures]
        return {"context": str(folder), "args": {"NAME": name}, "platforms": platforms}

    whole = {name: {**target(name, ARCHITECTURES), "tags": list(listed)} for name, listed in tags.items()}
    (folder / "docker-bake.json").write_text(json.dumps({"target": whole}))
    files = {}
    for architecture in ARCHITECTURES:
        parts = {
            name: {
                **target(name, [architecture]),
                "output": [f"type=image,name={registry}/tmp/{name},push-by-digest=true,name-canonical=true,push=true"],
                "attest": ["type=provenance,mode=max", f"type=sbom,generator={scanner}"],
            }
            for name in tags
        }
        files[architecture] = folder / f"bake-{architecture}.json"
        files[architecture].write_text(json.dumps({"group": {"default": {"targets": list(tags)}}, "target": parts}))
    return files
