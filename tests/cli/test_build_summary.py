"""`bakery build --summary` with a stand-in for buildx: printed whatever becomes of the build, exit code unchanged."""

import json
import signal
import subprocess
import time

import pytest

from tests.build.making import BREAD, CAKE, ROLL, UIDS, standin, write_project
from tests.program import PROGRAM


@pytest.fixture
def project(tmp_path):
    return write_project(tmp_path / "project")


def start(project, tool, *words, **environment):
    return subprocess.Popen(
        [*PROGRAM, "build", "--context", project, "--no-load", *words],
        env=tool.environment | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=project,
    )  # fmt: skip


def build(project, tool, *words, **environment):
    with start(project, tool, *words, **environment) as process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_json_of_a_build_with_a_failure_has_every_target_and_exit_code_1(project, tmp_path):
    tool = standin(tmp_path / "tool", fail={CAKE: 1}, defer_error=True)
    code, out, _ = build(project, tool, "--summary-format", "json")
    summary = json.loads(out)
    assert (code, summary["exit_code"], summary["kind"]) == (1, 1, "build")
    assert {target["uid"]: target["state"] for target in summary["targets"]} == {
        BREAD: "built", CAKE: "failed", ROLL: "built",
    }  # fmt: skip
    bread, cake, _ = summary["targets"]
    assert bread["digest"].startswith("sha256:")
    assert (bread["cache_hit_ratio"], bread["registry_size"]) == (0.5, None)
    assert cake["errors"][0]["message"].startswith("cake/1.0/Containerfile.ubuntu2404:3: ")


def test_a_table_goes_to_stderr_and_the_page_to_the_step_of_github(project, tmp_path):
    tool = standin(tmp_path / "tool", fail={CAKE: 1}, defer_error=True)
    page = tmp_path / "page.md"
    code, out, err = build(project, tool, "--summary", GITHUB_STEP_SUMMARY=str(page))
    assert (code, out) == (1, "")
    assert "Build Summary (3 targets)" in err
    assert "1 of 3 targets failed" in page.read_text()
    assert "Containerfile" in page.read_text()


def test_after_a_signal_the_summary_says_what_was_built(project, tmp_path):
    tool = standin(tmp_path / "tool", hang=[ROLL], defer_error=True)
    with start(project, tool, "--summary-format", "json", GITHUB_STEP_SUMMARY="/nowhere/page.md") as process:
        until = time.monotonic() + 60
        while not (tool.folder / "waiting").exists():
            assert time.monotonic() < until, process.poll()
            time.sleep(0.01)  # another program makes the file
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert "cannot write the summary" in err
    summary = json.loads(out)
    assert process.returncode == summary["exit_code"] == 143
    assert summary["interrupted"] is True
    states = {target["uid"]: target["state"] for target in summary["targets"]}
    assert states[ROLL] == "stopped"
    assert set(states) == set(UIDS)


def test_a_summary_that_cannot_be_written_fails_a_build_that_succeeded(project, tmp_path):
    tool = standin(tmp_path / "tool", defer_error=True)
    code, _, err = build(project, tool, "--summary", GITHUB_STEP_SUMMARY=str(tmp_path / "nowhere" / "page.md"))
    assert code == 1
    assert "cannot write the summary" in err
    assert "built 3 targets" in err
