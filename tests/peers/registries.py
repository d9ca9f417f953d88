"""Real registries for tests and bench: Debian's docker-registry 2.8.2 and distribution 3.1.2, one process each.

Each listens on a loopback port chosen by the kernel (read from its log, so two cannot race for one), stores its content
in a separate folder, allows deletes, and is killed when its block ends. Requests are counted from its access log, not
by our own client.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.peers.tokens import ISSUER, SERVICE, TokenService

KINDS = ("docker-registry", "distribution")
_LISTENING = re.compile(r"listening on (127\.0\.0\.1:\d+)")
_ACCESS = re.compile(rb'"([A-Z]+) (\S+) HTTP/[\d.]+" (\d{3}) ')


@dataclass(frozen=True)
class Basic:
    """The only login that a registry accepts, from an htpasswd file."""

    user: str = "baker"
    password: str = "flour"

    @property
    def line(self) -> str:
        # Registries only accept bcrypt, and we have no bcrypt library: this is "flour", at cost 5.
        return f"{self.user}:$2b$05$abcdefghijklmnopqrstuu2cmGYtGOnX8.NluTuei.C.CQ4ntFXhC\n"


@dataclass(frozen=True)
class AccessLogEntry:
    """One line of the access log of a registry."""

    method: str
    path: str
    status: int


@dataclass
class RealRegistry:
    """A running registry."""

    kind: str
    host: str  # 127.0.0.1:port, as in references
    folder: Path
    process: subprocess.Popen[bytes]
    auth: Basic | TokenService | None = None
    certificate: Certificate | None = None

    @property
    def blobs(self) -> Path:
        """The folder with the content: blobs/sha256/ab/abcd…/data."""
        return self.folder / "storage" / "docker" / "registry" / "v2" / "blobs"

    def repository(self, name: str) -> Path:
        """Return the folder of a repository's links: _manifests/tags/TAG/current/link, _layers/sha256/HEX/link."""
        return self.blobs.parent / "repositories" / name

    def requests(self, method: str = "") -> list[AccessLogEntry]:
        """Return the requests that got a response so far, in that order, optionally of one method."""
        lines = _ACCESS.findall((self.folder / "access.log").read_bytes())
        every = [AccessLogEntry(verb.decode(), path.decode(), int(status)) for verb, path, status in lines]
        return [one for one in every if method in ("", one.method)]

    def docker_config(self) -> dict[str, object]:
        """Return a Docker `config.json` with the login for this registry."""
        return {} if self.auth is None else {"auths": docker_auths(self.host, self.auth)}


def docker_auths(host: str, auth: Basic | TokenService) -> dict[str, dict[str, str]]:
    return {host: {"auth": base64.b64encode(f"{auth.user}:{auth.password}".encode()).decode()}}


@dataclass(frozen=True)
class Certificate:
    """What a registry proves that it is 127.0.0.1 with, and the authority that clients trust. All are PEM files."""

    certificate: Path
    key: Path
    authority: Path

    @classmethod
    def issue(cls, folder: Path) -> Certificate:
        folder.mkdir(parents=True)
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        files = cls(folder / "certificate.pem", folder / "key.pem", folder / "authority.pem")
        issued.private_key_pem.write_to_path(files.key)
        for blob in issued.cert_chain_pems:
            blob.write_to_path(files.certificate, append=True)
        authority.cert_pem.write_to_path(files.authority)
        return files


def _config(
    folder: Path, auth: Basic | TokenService | None, certificate: Certificate | None, *, logged: bool
) -> dict[str, object]:
    http: dict[str, object] = {"addr": "127.0.0.1:0", "secret": "shared by one process"}
    if certificate is not None:
        http["tls"] = {"certificate": str(certificate.certificate), "key": str(certificate.key)}
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": not logged}},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "storage"), "maxthreads": 100},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": http,
    }
    match auth:
        case Basic():
            (folder / "htpasswd").write_text(auth.line)
            config["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
        case TokenService():
            bundle = {
                "realm": auth.realm,
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": str(auth.certificate),
            }
            config["auth"] = {"token": bundle}
        case None:
            pass
    return config


@contextmanager
def serve(
    kind: str,
    program: Path,
    folder: Path,
    *,
    auth: Basic | TokenService | None = None,
    certificate: Certificate | None = None,
    logged: bool = True,
) -> Iterator[RealRegistry]:
    """Run a registry until the block ends, over TLS if it has a certificate. logged: an access log costs time."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.yml"
    config.write_text(json.dumps(_config(folder, auth, certificate, logged=logged)))  # JSON is YAML
    log = folder / "log"
    with log.open("wb") as errors, (folder / "access.log").open("wb") as access:
        process = subprocess.Popen(
            [program, "serve", config],
            stdin=subprocess.DEVNULL,
            stdout=access,
            stderr=errors,
            env={"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"},
        )
    try:
        host = _address(process, log)
        _wait_until_ready(host, certificate)
        yield RealRegistry(kind, host, folder, process, auth, certificate)
    finally:
        process.kill()
        process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Return the address from its log. Usually takes less than a second; ten are allowed for a busy machine."""
    for _ in range(500):
        if found := _LISTENING.search(log.read_text("utf-8", "replace")):
            return found[1]
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise AssertionError(f"the registry did not start: {log.read_text('utf-8', 'replace')[-2000:]}")


def _wait_until_ready(host: str, certificate: Certificate | None) -> None:
    context = None if certificate is None else ssl.create_default_context(cafile=certificate.authority)
    url = f"{'http' if context is None else 'https'}://{host}/v2/"
    for _ in range(250):
        try:
            with urllib.request.urlopen(url, timeout=5, context=context):
                return
        except urllib.error.HTTPError as response:
            with response:
                if response.code == 401:
                    return
        except OSError:
            pass
        time.sleep(0.02)
    raise AssertionError(f"{host}/v2/ does not respond")
