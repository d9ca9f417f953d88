"""From an empty folder to a published image with a real BuildKit: init, checks, builds, summaries, the publish."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.peers.builder import BuildKit
from tests.peers.conftest import StartRegistry
from tests.peers.programs import need
from tests.peers.publishing import BAKERY
from tests.written import check_document

WHO = ("--vendor", "Acme", "--maintainer", "Images <images@acme.example>", "--url", "git.example.org/acme/app")
PLATFORMS = ("linux/amd64", "linux/arm64")


class Folder:
    """A folder, and `bakery` in it with the builder of the tests."""

    def __init__(self, path: Path, daemon: BuildKit) -> None:
        path.mkdir()
        self.path = path
        ours = {"BAKERY_DOCKER": str(need("buildx")), "BUILDX_BUILDER": "tests"}
        self._environment = daemon.environment | ours | {"GIT_CEILING_DIRECTORIES": str(path.parent)}

    def bakery(self, *words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [BAKERY, *map(str, words)],
            env=self._environment, cwd=self.path, capture_output=True, text=True, check=False, timeout=180,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done

    def build(self, name: str, *words: object, code: int = 0) -> dict[str, Any]:
        """Build with a JSON summary, which is also written to a file of this name, and return it."""
        done = self.bakery(
            "build",
            "--metadata-file",
            f"{name}-metadata.json",
            "--summary",
            "--summary-format",
            "json",
            *words,
            code=code,
        )
        (self.path / f"{name}.json").write_text(done.stdout)
        summary: dict[str, Any] = json.loads(done.stdout)
        check_document(summary)
        return summary


@pytest.fixture
def folder(tmp_path: Path, buildkit: BuildKit) -> Folder:
    return Folder(tmp_path / "app", buildkit)


@pytest.mark.slow
@pytest.mark.parametrize("existing", ["", "Containerfile", "Dockerfile"])
def test_what_init_writes_passes_every_check_and_builds(folder: Folder, existing: str) -> None:
    if existing:
        (folder.path / existing).write_text("FROM scratch\nCOPY bakery.yaml /\n")
    folder.bakery("init", *WHO, "--registry", "ghcr.io/acme")
    folder.bakery("check", "--strict")
    folder.bakery("build", "--check", "--strict")
    folder.bakery("rehearse")
    summary = folder.build("all", "--no-load")
    platforms = ["linux/amd64"] if existing else list(PLATFORMS)
    (target,) = summary["targets"]
    assert (target["state"], target["platform_list"]) == ("built", platforms)
    assert (target["registry_size"], target["local_size"]) == (None, None), "nothing was pushed or loaded"


@pytest.mark.slow
def test_summaries_of_builds_and_of_their_publish_count_every_platform_once(
    folder: Folder, start_registry: StartRegistry
) -> None:
    registry = start_registry("distribution").host
    folder.bakery("init", *WHO, "--registry", f"{registry}/acme")
    push = ("--push", "--temp-registry", f"{registry}/tmp", "--cache-registry", f"{registry}/cache")
    for platform in PLATFORMS:
        summary = folder.build(platform.rpartition("/")[2], *push, "--image-platform", f"^{platform}$")
        (target,) = summary["targets"]
        assert (summary["kind"], summary["exit_code"], target["platforms"]) == ("build", 0, 1)
        assert target["digest"].startswith("sha256:")
        assert target["registry_size"] > 0, "the layers of the image that was pushed by digest"
        assert target["layers"] == 1
        assert target["cache_ref"].endswith(platform.rpartition("/")[2])
        assert target["cache_size"] > 0
        assert (target["local_size"], target["warnings"], target["errors"]) == (None, 0, [])
    again = folder.build("again", *push, "--image-platform", "^linux/arm64$")
    assert again["targets"][0]["cache_hit_ratio"] == 1.0
    published = folder.bakery("ci", "publish", "--summary-format", "json", "amd64-metadata.json", "arm64-metadata.json")
    (folder.path / "published.json").write_text(published.stdout)
    whole = json.loads(published.stdout)
    folder.bakery("ci", "summary", "amd64.json", "arm64.json", "published.json", "--output", "page.md")
    page = (folder.path / "page.md").read_text()
    assert whole["targets"][0]["digest"] in page
    assert page.count("`linux/arm64`") == page.count("`linux/amd64`") == 1


@pytest.mark.slow
def test_a_platform_that_does_not_build_is_in_the_summary_with_its_reason(
    folder: Folder, start_registry: StartRegistry
) -> None:
    registry = start_registry("distribution").host
    folder.bakery("init", *WHO, "--registry", f"{registry}/acme")
    file = folder.path / "app" / "1.0.0" / "Containerfile.scratch"
    file.write_text("FROM scratch\nARG TARGETARCH\nCOPY only-$TARGETARCH /\n")
    (folder.path / "only-amd64").write_text("amd64")
    push = ("--push", "--temp-registry", f"{registry}/tmp")
    folder.build("amd64", *push, "--image-platform", "amd64")
    summary = folder.build("arm64", *push, "--image-platform", "arm64", code=1)
    (target,) = summary["targets"]
    assert (summary["exit_code"], target["state"], target["digest"]) == (1, "failed", None)
    (error,) = target["errors"]
    assert "only-arm64" in error["message"]
    assert error["file"] == "app/1.0.0/Containerfile.scratch"
    assert error["line"] == 3
    folder.bakery("ci", "summary", "amd64.json", "arm64.json", "--output", "page.md")
    assert "only-arm64" in (folder.path / "page.md").read_text().replace("\\", "")


@pytest.mark.slow
def test_the_summary_of_a_plan_counts_and_that_of_a_build_is_a_table(folder: Folder) -> None:
    folder.bakery("init", *WHO, "--registry", "ghcr.io/acme")
    planned = folder.bakery("build", "--plan", "--summary")
    json.loads(planned.stdout)
    assert [line.split() for line in planned.stderr.splitlines() if line.startswith(("Platform", "Registry"))] == [
        ["Platform", "Builds", "2"], ["Registry", "Tags", "4"],
    ]  # fmt: skip
    assert folder.bakery("build", "--plan", "--summary-format", "json", code=2).stdout == ""
    built = folder.bakery("build", "--no-load", "--summary", "--timeline", "run.html", "--trace", "run.json")
    assert built.stdout == ""
    assert '"stages":["build"]' in (folder.path / "run.html").read_text()
    events = json.loads((folder.path / "run.json").read_text())["traceEvents"]
    assert [event["args"]["target"] for event in events if event["name"] == "build"] == ["app-1-0-0-scratch"]
    assert "Build Summary (1 target)" in built.stderr
