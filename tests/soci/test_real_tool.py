"""Generated images, converted by Bakery and by the real `soci`, have the same digests."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bakery.engines.soci_inspection import LayoutSource, verify_image
from bakery.engines.soci_layout import convert_layout
from bakery.oci.platform import Platform
from bakery.soci.options import SociSettings
from bakery.transfer.layout import open_layout
from tests.peers.programs import need
from tests.soci.golden_cases import CASES, REAL_TOOL
from tests.soci.making import gzips, tars
from tests.transfer.making import Content

pytestmark = pytest.mark.peer

GZIP_TYPES = [
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
]
PLAIN_TYPES = ["application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"]


def by_the_real_tool(source: Path, to: Path, options: SociSettings) -> subprocess.CompletedProcess[str]:
    arguments = ["--span-size", str(options.span_size), "--min-layer-size", str(options.min_layer_size)]
    arguments += [part for path in options.prefetch_files for part in ("--prefetch-file", path)]
    arguments += [part for name in options.optimizations for part in ("--optimizations", name)]
    arguments += [part for name in options.platforms for part in ("--platform", str(name))] or ["--all-platforms"]
    command = [str(need("soci")), "convert", "--standalone", "--format", "oci-dir", *arguments, str(source), str(to)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env={**os.environ, "TZ": "UTC"}
    )


def digest_of(path: Path) -> str:
    return str(json.loads((path / "index.json").read_text())["manifests"][0]["digest"])


def ours(source: Path, to: Path, options: SociSettings) -> str:
    with open_layout(source) as layout:
        return str(convert_layout(layout, to, options).root.descriptor.digest)


@st.composite
def images(draw: st.DrawFn) -> tuple[Content, SociSettings]:
    content = Content()
    manifests = []
    for platform in ("linux/amd64", "linux/arm64", "windows/amd64")[: draw(st.integers(1, 3))]:
        layers = []
        for _ in range(draw(st.integers(1, 6))):
            tar = draw(tars())
            if draw(st.integers(0, 4)):
                layers.append(content.add(draw(gzips(tar)), draw(st.sampled_from(GZIP_TYPES))))
            else:
                layers.append(content.add(tar, draw(st.sampled_from(PLAIN_TYPES))))
        manifests.append(content.image(*layers, platform=platform))
    content.top = [content.index(*manifests)]
    options = SociSettings(
        span_size=draw(st.sampled_from([1, 777, 4096, 20_000, 65_536, 4 << 20])),
        min_layer_size=draw(st.sampled_from([0, 0, 0, 300])),
        prefetch_files=tuple(
            draw(st.lists(st.sampled_from(["a/b", "/pre/fix/a/b", "./dotted", "nothing"]), max_size=3))
        ),
        optimizations=draw(st.sampled_from([(), ("xattr",)])),
        platforms=draw(st.sampled_from([(), (), (Platform("linux", "amd64"),)])),
        build_tool_identifier=REAL_TOOL,
    )
    return content, options


@settings(
    max_examples=int(os.environ.get("BAKERY_SOCI_EXAMPLES", "25")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(images())
def test_generated_images_have_the_digest_of_the_real_tool(image):
    content, options = image
    with tempfile.TemporaryDirectory() as folder:
        source = content.folder(Path(folder) / "in")
        theirs = by_the_real_tool(source, Path(folder) / "theirs", options)
        if "no ztocs created" in theirs.stderr:
            return
        assert theirs.returncode == 0, theirs.stderr
        assert ours(source, Path(folder) / "ours", options) == digest_of(Path(folder) / "theirs")


async def test_an_index_of_the_real_tool_can_be_verified(tmp_path):
    options = CASES["two-platform"].options
    done = by_the_real_tool(CASES["two-platform"].layout, tmp_path / "theirs", options)
    assert done.returncode == 0, done.stderr
    with open_layout(tmp_path / "theirs") as layout:
        assert (await verify_image(LayoutSource(layout))).right


def test_the_golden_cases_have_the_digests_of_the_real_tool(tmp_path):
    for name, case in CASES.items():
        if case.sound:
            done = by_the_real_tool(case.layout, tmp_path / name, case.options)
            assert done.returncode == 0, done.stderr
            assert digest_of(tmp_path / name) == case.data["expected"]["index"]["digest"]
