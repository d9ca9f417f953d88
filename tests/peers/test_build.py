"""`bakery build` with a real buildx and BuildKit: what fails hides nothing else, and what was built publishes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.build.making import BREAD, CAKE, NAMES, ROLL, UIDS, write_project
from tests.peers.builder import BuildKit
from tests.peers.conftest import StartRegistry
from tests.peers.programs import ROOT, need, run
from tests.peers.publishing import BAKERY
from tests.peers.registries import RealRegistry

# A buildx that does not know the mode, in front of the real one.
OLDER = """#!/bin/sh
case "$*" in *--jobs*) echo "unknown flag: --jobs" >&2; exit 125;; esac
exec {buildx} "$@"
"""
LIMIT_S = 120


class Kitchen:
    """A project whose images are built by a real BuildKit for a temporary registry, and published to another one."""

    def __init__(self, daemon: BuildKit, folder: Path, temporary: RealRegistry, destination: RealRegistry) -> None:
        self.daemon, self.temporary, self.destination = daemon, temporary, destination
        self.folder = write_project(folder / "project", registry=destination.host)
        for name in NAMES:
            place = self.folder / name / "1.0"
            (place / "content").write_text(f"{name} {folder}\n")  # so that no test gets the cache of another
            self.write(name, f"FROM scratch\nCOPY {name}/1.0/content /c\n")
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        (bin_folder / "buildx").symlink_to(need("buildx"))
        self.bin = bin_folder

    def use_docker(self) -> None:
        """Have the real Docker CLI in PATH, and buildx only as its plugin, as Docker installs them. No daemon runs."""
        (self.bin / "buildx").unlink()
        (self.bin / "docker").symlink_to(need("docker"))
        plugins = Path(self.environment["DOCKER_CONFIG"]) / "cli-plugins"
        plugins.mkdir(exist_ok=True)
        (plugins / "docker-buildx").unlink(missing_ok=True)
        (plugins / "docker-buildx").symlink_to(need("buildx"))

    def write(self, name: str, containerfile: str) -> None:
        (self.folder / name / "1.0" / "Containerfile.ubuntu2404").write_text(containerfile)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a machine without Docker, where buildx is in PATH by itself."""
        path = f"{self.bin}{os.pathsep}/usr/sbin{os.pathsep}/usr/bin{os.pathsep}/bin"
        return self.daemon.environment | {"PATH": path, "BUILDX_BUILDER": "tests"}

    def bakery(self, *words: object, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BAKERY, *map(str, words)], env=self.environment | dict(environ or {}), cwd=self.folder,
            capture_output=True, text=True, check=False, timeout=LIMIT_S,
        )  # fmt: skip

    def building(self, file: Path, *words: object) -> list[str]:
        """The words of a build that pushes by digest."""
        given = ["build", "--push", "--temp-registry", self.temporary.host, "--metadata-file", file, *words]
        return [str(word) for word in given]

    def published(self) -> dict[str, list[str]]:
        """The platforms of the tag `1.0` of every image that was published."""
        found = {}
        for name in NAMES:
            tags = self.destination.repository(f"acme/{name}") / "_manifests" / "tags" / "1.0"
            if tags.is_dir():
                manifest = run("crane", "manifest", "--insecure", f"{self.destination.host}/acme/{name}:1.0")
                platforms = [entry["platform"] for entry in json.loads(manifest)["manifests"]]
                found[name] = sorted(one["architecture"] for one in platforms if one["architecture"] != "unknown")
        return found


@pytest.fixture
def kitchen(buildkit: BuildKit, start_registry: StartRegistry, tmp_path: Path) -> Kitchen:
    return Kitchen(buildkit, tmp_path / "kitchen", start_registry("distribution"), start_registry("distribution"))


MISSING = "FROM scratch\nCOPY cake/1.0/content /c\nCOPY nowhere /d\n"
WAYS = {
    "bake": (),
    "bake, one at a time": ("--jobs", "1"),
    "bake, older buildx": (),
    "build": ("--strategy", "build"),
    "bake, docker": (),
    "build, docker": ("--strategy", "build"),
    "fail-fast": ("--fail-fast", "--jobs", "3"),
}


@pytest.mark.parametrize("way", WAYS)
def test_one_of_three_fails_and_the_others_are_in_the_metadata_and_publish(kitchen, tmp_path, way):
    kitchen.write("cake", MISSING)
    if "older" in way:
        (kitchen.bin / "buildx").unlink()
        (kitchen.bin / "buildx").write_text(OLDER.format(buildx=need("buildx")))
        (kitchen.bin / "buildx").chmod(0o755)
    if "docker" in way:
        kitchen.use_docker()
    file = tmp_path / "metadata.json"
    built = kitchen.bakery(*kitchen.building(file, *WAYS[way]))
    assert built.returncode == 1, built.stderr
    assert set(json.loads(file.read_text())) == {BREAD, ROLL}
    assert f"failed: {CAKE}" in built.stderr
    assert re.search(rf"^error\[build/failed\]: {CAKE}: .*\(cake/1.0/Containerfile.ubuntu2404:3\)$", built.stderr, re.M)
    published = kitchen.bakery("ci", "publish", file)
    assert published.returncode == 0, published.stderr
    assert kitchen.published() == {"bread": ["amd64", "arm64"], "roll": ["amd64", "arm64"]}


def commands_of_the_readme() -> tuple[str, str]:
    """The shell commands with which the workflow of the README builds, and publishes."""
    (block,) = re.findall(r"```yaml\n(name: images.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    jobs = yaml.safe_load(block)["jobs"]
    steps = [step.get("run", "") for name in ("build", "publish") for step in jobs[name]["steps"]]
    (build,) = [step for step in steps if "bakery build" in step]
    (publish,) = [step for step in steps if "bakery ci publish" in step]
    return build, publish


def test_a_build_that_fails_on_one_platform_only_fails_the_run_and_hides_nothing(kitchen):
    """The jobs of the README, with its own commands: one build per platform, then a publish of what they uploaded."""
    installed = kitchen.folder / "installed"  # setup-bakery puts its folder first in PATH
    installed.mkdir()
    (installed / "bakery").symlink_to(BAKERY)
    build, publish = commands_of_the_readme()
    path = {"PATH": f"{installed}:{kitchen.environment['PATH']}"}

    def step(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-e", "-c", script], env=kitchen.environment | path | variables, cwd=kitchen.folder,
            capture_output=True, text=True, check=False, timeout=LIMIT_S,
        )  # fmt: skip

    for architecture, code in (("amd64", 0), ("arm64", 1)):
        kitchen.write("cake", MISSING if code else "FROM scratch\nCOPY cake/1.0/content /c\n")
        done = step(build, ARCH=architecture, TEMP_REGISTRY=kitchen.temporary.host)
        assert done.returncode == code, done.stderr
    (kitchen.folder / "metadata").mkdir()
    for file in kitchen.folder.glob("metadata-*.json"):
        file.rename(kitchen.folder / "metadata" / file.name)
    published = step(publish)
    assert published.returncode == 1
    assert CAKE in published.stderr
    assert kitchen.published() == {"bread": ["amd64", "arm64"], "roll": ["amd64", "arm64"]}


@pytest.mark.parametrize("words", [("buildx",), ("docker", "buildx")], ids=" ".join)
def test_the_plan_in_a_pipe_is_the_whole_build(kitchen, tmp_path, words):
    program = [str(need("buildx"))]
    if words[0] == "docker":
        kitchen.use_docker()
        program = [str(need("docker")), "buildx"]
    given = ("--plan", "--push", "--temp-registry", kitchen.temporary.host, "--image-platform", "linux/arm64")
    plan = kitchen.bakery("build", *given).stdout
    file = tmp_path / "metadata.json"
    subprocess.run(
        [*program, "bake", "-f", "-", "--metadata-file", file], input=plan, text=True, check=True,
        env=kitchen.environment, cwd=kitchen.folder, capture_output=True, timeout=LIMIT_S,
    )  # fmt: skip
    assert set(json.loads(file.read_text())) == set(UIDS)
    published = kitchen.bakery("ci", "publish", "--allow-missing-platforms", file)
    assert published.returncode == 0, published.stderr
    assert kitchen.published() == {name: ["arm64"] for name in NAMES}


@pytest.mark.parametrize("strategy", ["bake", "build"])
def test_both_strategies_build_the_same_images(kitchen, tmp_path, strategy):
    file = tmp_path / "metadata.json"
    words = ("--strategy", strategy, "--provenance", "false", "--cache-registry", kitchen.temporary.host)
    done = kitchen.bakery(*kitchen.building(file, *words), environ={"SOURCE_DATE_EPOCH": "1700000000"})
    assert done.returncode == 0, done.stderr
    for entry in json.loads(file.read_text()).values():
        reference = f"{entry['image.name']}@{entry['containerimage.digest']}"
        index = json.loads(run("crane", "manifest", "--insecure", reference))
        assert [one["platform"]["architecture"] for one in index["manifests"]] == ["amd64", "arm64"]
        config = json.loads(run("crane", "config", "--insecure", "--platform", "linux/amd64", reference))
        assert config["created"] == "2023-11-14T22:13:20Z"
        assert config["config"]["Labels"]["org.opencontainers.image.created"] == "2023-11-14T22:13:20Z"
    caches = run("crane", "ls", "--insecure", f"{kitchen.temporary.host}/bread/cache").decode().split()
    assert caches == ["1.0-ubuntu-24.04"]


def shell(kitchen: Kitchen, name: str, script: str) -> None:
    """Let an image run a shell script while it is built. The shell of this machine is copied: no base image is here."""
    root = kitchen.folder / "root"
    if not root.exists():
        files = ["/bin/sh", str(shutil.which("sleep"))]
        listed = subprocess.run(["ldd", *files], capture_output=True, text=True, check=True, timeout=60).stdout
        for file in {*files, *re.findall(r"(/\S+) \(0x", listed)}:
            place = root / file[1:]
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
            place.chmod(0o755)
    kitchen.write(name, f'FROM scratch\nCOPY root /\nRUN ["/bin/sh", "-c", {json.dumps(script)}]\n')


@pytest.mark.parametrize("strategy", ["bake", "build"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("has_docker", [False, True], ids=["buildx", "docker"])
def test_what_was_built_before_a_signal_is_in_the_metadata(kitchen, tmp_path, strategy, number, code, has_docker):
    if has_docker:
        kitchen.use_docker()
    # With `exec`, BuildKit ends the step at once, and buildx writes its file. Without it, it waits for the child of
    # the shell, buildx is killed after 3 s, and the entries come from its output.
    shell(kitchen, "cake", f"echo kneading; {'exec ' if number == signal.SIGTERM else ''}sleep 10")
    file = tmp_path / "metadata.json"
    words = kitchen.building(file, "--strategy", strategy, "--image-platform", "linux/amd64", "--jobs", "3")
    process = subprocess.Popen(
        [BAKERY, *words], env=kitchen.environment, cwd=kitchen.folder, stderr=subprocess.PIPE, text=True
    )
    wait_for(process, "kneading", *(f"{name}/tmp" for name in ("bread", "roll")))
    began = time.monotonic()
    process.send_signal(number)
    output = process.communicate(timeout=30)[1]
    assert process.returncode == code, output
    assert time.monotonic() - began < 8  # 3 s, KILL, and a busy machine
    assert f"not finished: {CAKE}" in output
    metadata = json.loads(file.read_text())
    assert set(metadata) == {BREAD, ROLL}
    published = kitchen.bakery("ci", "publish", "--allow-missing-platforms", file)
    assert published.returncode == 0, published.stderr
    assert kitchen.published() == {"bread": ["amd64"], "roll": ["amd64"]}


def wait_for(process: subprocess.Popen[str], *texts: str) -> None:
    """Read the output of a build until a line has the first text, and each of the others names a finished push."""
    assert process.stderr is not None
    missing = {texts[0], *(f"pushing manifest for .*/{name} .*done" for name in texts[1:])}
    finished = 0
    for line in process.stderr:
        missing = {text for text in missing if not re.search(text, line)}
        finished += bool(re.search(r"resolving provenance for metadata file", line))
        if not missing and finished == len(texts) - 1:
            return
    raise AssertionError(f"the build ended without {missing}")


def test_retry_builds_only_what_failed(kitchen, tmp_path):
    # The file appears between the attempts.
    kitchen.write("cake", MISSING)
    file = tmp_path / "metadata.json"
    process = subprocess.Popen(
        [BAKERY, *kitchen.building(file, "--retry", "1")], env=kitchen.environment, cwd=kitchen.folder,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "retrying in 5.0 s" in line:
            (kitchen.folder / "nowhere").write_text("here\n")
            break
    output = process.communicate(timeout=LIMIT_S)[1]
    assert process.returncode == 0, output
    assert "bread-1-0" not in output.split("✅")[0]
    assert set(json.loads(file.read_text())) == set(UIDS)


def test_the_reasons_of_several_failures_are_all_reported(kitchen, tmp_path):
    kitchen.write("bread", "FRUM scratch\n")
    kitchen.write("cake", MISSING)
    kitchen.write("roll", "FROM scratch\nCOPIE a b\n")
    done = kitchen.bakery(*kitchen.building(tmp_path / "metadata.json"), environ={"GITHUB_ACTIONS": "true"})
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("::error ")]
    places = sorted(re.findall(r"file=([^,]+),line=(\d+)", "\n".join(lines)))
    assert places == [
        ("bread/1.0/Containerfile.ubuntu2404", "1"),
        ("cake/1.0/Containerfile.ubuntu2404", "3"),
        ("roll/1.0/Containerfile.ubuntu2404", "2"),
    ]
    assert "FRUM" in done.stderr
    assert "COPIE" in done.stderr
    assert json.loads((tmp_path / "metadata.json").read_text()) == {}


def test_a_check_finds_warnings_and_pushes_nothing(kitchen):
    kitchen.write("cake", "FROM scratch as stage\nCOPY cake/1.0/content /c\n")
    words = ("--check", "--push", "--temp-registry", kitchen.temporary.host)
    loose, strict = kitchen.bakery("build", *words), kitchen.bakery("build", *words, "--strict")
    assert (loose.returncode, strict.returncode) == (0, 1), (loose.stderr, strict.stderr)
    assert loose.stdout == "3 Containerfiles, 0 errors, 1 warning\n"
    assert "warning: FromAsCasing: " in loose.stderr
    assert "(cake/1.0/Containerfile.ubuntu2404:1)" in loose.stderr
    assert kitchen.temporary.requests("PUT") == []


def test_a_build_without_docker_says_how_to_go_on(kitchen):
    done = kitchen.bakery("build", "--image-platform", "linux/amd64")
    assert done.returncode == 1
    assert "hint: pass --no-load" in done.stderr
    assert kitchen.bakery("build", "--no-load").returncode == 0


def test_the_builder_of_the_option_is_used(kitchen):
    done = kitchen.bakery("build", "--builder", "nobody")
    assert done.returncode == 1
    assert 'cannot reach the builder nobody: no builder "nobody" found' in done.stderr


def test_podman_builds_and_pushes_what_publishes(kitchen, tmp_path):
    (kitchen.bin / "podman").symlink_to(need("podman"))
    (tmp_path / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{tmp_path}/pod/root"\nrunroot = "{tmp_path}/pod/run"\n'
    )
    (tmp_path / "config.json").write_text("{}")
    host = kitchen.destination.host
    (tmp_path / "registries.conf").write_text(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')
    environ = {
        "BAKERY_DOCKER": "podman",
        "DOCKER_CONFIG": str(tmp_path),  # podman requires that its file exists
        "CONTAINERS_STORAGE_CONF": str(tmp_path / "storage.conf"),
        "CONTAINERS_REGISTRIES_CONF": str(tmp_path / "registries.conf"),
    }
    kitchen.write("cake", MISSING)
    file = tmp_path / "metadata.json"
    words = ("--strategy", "build", "--image-platform", "linux/amd64", "--push", "--metadata-file", file)
    done = kitchen.bakery("build", *words, environ=environ)
    assert done.returncode == 1, done.stderr
    assert re.search(rf"^error\[build/failed\]: {CAKE}: .*nowhere", done.stderr, re.MULTILINE)
    metadata = json.loads(file.read_text())
    assert set(metadata) == {BREAD, ROLL}, done.stderr
    for name, uid in (("bread", BREAD), ("roll", ROLL)):
        found = run("crane", "digest", "--insecure", f"{host}/acme/{name}:1.0").decode().strip()
        assert metadata[uid]["containerimage.digest"] == found
