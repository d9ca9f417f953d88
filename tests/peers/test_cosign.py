"""Signing with the real cosign and a local key, without a transparency log, and verified by cosign itself."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clean.making import image_of
from tests.peers.conftest import StartRegistry
from tests.peers.programs import need, run
from tests.peers.registries import Basic, RealRegistry
from tests.program import PROGRAM

PASSWORD = "password of the tests"


@dataclass
class Signing:
    """Two real registries with an image of two platforms in one of them, and a key."""

    source: RealRegistry
    destination: RealRegistry
    folder: Path
    digests: list[str]

    @property
    def environment(self) -> dict[str, str]:
        config = {"auths": {**self._auths(self.source), **self._auths(self.destination)}}
        (self.folder / "config.json").write_text(json.dumps(config))
        home = {"HOME": str(self.folder), "DOCKER_CONFIG": str(self.folder)}
        return {
            **os.environ,
            **home,
            "COSIGN_PASSWORD": PASSWORD,
            "COSIGN_PATH": str(need("cosign")),
            "ORAS_PATH": str(need("oras")),
        }

    @staticmethod
    def _auths(registry: RealRegistry) -> dict[str, object]:
        found = registry.docker_config().get("auths", {})
        assert isinstance(found, dict)
        return found

    def publish(self, *arguments: str, expected: int = 0) -> str:
        sources = [f"{self.source.host}/tmp@{digest}" for digest in self.digests]
        command = ("imagetools", "create", "-t", f"{self.destination.host}/app:1", *sources, "--journal", "journal")
        words = [*PROGRAM, *command, *arguments]
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == expected, done.stderr
        return done.stdout

    def sign(self, *arguments: str, expected: int = 0) -> str:
        key = ("--sign", "cosign", "--sign-key", "cosign.key")
        return self.publish(*key, "--sign-option=--signing-config=config.sigstore", *arguments, expected=expected)

    def cosign(self, *words: str) -> bytes:
        done = subprocess.run(
            [need("cosign"), *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def verified(self, digest: str) -> int:
        """The number of signatures that cosign verifies."""
        reference = f"{self.destination.host}/app@{digest}"
        found: list[object] = json.loads(
            self.cosign("verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", reference)
        )
        return len(found)

    def events(self, kind: str) -> list[dict[str, str]]:
        lines = (self.folder / "journal").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == kind]


def push_images(registry: RealRegistry, folder: Path, config: Path) -> list[str]:
    """Push images for two platforms by digest with oras, and return their digests."""
    digests = []
    for architecture in ("amd64", "arm64"):
        raw, _, layer = image_of(architecture)
        platform = json.dumps({"os": "linux", "architecture": architecture}).encode()
        document = json.loads(raw)
        for name, blob in (("config", platform), ("layer", layer)):
            (folder / name).write_bytes(blob)
            pushed = run(
                "oras", "blob", "push", "--plain-http", "--registry-config", config, "--descriptor",
                f"{registry.host}/tmp", folder / name,
            )  # fmt: skip
            found = {key: json.loads(pushed)[key] for key in ("digest", "size")}
            if name == "config":
                document["config"] |= found
        (folder / "manifest").write_bytes(json.dumps(document).encode())
        pushed = run(
            "oras", "manifest", "push", "--plain-http", "--registry-config", config, "--descriptor",
            "--media-type", document["mediaType"], f"{registry.host}/tmp", folder / "manifest",
        )  # fmt: skip
        digests.append(json.loads(pushed)["digest"])
    return digests


@pytest.fixture
def signing(start_registry: StartRegistry, tmp_path: Path) -> Signing:
    need("cosign")
    source, destination = start_registry("distribution"), start_registry("distribution", auth=Basic())
    config = tmp_path / "empty.json"
    config.write_text("{}")
    made = Signing(source, destination, tmp_path, push_images(source, tmp_path, config))
    made.cosign("generate-key-pair")
    made.cosign("signing-config", "create", "--out", "config.sigstore")  # no transparency log, no time stamps
    return made


def index_digest(signing: Signing) -> str:
    config = signing.folder / "config.json"
    found = run(
        "oras", "manifest", "fetch", "--plain-http", "--registry-config", config, "--descriptor",
        f"{signing.destination.host}/app:1",
    )  # fmt: skip
    digest: str = json.loads(found)["digest"]
    return digest


def test_every_digest_is_signed_once_and_cosign_verifies_it(signing: Signing):
    signing.sign()
    digests = [index_digest(signing), *signing.digests]
    assert [signing.verified(digest) for digest in digests] == [1, 1, 1]
    signed = {event["subject"].partition("@")[2] for event in signing.events("ArtifactAdded")}
    assert signed == set(digests), "the journal has each"
    moved = signing.events("TagMoved")
    assert len(moved) == 1
    signing.sign()
    assert [signing.verified(digest) for digest in digests] == [1, 1, 1], "nothing is signed again"
    assert len(signing.events("ArtifactAdded")) == 3


def test_a_signature_that_fails_moves_no_tag(signing: Signing):
    (signing.folder / "cosign.key").write_text("no key")
    signing.sign(expected=1)
    assert signing.events("TagMoved") == []
    assert PASSWORD not in (signing.folder / "journal").read_text()


def test_a_signature_by_another_key_does_not_count(signing: Signing):
    signing.sign()
    digest = index_digest(signing)
    for name in ("cosign.key", "cosign.pub"):
        (signing.folder / name).rename(signing.folder / f"other.{name}")
    signing.cosign("generate-key-pair")
    signing.sign()
    assert signing.verified(digest) == 1
    assert len(signing.events("ArtifactAdded")) == 6


def test_attachments_are_found_by_oras_and_signatures_are_copied(signing: Signing):
    (signing.folder / "sbom.json").write_text("{}")
    signing.sign("--attach", "sbom.json:application/spdx+json")
    digest, config = index_digest(signing), signing.folder / "config.json"
    reference = f"{signing.destination.host}/app@{digest}"
    found = json.loads(
        run("oras", "discover", "--plain-http", "--registry-config", config, "--format", "json", reference)
    )
    types = {one["artifactType"] for one in found["referrers"]}
    assert types == {"application/spdx+json", "application/vnd.dev.sigstore.bundle.v0.3+json"}
    copy = ("imagetools", "copy", f"{signing.destination.host}/app:1", f"{signing.source.host}/copy:1", "--referrers")
    words = [*PROGRAM, *copy]
    subprocess.run(words, cwd=signing.folder, env=signing.environment, timeout=120, check=True)
    for one in (digest, *signing.digests):
        signing.cosign(
            "verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", f"{signing.source.host}/copy@{one}"
        )


def test_attachments_and_referrers_do_not_depend_on_the_engine(signing: Signing):
    (signing.folder / "sbom.json").write_text("{}")
    signing.publish("--attach", "sbom.json:application/spdx+json", "--engine", "cli", "--referrers")
    reference, config = f"{signing.destination.host}/app@{index_digest(signing)}", signing.folder / "config.json"
    found = json.loads(
        run("oras", "discover", "--plain-http", "--registry-config", config, "--format", "json", reference)
    )
    assert [one["artifactType"] for one in found["referrers"]] == ["application/spdx+json"]


def test_a_key_that_is_not_in_the_environment_fails_at_once(signing: Signing):
    signing.publish("--sign", "cosign", "--sign-key", "env://BAKERY_NO_SUCH_KEY", expected=1)
    assert signing.events("StepRetried") == []


def test_verify_tells_signatures_from_attestations_and_notices_a_signature_that_is_gone(signing: Signing):
    signing.sign("--summary-file", "summary.json")

    def verify() -> tuple[int, list[dict[str, Any]]]:
        words = [*PROGRAM, "verify", "--output", "json", "summary.json"]
        done = subprocess.run(
            words, cwd=signing.folder, env=signing.environment, capture_output=True, timeout=120, check=False
        )
        return done.returncode, json.loads(done.stdout)["references"]

    (place,) = json.loads((signing.folder / "summary.json").read_text())["targets"][0]["destinations"]
    digest, children = index_digest(signing), signing.digests
    assert {one["subject"] for one in place["artifacts"]} == {digest, *children}
    code, (found,) = verify()
    assert (code, found["signatures"], found["attestations"]) == (0, 1, 0)
    (signing.folder / "predicate.json").write_text("{}")
    attest = ("attest", "--yes", "--key", "cosign.key", "--signing-config=config.sigstore", "--type", "custom")
    signing.cosign(*attest, "--predicate", "predicate.json", f"{signing.destination.host}/app@{digest}")
    code, (found,) = verify()
    assert (code, found["signatures"], found["attestations"]) == (0, 1, 1)
    # That of a child, which no tag names: cosign keeps it under the fallback tag of the child.
    tag = f"{signing.destination.host}/app:{children[0].replace(':', '-')}"
    config = signing.folder / "config.json"
    run("oras", "manifest", "delete", "--plain-http", "--registry-config", config, "--force", tag)
    code, (found,) = verify()
    assert (code, found["problems"]) == (1, [f"the signature of {children[0]} is missing"])
