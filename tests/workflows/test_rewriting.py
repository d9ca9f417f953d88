"""release/enterprise.py: what it rewrites in a workflow; what it does not know is refused by file and line."""

from __future__ import annotations

import re

import pytest
import yaml
from release.enterprise import DOWNLOAD, UPLOAD, NotRewritable, Server, rewrite

from tests.install.trees import ROOT

SERVER = Server("acme/bakery", "0123456789" * 4, "v1.2.3")
WORKFLOWS = {
    file.name: file.read_text()
    for file in sorted((ROOT / ".github/workflows").glob("*.yml"))
    if "workflow_call:" in file.read_text()
}
SETUP = f"acme/bakery/.github/actions/setup-bakery@{SERVER.commit} # v1.2.3"
PIN = f"@{'ab' * 20} # v7.0.1"
WORKFLOW = f"""\
# What it does.
name: One
on:
  workflow_call:
    inputs:
      name: {{ type: string, default: one }}
jobs:
  build:
    runs-on: ${{{{ matrix.build.runner }}}}
    steps:
      - &setup
        uses: $/.github/actions/setup-bakery
      - run: "true"
      - uses: actions/upload-artifact{PIN}
        with: {{ name: "${{{{ inputs.name }}}}-metadata-${{{{ matrix.build.id }}}}", path: "*.json" }}

  publish:
    runs-on: ubuntu-24.04
    steps:
      - *setup
      - uses: actions/download-artifact{PIN}
        with: {{ pattern: "${{{{ inputs.name }}}}-metadata-*", path: metadata, merge-multiple: true }}
"""


def test_there_are_five_reusable_workflows():
    assert len(WORKFLOWS) == 5


@pytest.mark.parametrize("name", WORKFLOWS)
def test_nothing_of_a_workflow_is_left_that_an_enterprise_server_does_not_know(name):
    before, after = WORKFLOWS[name], rewrite(name, WORKFLOWS[name], SERVER)
    assert after.count("acme/bakery/.github/actions/") >= before.count("$/.github/actions/") > 0
    assert not re.search(r"\$/|ubuntu|pattern:|merge-multiple|^ *(- |[\w-]+: )[&*]\w", after, re.MULTILINE)
    pins = set(re.findall(r"uses: (actions/(?:up|down)load-artifact.*)", after))
    assert pins <= {UPLOAD, DOWNLOAD}
    assert bool(pins) is ("-artifact@" in before)
    comments = re.findall(r"(?<=[ ])# (?!v\d).*|^# .*", before, re.MULTILINE)
    assert [one for one in comments if one not in after] == []


def test_a_workflow_says_what_it_was_rewritten_from_below_what_it_is():
    first, second, third, *_ = rewrite("one.yml", WORKFLOW, SERVER).splitlines()
    assert first == "# What it does."
    assert second == f"# Rewritten for GitHub Enterprise Server from v1.2.3 ({SERVER.commit}) by `make enterprise`."
    assert third == "name: One"


def test_steps_of_the_result():
    jobs = yaml.safe_load(rewrite("one.yml", WORKFLOW, SERVER))["jobs"]
    setup = {"uses": SETUP.partition(" #")[0]}
    name = "${{ inputs.name }}-metadata"
    assert jobs["build"]["steps"] == [
        setup,
        {"run": "true"},
        {"uses": UPLOAD.partition(" #")[0], "with": {"name": name, "path": "*.json"}},
    ]
    download = {"uses": DOWNLOAD.partition(" #")[0], "with": {"name": name, "path": "metadata"}}
    assert jobs["publish"] == {"runs-on": "self-hosted", "steps": [setup, download]}


STEP = "uses: $/.github/actions/setup-bakery"
# name: (what of WORKFLOW is replaced, by what, the message)
REPLACED = {
    "an unpinned action": (STEP, "uses: docker/x@v3", "12: unknown action: - uses: docker/x@v3"),
    "an action without its version": (STEP, f"uses: docker/x@{'ab' * 20}", "12: unknown action"),
    "an action of the checkout": (STEP, "uses: ./action", "12: unknown action"),
    "an image": (STEP, "uses: docker://alpine:3", "12: unknown action"),
    "a workflow of ours": (STEP, "uses: $/.github/workflows/x.yml", "12: unknown action"),
    "a job that calls one": (
        "    runs-on: ubuntu-24.04\n",
        "    uses: $/.github/workflows/x.yml\n",
        "18: unknown action",
    ),
    "another runner": ("runs-on: ubuntu-24.04", "runs-on: ubuntu-latest", "18: unknown runner: runs-on: ubuntu-latest"),
    "several runners": ("runs-on: ubuntu-24.04", "runs-on: [self-hosted, arm]", "18: unknown runner"),
    "a runner in an input": ("default: one", "default: ubuntu-24.04-arm", "6: cannot rewrite"),
    "our action in a script": ('"true"', "cat $/.github/x", "13: cannot rewrite"),
    "an anchor of a value": ("default: one", "default: &one one", "6: cannot expand an anchor"),
    "an alias with a comment": ("- *setup", "- *setup # again", "20: cannot expand an anchor: - *setup # again"),
    "a merge key": ('run: "true"', "<<: *setup", "13: cannot expand an anchor"),
    "an unknown pattern": ("-metadata-*", "-other-*", "21: a download of the unknown pattern"),
    "a pattern of all": ('"${{ inputs.name }}-metadata-*"', '"*"', "21: a download of the unknown pattern"),
    "a pattern into folders": (", merge-multiple: true", "", "21: a download by a pattern that does not merge"),
    "a download with a condition": (
        "  with: { pattern",
        "  if: always()\n        with: { pattern",
        "21: a download has if",
    ),
    "a download of nothing": (", path: metadata, merge-multiple: true", "", "21: a download by a pattern"),
    "an input of later versions": ('path: "*.json"', 'path: "*.json", overwrite: true', "14: an upload has overwrite"),
    "another axis of the matrix": (
        "-${{ matrix.build.id }}",
        "-${{ matrix.os }}",
        "21: a download of the unknown pattern",
    ),
}


@pytest.mark.parametrize(("old", "new", "message"), REPLACED.values(), ids=REPLACED)
def test_what_is_not_known_is_refused_by_file_and_line(old, new, message):
    assert WORKFLOW.count(old) == 1
    with pytest.raises(NotRewritable) as refused:
        rewrite("one.yml", WORKFLOW.replace(old, new), SERVER)
    assert str(refused.value).startswith(f"one.yml:{message}")


def test_a_download_of_an_artifact_that_no_job_uploads_is_refused():
    text = WORKFLOW.replace(
        '{ pattern: "${{ inputs.name }}-metadata-*", path: metadata, merge-multiple: true }', "{ name: x }"
    )
    with pytest.raises(NotRewritable, match="unknown artifact"):
        rewrite("one.yml", text, SERVER)
