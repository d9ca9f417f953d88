"""An independent reader: is everything that was to be published there, byte for byte? None of our client is used.

Manifests and tags are read by crane (by oras where a registry asks for tokens: crane refuses realms on loopback), blobs
straight from the registry's storage on disk.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.peers.programs import find
from tests.peers.registries import RealRegistry

from bench.workload import BuiltTarget, digest_of

_AT_ONCE = 3


class Reader:
    """Reads manifests from one registry by a foreign program."""

    def __init__(self, host: str, environment: dict[str, str], *, tokens: bool) -> None:
        self.host = host
        self._environment = environment
        self._command = (
            [str(find("oras")), "manifest", "fetch", "--plain-http"]
            if tokens
            else [str(find("crane")), "manifest", "--insecure"]
        )

    def manifest(self, reference: str) -> bytes | str:
        """The bytes, or what the program said instead."""
        done = subprocess.run(
            [*self._command, f"{self.host}/{reference}"], env=self._environment, capture_output=True, check=False
        )
        if done.returncode:
            return done.stderr.decode("utf-8", "replace").strip()[-300:]
        return done.stdout


def problems(
    targets: Sequence[BuiltTarget], registries: Iterable[RealRegistry], environment: dict[str, str], *, tokens: bool
) -> list[str]:
    """All that is wrong at the destinations; empty when everything is right."""
    readers = [(Reader(one.host, environment, tokens=tokens), one) for one in registries]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        jobs = [pool.submit(lambda args: list(_of_target(*args)), (target, readers)) for target in targets]
        return [problem for job in jobs for problem in job.result()]


def _of_target(target: BuiltTarget, readers: Sequence[tuple[Reader, RealRegistry]]) -> Iterator[str]:
    indexes: set[bytes] = set()
    for reader, registry in readers:
        for tag in target.tags:
            found = reader.manifest(f"{target.repository}:{tag}")
            if isinstance(found, str):
                yield f"{reader.host}/{target.repository}:{tag}: {found}"
            else:
                indexes.add(_as_stored(found, registry, target.repository, tag))
        for built in target.builds:
            found = reader.manifest(f"{target.repository}@{built.digest}")
            if isinstance(found, str) or digest_of(built.manifest) not in (digest_of(found), digest_of(found[:-1])):
                yield f"{reader.host}/{target.repository}@{built.digest}: other bytes than the build's"
            for blob in built.blobs:
                if complaint := _blob_complaint(registry, target.repository, blob.digest):
                    yield f"{reader.host}/{target.repository}: {complaint}"
    if len(indexes) > 1:
        yield f"{target.uid}: {len(indexes)} different indexes behind its tags"
    for index in indexes:
        yield from _index_complaints(target, index)


def _as_stored(found: bytes, registry: RealRegistry, repository: str, tag: str) -> bytes:
    """The manifest's bytes. A program may print a line end after them; the digest that the tag is linked to decides."""
    link = registry.repository(repository) / "_manifests" / "tags" / tag / "current" / "link"
    return found if digest_of(found) == link.read_text() else found.removesuffix(b"\n")


def _blob_complaint(registry: RealRegistry, repository: str, digest: str) -> str:
    algorithm, _, hex_digits = digest.partition(":")
    if not (registry.repository(repository) / "_layers" / algorithm / hex_digits / "link").exists():
        return f"{digest} is not in the repository"
    data: Path = registry.blobs / algorithm / hex_digits[:2] / hex_digits / "data"
    with data.open("rb") as file:
        if hashlib.file_digest(file, algorithm).hexdigest() != hex_digits:
            return f"{digest} has other bytes"
    return ""


def _index_complaints(target: BuiltTarget, index: bytes) -> Iterator[str]:
    listed = {
        (entry["platform"]["architecture"], entry["digest"], entry["size"]) for entry in json.loads(index)["manifests"]
    }
    expected = {(built.architecture, built.digest, len(built.manifest)) for built in target.builds}
    if listed != expected:
        yield f"{target.uid}: the index names {sorted(listed)}, expected {sorted(expected)}"
