"""Rules for every workflow and action: what GitHub's own checks cannot know, and what must hold without GitHub."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.peers.programs import need
from tests.workflows.runner import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github/actions").glob("*/action.yml"))
FILES = [pytest.param(file, id=str(file.relative_to(ROOT / ".github"))) for file in (*WORKFLOWS, *ACTIONS)]


def steps(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in document.get("jobs", {}).values():
        yield from job.get("steps", [])
    yield from document.get("runs", {}).get("steps", [])


@pytest.mark.parametrize("file", FILES)
def test_no_expression_reaches_a_shell(file: Path):
    for step in steps(yaml.safe_load(file.read_text())):
        assert "${{" not in step.get("run", "")


@pytest.mark.parametrize("file", FILES)
def test_third_party_actions_are_pinned_by_commit_with_their_version(file: Path):
    for line in file.read_text().splitlines():
        used = re.match(r"\s*(?:- )?uses: (.*)", line)
        if used and not used[1].startswith("$/"):
            assert re.fullmatch(r"[\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used[1]), line


def test_one_action_is_used_in_one_version():
    pins: dict[str, set[str]] = {}
    for file in (*WORKFLOWS, *ACTIONS):
        for name, pin in re.findall(r"uses: ([\w./-]+)@(.*)", file.read_text()):
            pins.setdefault(name, set()).add(pin)
    assert {name: found for name, found in pins.items() if len(found) > 1} == {}


def test_pages_name_the_major_version_of_an_action_that_the_workflows_pin():
    majors = {"docker/login-action": "v4"}  # on pages only: our own actions log in by themselves
    for file in (*WORKFLOWS, *ACTIONS):
        majors |= dict(re.findall(r"uses: ([\w./-]+)@\w+ # (v\d+)", file.read_text()))
    others = [
        f"{page.relative_to(ROOT)}: {name}@{version}"
        for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
        for name, version in re.findall(r"uses: ((?!OWNER)[\w./-]+)@(v[\d.]+)", page.read_text())
        if majors.get(name) != version
    ]
    assert others == []


@pytest.mark.parametrize("file", FILES)
def test_every_step_runs_in_a_bash_that_notices_failures(file: Path):
    document = yaml.safe_load(file.read_text())
    default = document.get("defaults", {}).get("run", {}).get("shell")
    for step in steps(document):
        if "run" in step:
            assert (step.get("shell") or default) == "bash", step.get("name")


@pytest.mark.parametrize("file", FILES)
def test_every_script_parses(file: Path):
    for step in steps(yaml.safe_load(file.read_text())):
        if "run" in step:
            subprocess.run(["bash", "-n"], input=step["run"], text=True, check=True, timeout=60)


@pytest.mark.parametrize("file", FILES)
def test_every_action_of_ours_that_is_used_exists(file: Path):
    for path in re.findall(r"uses: \$/(\S+)", file.read_text()):
        assert (ROOT / path / "action.yml").exists(), path


@pytest.mark.parametrize("file", [pytest.param(file, id=file.parent.name) for file in ACTIONS])
def test_an_action_needs_nothing_that_enterprise_servers_do_not_have(file: Path):
    assert not re.search(r"uses: (\$/|actions/(upload|download)-artifact)|: [&*]\w", file.read_text())


@pytest.mark.parametrize("file", [pytest.param(file, id=file.name) for file in WORKFLOWS])
def test_a_workflow_has_no_permissions_but_those_of_its_jobs(file: Path):
    document = yaml.safe_load(file.read_text())
    assert document["permissions"] == {}
    for name, job in document["jobs"].items():
        assert "permissions" in job or "uses" in job, name


@pytest.mark.peer
def test_actionlint_finds_nothing():
    done = subprocess.run([need("actionlint")], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_zizmor_finds_nothing():
    program = Path(sys.executable).with_name("zizmor")
    done = subprocess.run(
        [program, "--offline", "--quiet", ROOT / ".github"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def calls(value: object) -> Iterator[dict[str, Any]]:
    """Every job or step of a document that uses one of ours."""
    if isinstance(value, dict):
        if re.match(r"OWNER/bakery/|acme/bakery/", str(value.get("uses", ""))):
            yield value
        for one in value.values():
            yield from calls(one)
    elif isinstance(value, list):
        for one in value:
            yield from calls(one)


def test_what_pages_call_exists_and_has_the_inputs_that_they_give():
    blocks = [block for page in PAGES for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)]
    found = [one for block in blocks for one in calls(yaml.safe_load(block))]
    assert len(found) > 5
    for one in found:
        path = one["uses"].partition("@")[0].split("/", 2)[2]
        file = ROOT / path if path.endswith(".yml") else ROOT / path / "action.yml"
        document = yaml.safe_load(file.read_text())
        called = (document.get("on") or document[True])["workflow_call"] if "jobs" in document else document
        assert set(one.get("with", {})) <= set(called["inputs"]), one
        assert set(one.get("secrets", {})) <= set(called.get("secrets", {})), one
