"""Generated indexes, Docker lists and single manifests: descriptors, platforms and annotations as in the real tool.

Each number is one image. Not compared: what the real tool rejects (an image with nothing to index, a missing platform),
and entries that it is known to confuse (different os.features, a manifest with two entries).
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from bakery.oci import media_type as mt
from bakery.oci.platform import Platform
from bakery.soci.options import SociSettings
from tests.soci.golden_cases import REAL_TOOL
from tests.soci.making import END, entry, gzip, pax
from tests.soci.test_real_tool import GZIP_TYPES, PLAIN_TYPES, by_the_real_tool, digest_of, ours
from tests.transfer.making import Content

pytestmark = pytest.mark.peer

FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
SKIPPED = [
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.oci.image.layer.v1.tar+encrypted",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
]
PLATFORMS = [
    "linux/amd64", "linux/amd64/v1", "linux/amd64/v2", "linux/x86_64", "Linux/AMD64", "linux/arm64", "linux/arm64/v8",
    "linux/aarch64", "linux/arm64/8", "linux/arm64/9", "linux/arm64/v9", "linux/arm", "linux/arm/v7", "linux/arm/7",
    "linux/armhf", "linux/arm/v6", "linux/armel", "linux/386", "linux/i386", "linux/s390x", "linux/riscv64",
    "linux/ppc64le/power9", "windows/amd64", "macos/arm64", "darwin/arm64",
]  # fmt: skip
ANNOTATIONS = [
    ("a", "1"),
    ("B", "<x>&\u2028"),
    ("com.amazon.soci.index-digest", "sha256:" + "0" * 64),
    ("\u00e9", "\u65e5"),
    ("org.opencontainers.image.ref.name", "r"),
    ("empty", ""),
]

SUBJECT = {"mediaType": mt.OCI_MANIFEST, "digest": "sha256:" + "1" * 64, "size": 5}


class Maker:
    """Generates one random image from a number."""

    def __init__(self, number: int) -> None:
        self.dice = random.Random(number)
        self.content = Content()
        self.layers = [self.layer() for _ in range(self.dice.randrange(1, 5))]

    def one_in(self, count: int) -> bool:
        return self.dice.randrange(count) == 0

    def annotations(self) -> dict[str, str]:
        return dict(self.dice.sample(ANNOTATIONS, self.dice.randrange(4)))

    def layer(self) -> tuple[bytes, str]:
        files = [
            (pax((b"SCHILY.xattr.user.x", b"v")) if self.one_in(10) else b"")
            + entry(b"f%d" % number, self.dice.randbytes(self.dice.randrange(3000)) + bytes(self.dice.randrange(4000)))
            for number in range(self.dice.randrange(4))
        ]
        tar = b"".join(files) + END
        kind = self.dice.random()
        if kind < 0.7:
            return gzip(tar), self.dice.choice([*GZIP_TYPES, FOREIGN])
        return (tar, self.dice.choice(PLAIN_TYPES)) if kind < 0.85 else (b"skipped", self.dice.choice(SKIPPED))

    def image(self, platform: Platform, docker: bool) -> dict[str, Any]:
        config: dict[str, Any] = {"os": platform.os, "architecture": platform.architecture}
        config |= {"variant": platform.variant} if platform.variant else {}
        config |= {"os.version": f"10.0.{self.dice.randrange(3)}"} if self.one_in(5) else {}
        config |= {"os.features": ["f2", "f1"]} if self.one_in(10) else {}
        layers = [self.content.add(*self.dice.choice(self.layers)) for _ in range(self.dice.randrange(1, 4))]
        for layer in layers:
            layer |= {"annotations": self.annotations()} if self.one_in(5) else {}
        manifest: dict[str, Any] = {"schemaVersion": 2}
        manifest |= {} if self.one_in(5) else {"mediaType": mt.DOCKER_MANIFEST if docker else mt.OCI_MANIFEST}
        manifest["config"] = self.content.json(config, mt.DOCKER_CONFIG if docker else mt.OCI_CONFIG)
        manifest["layers"] = layers
        manifest |= {"annotations": self.annotations()} if self.one_in(3) else {}
        if not docker:
            manifest |= {"artifactType": "application/vnd.x"} if self.one_in(10) else {}
            manifest |= {"subject": SUBJECT} if self.one_in(10) else {}
        raw = json.dumps(manifest, indent=self.dice.choice([None, 1]), ensure_ascii=self.one_in(2)).encode()
        return self.content.add(raw, mt.DOCKER_MANIFEST if docker else mt.OCI_MANIFEST)

    def top(self) -> dict[str, Any]:
        docker = self.one_in(3)
        entries: dict[str, dict[str, Any]] = {}
        for text in self.dice.sample(PLATFORMS, self.dice.randrange(1, 6)):
            platform = Platform.parse(text)
            found = self.image(platform, docker)
            found["platform"] = platform.to_json()
            found["platform"] |= (
                {"os.version": f"10.0.1776{self.dice.randrange(3)}.5"} if platform.os == "windows" else {}
            )
            found |= {"annotations": self.annotations()} if self.one_in(3) else {}
            found |= {"urls": ["https://x.example/"]} if self.one_in(10) else {}
            entries.setdefault(found["digest"], found)
        if len(entries) == 1:
            alone = next(iter(entries.values()))
            del alone["platform"]
            return alone
        document: dict[str, Any] = {"schemaVersion": 2, "mediaType": mt.DOCKER_LIST if docker else mt.OCI_INDEX}
        document["manifests"] = list(entries.values())
        document |= {"annotations": self.annotations()} if self.one_in(3) else {}
        document |= {"artifactType": "application/vnd.index"} if self.one_in(10) else {}
        return self.content.json(document, document["mediaType"])

    def options(self, with_platforms: bool) -> SociSettings:
        return SociSettings(
            self.dice.choice([512, 4096, 1 << 22]),
            self.dice.choice([0, 0, 200]),
            tuple(self.dice.sample(["f0", "/f1", "x/../f2", "none"], self.dice.randrange(3))),
            ("xattr",) if self.one_in(2) else (),
            tuple(map(Platform.parse, self.dice.sample(PLATFORMS, 2))) if with_platforms else (),
            REAL_TOOL,
        )


@pytest.mark.parametrize("number", range(40))
def test_a_generated_index_converted_once_or_twice_has_the_digest_of_the_real_tool(tmp_path, number):
    maker = Maker(number)
    maker.content.top = [maker.top()]
    source: Path = maker.content.folder(tmp_path / "in")
    for round_number in (1, 2):
        options = maker.options(with_platforms=round_number == 1 and maker.one_in(4))
        theirs = by_the_real_tool(source, tmp_path / f"theirs{round_number}", options)
        if theirs.returncode:
            return
        to = tmp_path / f"ours{round_number}"
        assert ours(source, to, options) == digest_of(tmp_path / f"theirs{round_number}")
        source = to
