"""The dgoss plugin with real containers, if docker or podman runs and has, or can pull, a small image."""

import os
import shutil
import subprocess

import pytest

from bakery.plugins.dgoss import DgossPlugin
from bakery.plugins.dgoss.result import GossStatus
from tests.peers.programs import need
from tests.plugins.examples import make_project

IMAGE = os.environ.get("BAKERY_TEST_IMAGE", "docker.io/library/busybox:1.37")

pytestmark = [pytest.mark.peer, pytest.mark.slow]


def works(runtime):
    if shutil.which(runtime) is None:
        return False
    return subprocess.run([runtime, "info"], capture_output=True, check=False, timeout=30).returncode == 0


@pytest.fixture(params=["docker", "podman"])
def runtime(request):
    if not works(request.param):
        pytest.skip(f"{request.param} does not run here")
    fetched = subprocess.run([request.param, "pull", "--quiet", IMAGE], capture_output=True, check=False, timeout=120)
    if fetched.returncode != 0:
        pytest.skip(f"{IMAGE} cannot be pulled here")
    return request.param


def test_passing_and_failing_tests_in_real_containers(runtime, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTAINER_RUNTIME", runtime)
    monkeypatch.setenv("DGOSS_PATH", str(need("dgoss")))
    monkeypatch.setenv("GOSS_PATH", str(need("goss")))
    folder = tmp_path / "project"
    make_project(folder)
    text = (folder / "bakery.yaml").read_text()
    text = text.replace("command: from image", "command: sleep 600").replace("--privileged --user 0", "--user 0")
    text = text.replace("timeout: 7", "timeout: 60")
    targets = make_project(folder, text)
    (folder / "oven/test/goss.yaml").write_text(
        'file: {"{{.Env.IMAGE_VERSION_MOUNT}}/Containerfile.ubuntu2404.std": {exists: true}}'
    )
    (folder / "plain/test/goss.yaml").write_text("file: {/no/such/file: {exists: true}}")
    for target in targets:
        subprocess.run([runtime, "tag", IMAGE, target.references[0]], check=True, timeout=60)
    try:
        results = DgossPlugin().execute(folder, targets)
        statuses = [(result.artifacts or {})["goss"].status for result in results]
        assert statuses == [GossStatus.PASSED, GossStatus.FAILED], [result.stderr for result in results]
        left = subprocess.run(
            [runtime, "ps", "--all", "--quiet", "--filter", "label=bakery.dgoss"],
            capture_output=True,
            check=True,
            timeout=60,
        )
        assert left.stdout == b""
    finally:
        for target in targets:
            subprocess.run([runtime, "rmi", target.references[0]], capture_output=True, check=False, timeout=60)
