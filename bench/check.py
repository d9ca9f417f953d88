"""An independent reader that verifies byte for byte what was published, without our client.

Manifests and tags are read with crane (with oras if the registry requires tokens: crane refuses realms on loopback).
Blobs are read from the storage of a real registry, or with a plain GET from an embedded one.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.peers.programs import find
from tests.peers.registries import RealRegistry

from bench.workload import BuiltTarget

_AT_ONCE = 3
SOCI = "application/vnd.amazon.soci.index.v2+json"


@dataclass(frozen=True)
class Reader:
    """Reads one registry. storage: None for an embedded registry, which stores nothing on disk."""

    host: str
    environment: dict[str, str]
    storage: RealRegistry | None
    tokens: bool = False

    def manifest(self, reference: str) -> bytes | str:
        """Return the bytes, or the error output of the program."""
        program = (
            [str(find("oras")), "manifest", "fetch", "--plain-http"]
            if self.tokens
            else [str(find("crane")), "manifest", "--insecure"]
        )
        done = subprocess.run(
            [*program, f"{self.host}/{reference}"], env=self.environment, capture_output=True, check=False
        )
        return done.stdout if done.returncode == 0 else done.stderr.decode("utf-8", "replace").strip()[-300:]

    def blob_complaint(self, repository: str, digest: str) -> str:
        """Return what is wrong with a blob in a repository, or ""."""
        algorithm, _, hex_digits = digest.partition(":")
        if self.storage is None:
            try:
                with urllib.request.urlopen(
                    f"http://{self.host}/v2/{repository}/blobs/{digest}", timeout=30
                ) as response:
                    found = hashlib.file_digest(response, algorithm).hexdigest()
            except urllib.error.HTTPError as error:
                with error:
                    return f"{digest}: {error.code}"
        else:
            if not (self.storage.repository(repository) / "_layers" / algorithm / hex_digits / "link").exists():
                return f"{digest} is not in the repository"
            data: Path = self.storage.blobs / algorithm / hex_digits[:2] / hex_digits / "data"
            with data.open("rb") as file:
                found = hashlib.file_digest(file, algorithm).hexdigest()
        return "" if found == hex_digits else f"{digest} has the wrong content"


def problems(targets: Sequence[BuiltTarget], readers: Sequence[Reader], *, converted: bool = False) -> list[str]:
    """Return everything that is wrong at the destinations. converted: SOCI was enabled."""
    check = _of_converted if converted else _of_target
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        jobs = [pool.submit(lambda one: list(check(one, readers)), target) for target in targets]
        return [problem for job in jobs for problem in job.result()]


def _of_converted(target: BuiltTarget, readers: Sequence[Reader]) -> Iterator[str]:
    """Check that all tags name one index with an image and a SOCI index per platform, and that all blobs exist."""
    for reader in readers:
        found = {reader.manifest(f"{target.repository}:{tag}") for tag in target.tags}
        index = found.pop()
        if found or isinstance(index, str):
            yield f"{reader.host}/{target.repository}: its tags name different indexes: {index!r:.200}"
            continue
        entries = json.loads(index)["manifests"]
        kinds = sorted((one["platform"]["architecture"], one.get("artifactType", "")) for one in entries)
        if kinds != sorted((built.architecture, kind) for built in target.builds for kind in ("", SOCI)):
            yield f"{reader.host}/{target.repository}: the index contains {kinds}"
        for entry in entries:
            raw = reader.manifest(f"{target.repository}@{entry['digest']}")
            if isinstance(raw, str):
                yield f"{reader.host}/{target.repository}@{entry['digest']}: {raw}"
                continue
            document = json.loads(raw)
            for blob in (document["config"], *document["layers"]):
                if complaint := reader.blob_complaint(target.repository, blob["digest"]):
                    yield f"{reader.host}/{target.repository}: {complaint}"


def _of_target(target: BuiltTarget, readers: Sequence[Reader]) -> Iterator[str]:
    indexes: set[bytes] = set()
    for reader in readers:
        for tag in target.tags:
            found = reader.manifest(f"{target.repository}:{tag}")
            if isinstance(found, str):
                yield f"{reader.host}/{target.repository}:{tag}: {found}"
            else:
                indexes.add(found)
        for built in target.builds:
            if reader.manifest(f"{target.repository}@{built.digest}") != built.manifest:
                yield f"{reader.host}/{target.repository}@{built.digest}: differs from the build"
            for blob in built.blobs:
                if complaint := reader.blob_complaint(target.repository, blob.digest):
                    yield f"{reader.host}/{target.repository}: {complaint}"
    if len(indexes) > 1:
        yield f"{target.uid}: {len(indexes)} different indexes for its tags"
    for index in indexes:
        yield from _index_complaints(target, index)


def _index_complaints(target: BuiltTarget, index: bytes) -> Iterator[str]:
    listed = {
        (entry["platform"]["architecture"], entry["digest"], entry["size"]) for entry in json.loads(index)["manifests"]
    }
    expected = {(built.architecture, built.digest, len(built.manifest)) for built in target.builds}
    if listed != expected:
        yield f"{target.uid}: the index names {sorted(listed)}, expected {sorted(expected)}"
