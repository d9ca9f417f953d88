"""--timeline and --trace of commands that run, and `ci timeline`, which draws a run from its journal."""

import json
from pathlib import Path

import pytest

from bakery.errors import ExitCode
from tests.cli.running import bakery

SAMPLE = Path(__file__).parents[1] / "report" / "samples" / "journal-2.jsonl"
PROJECT = """\
repository: {url: "https://github.com/acme/images", vendor: Acme, maintainer: "Acme <images@acme.example>"}
registries: [{host: ghcr.io, namespace: acme}]
images:
  - name: hello
    versions: [{name: "1.0.0", os: [{name: Ubuntu 24.04, primary: true}]}]
"""


def test_a_rehearsal_leaves_a_timeline_and_a_trace(tmp_path):
    (tmp_path / "bakery.yaml").write_text(PROJECT)
    page, trace = tmp_path / "run.html", tmp_path / "run.json"
    ran = bakery("rehearse", tmp_path, "--timeline", page, "--trace", trace)
    assert ran.code == ExitCode.DONE, ran.err
    assert page.read_text().startswith("<!doctype html>")
    assert '"uid":"hello-1-0-0-ubuntu-24-04"' in page.read_text()
    assert '"name":"ghcr.io"' in page.read_text()
    assert "127.0.0.1" not in page.read_text() + trace.read_text(), "registries have the names that the project uses"
    assert {event["name"] for event in json.loads(trace.read_text())["traceEvents"]} >= {"stage", "commit", "verify"}


@pytest.mark.parametrize("option", ["--timeline", "--trace"])
def test_a_file_that_cannot_be_written_is_reported_before_the_run(tmp_path, option):
    (tmp_path / "bakery.yaml").write_text(PROJECT)
    ran = bakery("rehearse", tmp_path, option, tmp_path / "no" / "such" / "file")
    assert ran.code == ExitCode.USAGE
    assert f"invalid value for {option}" in ran.err


def test_a_journal_is_drawn_later_as_a_page_and_as_a_trace(tmp_path):
    page, trace = tmp_path / "run.html", tmp_path / "run.json"
    ran = bakery("ci", "timeline", SAMPLE, "--output", page, "--trace", trace)
    assert (ran.code, ran.out) == (ExitCode.DONE, "")
    assert "app-1-0-0-ubuntu-24-04" in page.read_text()
    assert json.loads(trace.read_text())["otherData"]["state"] == "failed"


def test_without_a_file_to_write_there_is_nothing_to_do():
    ran = bakery("ci", "timeline", SAMPLE)
    assert ran.code == ExitCode.USAGE
    assert "pass --output FILE.html, --trace FILE.json or both" in ran.err


@pytest.mark.parametrize(("content", "why"), [("{}\n", "none of its lines is an event"), (None, "it does not exist")])
def test_a_file_that_is_no_journal_is_an_error(tmp_path, content, why):
    journal = tmp_path / "journal"
    if content is not None:
        journal.write_text(content)
    ran = bakery("ci", "timeline", journal, "--output", tmp_path / "run.html")
    assert ran.code == ExitCode.CONFIGURATION
    assert why in ran.err
    assert "Traceback" not in ran.err
