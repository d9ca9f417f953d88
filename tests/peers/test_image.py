"""The Containerfile: an image of Bakery for two platforms, built by a real BuildKit and run on this one.

The base is made from Debian's packages, as no image can be pulled here: Python and what it needs, unpacked.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from release.__main__ import build
from release.wheels import download

from bakery.rehearsal import EmbeddedRegistry
from tests.install.trees import ROOT, VERSION, released
from tests.peers.builder import ARCHITECTURES, BuildKit, buildx
from tests.peers.programs import required

pytestmark = [pytest.mark.slow]

HELLO = ROOT / "examples" / "hello"


def apt(architecture: str, folder: Path, *words: str) -> None:
    """Run apt-get with a state of its own: nothing is installed and nothing of this machine is changed."""
    options = {
        "Dir::State": f"{folder}/state",
        "Dir::State::status": f"{folder}/status",
        "Dir::Cache": f"{folder}/cache",
        "APT::Architecture": architecture,
        "APT::Architectures::": architecture,
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "1",
    }
    given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(
        ["apt-get", "-qq", *given, *words], env=environment, stdin=subprocess.DEVNULL, check=True, capture_output=True,
        timeout=300,
    )  # fmt: skip


def unpack_debian(architecture: str, folder: Path, root: Path) -> str:
    """Unpack Python of Debian and what it needs into `root`, and return its version, such as 3.11."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    apt(architecture, folder, "update")
    apt(architecture, folder, "install", "--download-only", "--no-install-recommends", "-y", "python3")
    root.mkdir()
    for package in sorted((folder / "cache/archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", package, root], check=True, timeout=60)
    (python,) = [one for one in (root / "usr/bin").glob("python3.*") if re.fullmatch(r"python3\.\d+", one.name)]
    return python.name.removeprefix("python")


def base_image(daemon: BuildKit, registry: EmbeddedRegistry, folder: Path) -> tuple[str, str]:
    """Push a base for both platforms; return its reference and the version of its Python."""
    context = folder / "base"
    context.mkdir()
    versions = {unpack_debian(one, folder / one, context / one) for one in ARCHITECTURES}
    (context / "Dockerfile").write_text("FROM scratch\nARG TARGETARCH\nCOPY ${TARGETARCH}/ /\n")
    reference = f"{registry.address}/debian/python:1"
    built(daemon, context, "--output", f"type=image,name={reference},push=true")
    return reference, versions.pop()


def built(daemon: BuildKit, context: Path, *words: str, platforms: tuple[str, ...] = ARCHITECTURES) -> str:
    """Build with buildx; return its progress."""
    listed = ",".join(f"linux/{one}" for one in platforms)
    fixed = ("build", "--builder", "tests", "--progress", "plain", "--provenance=false", "--platform", listed)
    done = buildx(*fixed, *words, str(context), environment=daemon.environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


async def test_the_image_is_built_for_both_platforms_and_runs_as_a_user_without_rights(buildkit, tmp_path):
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        (pytest.fail if required() else pytest.skip)("this is not Debian")
    (tmp_path / "built").mkdir()
    wheel = next(one for one in build(released(tmp_path / "tree"), tmp_path / "built") if one.suffix == ".whl")
    async with EmbeddedRegistry() as registry:
        base, python = await asyncio.to_thread(base_image, buildkit, registry, tmp_path)
        await asyncio.to_thread(download, wheel, ROOT / "requirements.lock", python, tmp_path / "wheels")
        image = f"{registry.address}/acme/bakery:1"
        options = ("--file", str(ROOT / "Containerfile"), "--build-arg", f"BASE={base}")
        output = ("--output", f"type=image,name={image},push=true")
        await asyncio.to_thread(built, buildkit, tmp_path / "wheels", *options, *output)
        index = json.loads(registry.manifest("acme/bakery", "1")[1])
        assert [one["platform"]["architecture"] for one in index["manifests"]] == list(ARCHITECTURES)
        for entry in index["manifests"]:
            manifest = json.loads(registry.manifest("acme/bakery", entry["digest"])[1])
            config = json.loads(registry.blob("acme/bakery", manifest["config"]["digest"]))["config"]
            assert (config["User"], config["Entrypoint"]) == ("65532:65532", ["python3", "-m", "bakery"])
        progress = await asyncio.to_thread(run_image, buildkit, image, tmp_path / "use")
    assert f"Bakery v{VERSION}" in progress
    assert "Rehearsal completed" in progress
    assert "uid 65532" in progress


def run_image(daemon: BuildKit, image: str, context: Path) -> str:
    """Run the image on this platform, as steps of a build; return what it printed."""
    shutil.copytree(HELLO, context / "hello")
    entry = '["python3", "-m", "bakery"'
    (context / "Dockerfile").write_text(
        f"FROM {image}\nCOPY hello /project/hello\n"
        'RUN ["python3", "-c", "import os; print(\'uid\', os.getuid())"]\n'
        f'RUN {entry}, "--version"]\nRUN {entry}, "rehearse", "hello", "--image-name", "hello"]\n'
    )
    return built(daemon, context, "--output", "type=cacheonly", "--no-cache", platforms=("amd64",))
