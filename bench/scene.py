"""The registries that a contender publishes from and to: close or behind the relay, with or without bearer tokens."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.peers.programs import ROOT, find
from tests.peers.registries import Certificate, RealRegistry, docker_auths, serve
from tests.peers.tokens import TokenService

KIND = "distribution"  # the registry of every row, except those with faults
_ROOM_BYTES = 6 << 30  # needed by the largest row


def storage() -> Path:
    """Return where registries store their content: in memory if there is room, so that no row measures the disk."""
    memory = Path("/dev/shm")
    if "TMPDIR" not in os.environ and memory.is_dir() and shutil.disk_usage(memory).free > _ROOM_BYTES:
        return memory
    return Path(tempfile.gettempdir())


@dataclass
class Traffic:
    """The traffic that the relay counted."""

    requests: Counter[str] = field(default_factory=Counter)
    sent_bytes: int = 0
    received_bytes: int = 0
    connections: int = 0


class Helper:
    """A process of the bench (`bench.relay`, `bench.faulty`): prints its addresses, then a line of JSON per command."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self.hosts: tuple[str, ...] = tuple(json.loads(process.stdout.readline()))

    def traffic(self) -> Traffic:
        total = Traffic()
        for one in self.command("stats"):
            total.requests.update(one["requests"])
            total.sent_bytes += one["sent_bytes"]
            total.received_bytes += one["received_bytes"]
            total.connections += one["connections"]
        return total

    def command(self, word: str) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(word + "\n")
        stdin.flush()
        return json.loads(stdout.readline())


@contextmanager
def helper(module: str, *arguments: object) -> Iterator[Helper]:
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Helper(process)
        finally:
            process.kill()


def relay(round_trip_s: float, upstreams: Sequence[str]) -> AbstractContextManager[Helper]:
    return helper("bench.relay", round_trip_s, *upstreams)


@dataclass
class Scene:
    """The addresses that the contender uses, and the registries behind them, the source first."""

    hosts: tuple[str, ...]
    registries: tuple[RealRegistry, ...]
    folder: Path
    relay: Helper | None
    environment: dict[str, str]

    @property
    def source(self) -> str:
        return self.hosts[0]

    @property
    def destinations(self) -> tuple[str, ...]:
        return self.hosts[1:]


def start(
    kind: str, folder: Path, auth: TokenService | None = None, certificate: Certificate | None = None
) -> AbstractContextManager[RealRegistry]:
    program = find(kind)
    if program is None:
        raise SystemExit(f"bench: cannot find {kind}\nhint: run 'make peers'")
    return serve(kind, program, folder, auth=auth, certificate=certificate, logged=False)


@contextmanager
def scene(
    source: RealRegistry, folder: Path, *, round_trip_s: float | None, tokens: TokenService | None = None
) -> Iterator[Scene]:
    """Start two empty destinations next to a loaded source, over TLS if it is. round_trip_s: None for no relay."""
    with ExitStack() as stack:
        fresh = [stack.enter_context(start(KIND, folder / name, tokens, source.certificate)) for name in ("one", "two")]
        registries = (source, *fresh)
        hosts = tuple(one.host for one in registries)
        running = None
        if round_trip_s is not None:
            running = stack.enter_context(relay(round_trip_s, hosts))
            hosts = running.hosts
        yield Scene(hosts, registries, folder, running, environment_for(folder, hosts, tokens, source.certificate))


def environment_for(
    folder: Path, hosts: Sequence[str], tokens: TokenService | None, certificate: Certificate | None = None
) -> dict[str, str]:
    """Return the environment of every contender: plain HTTP or one authority, and the same login for all registries."""
    home = folder / "home"
    (home / ".docker").mkdir(parents=True)
    logins: dict[str, object] = {}
    if tokens is not None:
        for host in hosts:
            logins |= docker_auths(host, tokens)
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": logins}))
    regctl = {"hosts": {host: {"tls": "disabled" if certificate is None else "enabled"} for host in hosts}}
    (home / "regctl.json").write_text(json.dumps(regctl))
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "DOCKER_CONFIG": str(home / ".docker"),
        "REGCTL_CONFIG": str(home / "regctl.json"),
        "REGCTL": str(find("regctl")),
        "ORAS": str(find("oras")),
        "PYTHONPATH": str(ROOT / "src"),
        "LANG": "C.UTF-8",
    }
    if "LD_LIBRARY_PATH" in os.environ:  # such as another OpenSSL for Python
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    if certificate is None:
        environment["BAKERY_PLAIN_HTTP"] = ",".join(hosts)
    else:
        environment["SSL_CERT_FILE"] = environment["BAKERY_CA_FILE"] = str(certificate.authority)
    if tokens is not None:
        environment["BAKERY_TRUSTED_REALMS"] = tokens.realm.rpartition("/")[0]
    return environment
