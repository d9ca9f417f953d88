"""Runs `bakery ci publish` as users do, as a separate process, between real registries."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.check import Reader, problems
from bench.workload import BuiltTarget, write_project

from tests.peers.programs import ROOT, need
from tests.peers.registries import AccessLogEntry, Basic, RealRegistry, docker_auths
from tests.peers.tokens import TokenService

BAKERY = Path(sys.executable).with_name("bakery")
WRITES = ("PUT", "POST", "PATCH", "DELETE")


@dataclass
class Done:
    """A finished run."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass
class Kitchen:
    """A project, its builds in `source`, and its destinations."""

    folder: Path
    source: RealRegistry
    destinations: Sequence[RealRegistry]
    targets: Sequence[BuiltTarget] = ()
    metadata: list[Path] = field(default_factory=list)
    hosts: Sequence[str] = ()  # addresses of the destinations in bakery.yaml, if they differ from the registries' own

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.targets:
            hosts = self.hosts or [one.host for one in self.destinations]
            self.metadata = write_project(self.folder, self.targets, self.source.host, hosts)

    def environment(self, auth: Basic | TokenService | None = None) -> dict[str, str]:
        """Return an environment with a separate home, which only has the logins of the registries."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        logins: dict[str, object] = {}
        for registry in (self.source, *self.destinations):
            if (login := auth or registry.auth) is not None:
                logins |= docker_auths(registry.host, login)
        (home / "config.json").write_text(json.dumps({"auths": logins}))
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        environment = kept | {"HOME": str(home), "DOCKER_CONFIG": str(home), "PYTHONPATH": str(ROOT / "src")}
        if isinstance(self.source.auth, TokenService):
            environment["BAKERY_TRUSTED_REALMS"] = self.source.auth.realm.rpartition("/")[0]
        return environment

    def command(self, *options: object) -> list[str]:
        arguments = ("ci", "publish", "--context", self.folder, *options, *self.metadata)
        return [str(BAKERY), *map(str, arguments)]

    def publish(
        self, *options: object, auth: Basic | TokenService | None = None, timeout_s: float = 120, **variables: str
    ) -> Done:
        done = subprocess.run(
            self.command(*options),
            env=self.environment(auth) | variables,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def publish_and_be_killed(self, after_requests: int, *, timeout_s: float = 60) -> int:
        """Start a run and `kill -9` it after this many requests to the destinations. Return the exit code."""
        process = subprocess.Popen(
            self.command(),
            env=self.environment(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while process.poll() is None:
                if sum(len(one.requests()) for one in self.destinations) >= after_requests:
                    process.send_signal(signal.SIGKILL)
                    break
                if timeout_s < 0:
                    raise AssertionError("the run neither ended nor sent enough requests")
                try:
                    timeout_s -= 0.002
                    process.wait(0.002)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            process.kill()
            process.wait()
        return process.returncode

    def problems(self, targets: Sequence[BuiltTarget] | None = None) -> list[str]:
        """Return what a third-party reader finds wrong at the running destinations."""
        tokens = isinstance(self.source.auth, TokenService)
        need("oras" if tokens else "crane")
        readers = [Reader(one.host, self.environment(), one, tokens) for one in self.destinations]
        return problems(self.targets if targets is None else targets, readers)


def written(registries: Sequence[RealRegistry]) -> list[AccessLogEntry]:
    """Return every request that could have changed something."""
    return [one for registry in registries for one in registry.requests() if one.method in WRITES]
