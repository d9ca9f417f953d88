"""The dgoss plugin with the real dgoss and goss, and a stand-in for docker that needs no containers."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from bakery.plugins.dgoss import DgossPlugin
from bakery.plugins.dgoss.result import GossStatus
from tests.peers.programs import need
from tests.plugins.examples import make_project
from tests.program import PROGRAM

BAKERY = [*PROGRAM]
STANDIN = Path(__file__).parent / "standin"
PASSES = """
command:
  value of the version:
    exec: echo "$IMAGE_VERSION on $IMAGE_OS_NAME, token ${GH_TOKEN:-none}"
    exit-status: 0
    stdout: ["1.0.0 on ubuntu, token hidden"]
file:
  "{{.Env.IMAGE_VERSION_MOUNT}}/Containerfile.ubuntu2404.std": {exists: true}
"""
FAILS = 'file: {"{{.Env.IMAGE_MOUNT}}/no-such-file": {exists: true}}'

pytestmark = pytest.mark.peer


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Two targets: `oven`, whose tests pass, and `plain`, whose tests fail."""
    state = tmp_path / "state"
    state.mkdir()
    monkeypatch.setenv("DGOSS_PATH", str(need("dgoss")))
    monkeypatch.setenv("GOSS_PATH", str(need("goss")))
    monkeypatch.setenv("PATH", f"{STANDIN}:{os.environ['PATH']}")
    monkeypatch.setenv("STANDIN_STATE", str(state))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_TOKEN", "hidden")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    folder = tmp_path / "project"
    targets = make_project(folder)
    text = (folder / "bakery.yaml").read_text().replace("command: from image", "command: sleep 600")
    targets = make_project(folder, text)
    (folder / "oven/test/goss.yaml").write_text(PASSES)
    (folder / "plain/test/goss.yaml").write_text(FAILS)
    yield folder, targets
    for file in state.glob("*.json"):  # containers that a failed test left
        os.killpg(json.loads(file.read_text())["pid"], signal.SIGKILL)


def containers(tmp_path):
    return list((tmp_path / "state").glob("*.json"))


def statuses(results):
    return [(result.artifacts or {})["goss"].status for result in results]


def test_passing_and_failing_targets_with_their_files(project, tmp_path, capsys, monkeypatch):
    folder, targets = project
    (folder / "results/dgoss/old").mkdir(parents=True)
    plugin = DgossPlugin()
    results = plugin.execute(folder, targets)
    assert statuses(results) == [GossStatus.PASSED, GossStatus.FAILED], [result.stderr for result in results]
    assert [result.exit_code for result in results] == [0, 1]
    assert {str(path.relative_to(folder / "results/dgoss")) for path in (folder / "results/dgoss").rglob("*.*")} == {
        "oven/oven-1-0-0-standard-ubuntu-24-04.json",
        "oven/oven-1-0-0-standard-ubuntu-24-04.xml",
        "plain/plain-2-0.json",
        "plain/plain-2-0.xml",
    }
    assert not (folder / "results/dgoss/old").exists()
    report = (folder / "results/dgoss/plain/plain-2-0.json").read_text()
    assert json.loads(report)["summary"]["failed-count"] == 1
    assert report.startswith('{\n  "results"')
    assert containers(tmp_path) == []
    assert list((tmp_path / "scratch").iterdir()) == []

    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    with pytest.raises(SystemExit) as ended:
        plugin.results(results)
    assert ended.value.code == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"plain-2-0 test failures:\n  File: {folder}/plain/no-such-file: exists:" in shown.err
    assert "### Goss test results" in summary.read_text()
    plugin.results(results[:1])
    assert "✅ Tests completed" in capsys.readouterr().err


def test_the_token_appears_on_no_command_line(project, tmp_path):
    folder, targets = project
    DgossPlugin().execute(folder, targets)
    assert "hidden" not in (tmp_path / "state/calls").read_text()


def test_a_target_that_cannot_be_tested_is_an_error_and_the_others_go_on(project):
    folder, targets = project
    shutil.rmtree(folder / "plain/test")
    results = DgossPlugin().execute(folder, targets)
    assert statuses(results) == [GossStatus.PASSED, GossStatus.ERROR]
    assert "goss.yaml" in (results[1].artifacts or {})["goss"].error


def test_a_goss_file_without_tests_is_an_error(project):
    folder, targets = project
    (folder / "plain/test/goss.yaml").write_text("{}")
    results = DgossPlugin().execute(folder, targets[1:])
    assert statuses(results) == [GossStatus.ERROR]
    assert "found 0 tests" in results[0].stdout + results[0].stderr


def test_a_timeout_leaves_no_container(project, tmp_path):
    folder, _ = project
    (folder / "plain/test/goss.yaml").write_text("command: {sleep 600: {exit-status: 0, timeout: 600000}}")
    text = (folder / "bakery.yaml").read_text().replace("timeout: 7", "timeout: 1")
    results = DgossPlugin().execute(folder, make_project(folder, text)[1:])
    assert statuses(results) == [GossStatus.ERROR]
    assert "timed out after 1 s" in (results[0].artifacts or {})["goss"].error
    assert containers(tmp_path) == []


@pytest.mark.parametrize("signals", [1, 2])
def test_an_interrupt_leaves_no_container_and_no_directory(project, tmp_path, signals):
    folder, _ = project
    fifo = tmp_path / "ready"
    os.mkfifo(fifo)
    # goss itself reports that it is in the middle of a test.
    (folder / "plain/test/goss.yaml").write_text(
        f"command: {{'echo > {fifo}; sleep 600': {{exit-status: 0, timeout: 600000}}}}"
    )
    process = subprocess.Popen(
        [*BAKERY, "dgoss", "run", "--context", str(folder), "--image-name", "plain"],
        stderr=subprocess.PIPE,
    )
    with process:
        fifo.read_bytes()
        assert len(containers(tmp_path)) == 1
        for _ in range(signals):
            process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130, stderr
    assert containers(tmp_path) == []
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_command_reports_failed_tests_and_exits_with_one(project):
    folder, _ = project
    done = subprocess.run(
        [*BAKERY, "run", "dgoss", "--context", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "`bakery dgoss run`" in done.stderr
    assert "❌ dgoss tests failed" in done.stderr
    assert done.stdout == ""
