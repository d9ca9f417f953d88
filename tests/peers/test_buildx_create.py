"""The same calls to buildx and to `imagetools create`, with one registry: the same entries, or a known difference.

The known differences are listed in docs/coming-from.md. Images keep their order; attestations follow them.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.oci.platform import Platform
from tests.cli.running import bakery
from tests.engines.workload import layer
from tests.peers.builder import buildx
from tests.peers.programs import need
from tests.peers.registries import serve

Json = dict[str, Any]
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
IN_TOTO = "application/vnd.in-toto+json"


@dataclass
class Stock:
    """What the calls can use: names of images in `src`, with their descriptors."""

    host: str
    found: dict[str, Json] = field(default_factory=dict)

    def _send(self, method: str, url: str, data: bytes, media_type: str) -> str:
        request = urllib.request.Request(url, data, {"Content-Type": media_type}, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return str(response.headers.get("Location", ""))

    def blob(self, content: bytes, media_type: str) -> Json:
        digest = str(Digest.of(content))
        place = self._send("POST", f"http://{self.host}/v2/src/blobs/uploads/", b"", "")
        url = place if place.startswith("http") else f"http://{self.host}{place}"
        self._send("PUT", f"{url}{'&' if '?' in url else '?'}digest={digest}", content, "application/octet-stream")
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def put(self, name: str, document: Json, **more: Any) -> Json:
        """Push a manifest or index, tagged with its name, and return its descriptor with further members."""
        raw, media_type = json.dumps(document, indent=1).encode(), document["mediaType"]
        self._send("PUT", f"http://{self.host}/v2/src/manifests/{name}", raw, media_type)
        found = {"mediaType": media_type, "digest": str(Digest.of(raw)), "size": len(raw)}
        self.found[name] = found
        return {**found, **more}

    def image(self, name: str, platform: str, *, docker: bool = False, version: str = "") -> Json:
        parts = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
        parts |= {"os.version": version} if version else {}
        config = json.dumps({**parts, "created": "2026-11-01T00:00:00Z", "name": name}).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": mt.DOCKER_MANIFEST if docker else mt.OCI_MANIFEST,
            "config": self.blob(config, mt.DOCKER_CONFIG if docker else mt.OCI_CONFIG),
            "layers": [self.blob(layer(name), DOCKER_LAYER if docker else LAYER)],
        }
        return self.put(name, manifest, platform=parts)

    def attestation(self, name: str, of: Json) -> Json:
        manifest = {
            "schemaVersion": 2,
            "mediaType": mt.OCI_MANIFEST,
            "config": self.blob(b"{}", mt.OCI_CONFIG),
            "layers": [self.blob(json.dumps({"about": of["digest"]}).encode(), IN_TOTO)],
        }
        notes = {"vnd.docker.reference.digest": of["digest"], "vnd.docker.reference.type": "attestation-manifest"}
        return self.put(name, manifest, platform={"os": "unknown", "architecture": "unknown"}, annotations=notes)

    def index(self, name: str, *entries: Json, docker: bool = False, **members: Any) -> None:
        kind = mt.DOCKER_LIST if docker else mt.OCI_INDEX
        self.put(name, {"schemaVersion": 2, "mediaType": kind, "manifests": list(entries), **members})

    def read(self, repository: str) -> Json:
        request = urllib.request.Request(f"http://{self.host}/v2/{repository}/manifests/1")
        request.add_header("Accept", ", ".join(mt.ALL_MANIFESTS))
        with urllib.request.urlopen(request, timeout=30) as response:
            found: Json = json.loads(response.read())
            return found


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    need("buildx")
    with serve("distribution", need("distribution"), tmp_path_factory.mktemp("stock") / "registry") as registry:
        made = Stock(registry.host)
        amd, arm = made.image("amd", "linux/amd64"), made.image("arm", "linux/arm64")
        v8, v7 = made.image("v8", "linux/arm64/v8"), made.image("v7", "linux/arm/v7")
        made.image("v6", "linux/arm/v6")
        made.image("riscv", "linux/riscv64")
        made.image("other-amd", "linux/amd64")
        win = made.image("win", "windows/amd64", version="10.0.20348.1")
        docker_amd = made.image("docker-amd", "linux/amd64", docker=True)
        docker_arm = made.image("docker-arm", "linux/arm64", docker=True)
        about_amd, about_arm = made.attestation("about-amd", amd), made.attestation("about-arm", arm)
        made.index("attested-amd", amd, about_amd)
        made.index("attested-arm", arm, about_arm)
        made.index("both", amd, arm)
        made.index("attested", amd, arm, about_amd, about_arm)
        made.index("annotated", {**amd, "annotations": {"a": "b"}}, arm, annotations={"i": "j"})
        made.index("windows", win, v7)
        made.index("docker-list", docker_amd, docker_arm, docker=True)
        made.index("v8-index", v8)
        yield made


@dataclass(frozen=True)
class Call:
    """Arguments; `@name` is a source by digest, `:name` by tag, `=name` its digest only, `{name}` its descriptor.

    differs: `refused` by ours, `accepted` only by ours, `last` (buildx lists both), `version` (buildx drops it).
    """

    words: str
    differs: str = ""


CALLS = {
    "two manifests": Call("@amd @arm"),
    "by tag": Call(":amd :arm"),
    "the other order": Call("@arm @amd"),
    "five platforms": Call("@amd @arm @v7 @v6 @riscv"),
    "one manifest": Call("@amd"),
    "one manifest by tag": Call(":riscv"),
    "one manifest, copied": Call("--prefer-index=false @amd"),
    "one index, copied": Call("--prefer-index=false :both"),
    "one index": Call(":both"),
    "one attested index": Call("@attested"),
    "one annotated index": Call(":annotated"),
    "one Docker list": Call(":docker-list"),
    "one Docker manifest": Call("@docker-amd"),
    "one Docker manifest, copied": Call("--prefer-index=false @docker-amd"),
    "Docker manifests": Call("@docker-amd @docker-arm"),
    "Docker and OCI": Call("@docker-amd @arm"),
    "an index and a manifest": Call(":both @riscv"),
    "a manifest and an index": Call("@riscv :both"),
    "two attested indexes": Call("@attested-amd @attested-arm"),
    "an attested index and a manifest": Call("@attested-amd @arm"),
    "the same source twice": Call("@amd @amd"),
    "an image alone and in an index": Call("@amd :both"),
    "an annotated index and a manifest": Call(":annotated @riscv"),
    "windows": Call(":windows"),
    "windows and linux": Call("@win @amd", "version"),
    "an implied variant": Call("@v8 @amd"),
    "two images of one platform": Call("@amd @other-amd", "refused"),
    "of two images of one platform, the last": Call("@amd @other-amd --on-duplicate=last", "last"),
    "one platform of an index": Call("-p linux/arm64 :both"),
    "one platform with its attestation": Call("-p linux/arm64 :attested"),
    "platforms as a list": Call("-p linux/amd64,linux/riscv64 @amd @arm @riscv"),
    "platforms, repeated": Call("-p linux/amd64 -p linux/arm64 @amd @arm @riscv"),
    "a platform with a variant": Call("-p linux/arm/v7 @amd @v7 @v6"),
    "a platform of a Docker list": Call("-p linux/arm64 :docker-list"),
    "a platform of one manifest": Call("-p linux/amd64 @amd"),
    "an annotation": Call("--annotation a=b @amd @arm", "accepted"),
    "an annotation of the index": Call("--annotation index:a=b @amd @arm"),
    "an annotation of an entry": Call("--annotation manifest-descriptor[linux/arm64]:a=b @amd @arm"),
    "an annotation of every entry": Call("--annotation manifest-descriptor:a=b @amd @arm"),
    "an annotation of a manifest": Call("--annotation manifest:a=b @amd @arm"),
    "an annotation of the index's descriptor": Call("--annotation index-descriptor:a=b @amd @arm", "accepted"),
    "an annotated index again": Call("--annotation index:x=y :annotated"),
    "a descriptor": Call("{amd} @arm --same-repository", "accepted"),
    "a missing source": Call("@amd :nothing --wait"),
    "no source": Call(""),
    "append": Call("--append @riscv --first"),
    "append to nothing": Call("--append @riscv"),
}


def arguments(words: str, stock: Stock, repository: str, *, ours: bool) -> list[str]:
    result = ["-t", f"{stock.host}/{repository}:1"]
    for word in words.split():
        if word.startswith("@"):
            result.append(f"{stock.host}/src@{stock.found[word[1:]]['digest']}")
        elif word.startswith(":"):
            result.append(f"{stock.host}/src{word}")
        elif word.startswith("{"):
            result.append(json.dumps(stock.found[word[1:-1]]))
        elif word == "--wait":
            result += ["--wait-timeout", "0"] if ours else []
        elif word.startswith("--on-duplicate"):
            result += [word] if ours else []
        elif word not in ("--first", "--same-repository"):
            result.append(word)
    return result


def entries(index: Json) -> list[tuple[str, str, str]]:
    """Digest, platform and annotations of each image, then of each other entry, in their order."""
    listed = []
    for entry in index["manifests"]:
        given = entry.get("platform")
        platform = Platform.from_json(given).normalised() if given else None
        notes = json.dumps(entry.get("annotations") or {}, sort_keys=True)
        listed.append((entry["digest"], str(platform or ""), notes))
    return sorted(listed, key=lambda entry: entry[1].startswith("unknown"))


def test_there_are_at_least_forty_calls() -> None:
    assert len(CALLS) >= 40


@pytest.mark.parametrize("name", CALLS)
def test_the_same_call_gives_the_same_entries(name: str, stock: Stock, tmp_path: Path) -> None:
    call, number = CALLS[name], list(CALLS).index(name)
    theirs, own = f"buildx/call-{number}", f"ours/call-{number}"
    if "--same-repository" in call.words:
        theirs = own = "src"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path)}
    if "--first" in call.words:
        for repository in (theirs, own):
            words = arguments("@amd", stock, repository, ours=False)
            assert buildx("imagetools", "create", *words, environment=environment).returncode == 0
    their_run = buildx(
        "imagetools", "create", *arguments(call.words, stock, theirs, ours=False), environment=environment
    )
    their_index = stock.read(theirs) if their_run.returncode == 0 else {}
    our_run = bakery("imagetools", "create", *arguments(call.words, stock, own, ours=True), environ=environment)
    if call.differs == "refused":
        assert (their_run.returncode, our_run.code) == (0, 1)
        return
    if call.differs == "accepted":
        assert their_run.returncode != 0
        assert our_run.code == 0
        return
    assert (their_run.returncode == 0) == (our_run.code == 0)
    if our_run.code:
        return
    our_index = stock.read(own)
    if call.differs == "last":
        assert entries(our_index) == entries(their_index)[1:]
    elif call.differs == "version":
        assert [digest for digest, *_ in entries(our_index)] == [digest for digest, *_ in entries(their_index)]
    elif "manifests" not in their_index:
        assert our_index == their_index
    else:
        assert entries(our_index) == entries(their_index)
        assert (our_index.get("annotations") or {}) == (their_index.get("annotations") or {})
