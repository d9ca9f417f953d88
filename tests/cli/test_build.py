"""`bakery build` as a command: what it refuses, what it prints, and its exit codes. tests/build has the builds."""

from __future__ import annotations

import json

import pytest

from tests.build.making import BREAD, CAKE, ROLL, UIDS, standin, write_project
from tests.cli.running import bakery


@pytest.fixture
def project(tmp_path):
    return write_project(tmp_path / "project")


def build(project, *words, tool=None, environ=None, **rules):
    tool = tool or standin(project.parent / "tool", **rules)
    return bakery(
        "build", "--context", project, *words, keep_environment=False, environ=tool.environment | dict(environ or {})
    )


def test_a_build_exits_0_and_says_how_many_were_built(project):
    ran = build(project, "--push")
    assert ran.code == 0
    assert ran.out == ""
    assert ran.err.splitlines()[-1].startswith("✅ built 3 targets in ")
    assert f"#11 [{BREAD} 2/2] RUN make" in ran.err


def test_a_failed_target_is_named_at_the_end_and_the_exit_code_is_1(project):
    ran = build(project, "--push", fail={CAKE: 1})
    assert ran.code == 1
    assert ran.err.splitlines()[-1].endswith(f"failed: {CAKE}")
    assert f"\nerror[build/failed]: {CAKE}: process " in ran.err


def test_quiet_prints_the_failures_only(project):
    ran = build(project, "--push", "-q", fail={CAKE: 1})
    assert not any(line.startswith("#") for line in ran.err.splitlines())
    assert f"  | making {CAKE}" in ran.err.splitlines()
    assert build(project, "--push", "-q", tool=standin(project.parent / "other")).err == ""


def test_on_github_a_failure_is_an_annotation_of_its_line(project):
    # The folder is named as seen from the workspace, which is the repository.
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(project.parent)}
    lines = build(project, "--push", fail={CAKE: 1}, environ=environ).err.splitlines()
    place = f"::error file=project/cake/1.0/Containerfile.ubuntu2404,line=3,title={CAKE}::"
    assert [line for line in lines if line.startswith(place)]


def test_lines_of_logs_are_json_on_request(project):
    tool = standin(project.parent / "tool")
    ran = bakery(
        "--log-format", "json", "build", "--context", project, "--push", keep_environment=False,
        environ=tool.environment,
    )  # fmt: skip
    lines = [line for line in ran.err.splitlines() if line.startswith("{")]
    assert any(json.loads(line).get("message", "").endswith("RUN make") for line in lines)
    assert not any(line.startswith("#") for line in ran.err.splitlines())


def test_an_older_buildx_has_the_uid_in_front_of_each_line(project):
    ran = build(project, "--push", "--jobs", "1", defer_error=False)
    for uid in UIDS:
        assert f"[{uid}] #11 [2/2] RUN make" in ran.err.splitlines()


def test_verbose_names_the_version_of_buildx_and_the_builder(project):
    assert "buildx 0.38.2, builder b (remote)" in build(project, "--push", "-v").err


def test_a_secret_that_is_not_set_is_a_warning_before_the_build(project):
    file = project / "bakery.yaml"
    secret = "  - name: bread\n    buildSecrets: [{id: token, envVar: THE_TOKEN}]\n"
    file.write_text(file.read_text().replace("  - name: bread\n", secret))
    tool = standin(project.parent / "tool")
    assert "the build secret 'token' is left out: THE_TOKEN is not set" in build(project, "--push", tool=tool).err
    assert "secret" not in json.loads(tool.calls("bake")[-1]["stdin"])["target"][BREAD]
    ran = build(project, "--push", tool=tool, environ={"THE_TOKEN": "x"})
    assert "is left out" not in ran.err
    entry = json.loads(tool.calls("bake")[-1]["stdin"])["target"][BREAD]
    assert entry["secret"] == [{"type": "env", "id": "token", "env": "THE_TOKEN"}]
    assert "x" not in tool.calls("bake")[-1]["words"]


REFUSED = {
    "plan with strategy build": (("--plan", "--strategy", "build"), 1, "--strategy build"),
    "plan and check": (("--plan", "--check"), 2, "--plan and --check"),
    "no folder for the metadata": (("--metadata-file", "no/where.json"), 2, "--metadata-file"),
    "negative retries": (("--retry", "-1"), 2, "--retry"),
    "no target": (("--image-name", "pie"), 1, "pie"),
}


@pytest.mark.parametrize(("words", "code", "named"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_done_is_refused_before_anything_runs(project, words, code, named):
    tool = standin(project.parent / "tool")
    ran = build(project, *words, tool=tool)
    assert (ran.code, ran.out) == (code, "")
    assert named in ran.err
    assert tool.calls() == []


def test_missing_containerfiles_exit_with_3_and_check_warns_about_them(project):
    for name in ("bread", "roll"):
        (project / name / "1.0" / "Containerfile.ubuntu2404").unlink()
    ran = build(project, "--push")
    assert ran.code == 3
    assert f"roll/1.0/Containerfile.ubuntu2404 (for {ROLL})" in ran.err
    loose, strict = (bakery("check", "--context", project, *words) for words in ((), ("--strict",)))
    assert (loose.code, strict.code) == (0, 3)
    for name in ("bread", "roll"):
        assert f"warning: images[{0 if name == 'bread' else 2}].versions[0]: {name}/1.0/" in loose.err


def test_a_check_prints_each_finding_once_and_its_exit_code_depends_on_strict(project):
    warning = {"ruleName": "FromAsCasing", "detail": "casing", "location": {"ranges": [{"start": {"line": 1}}]}}
    rules = {"check": {CAKE: {"check": {"warnings": [warning, warning]}}}}
    ran = build(project, "--check", **rules)
    assert (ran.code, ran.out) == (0, "3 Containerfiles, 0 errors, 1 warning\n")
    assert ran.err.count("FromAsCasing: casing (") == 1
    assert build(project, "--check", "--strict", tool=standin(project.parent / "strict", **rules)).code == 1
    error = {"buildError": {"message": "unknown instruction", "location": {"ranges": [{"start": {"line": 2}}]}}}
    tool = standin(project.parent / "wrong", check={CAKE: {"check": error}})
    ran = build(project, "--check", tool=tool, environ={"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(project)})
    assert ran.code == 1
    assert "::error file=cake/1.0/Containerfile.ubuntu2404,line=2::unknown instruction" in ran.err
