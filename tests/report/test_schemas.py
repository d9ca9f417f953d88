"""The formats for programs: published schemas are current, what is written obeys them, older formats can be read."""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import jsonschema
import pytest

from bakery.cli import get
from bakery.errors import BadDocument
from bakery.events import FORMAT, RequestsSaved, RunStarted
from bakery.publish.journal import line_of
from bakery.publish.outcome import Outcome
from bakery.report.journals import entries, runs
from bakery.report.merging import merge
from bakery.report.page import summary_page
from bakery.report.reading import read_summary
from bakery.report.schemas import FORMATS, document_schema, journal_schema
from bakery.report.summary import dump, to_json
from tests import written
from tests.report.test_summary import target

SAMPLES = Path(__file__).parent / "samples"
SUMMARIES = sorted(SAMPLES.glob("summary-*.json"))
JOURNALS = sorted(SAMPLES.glob("journal-*.jsonl"))


@pytest.mark.parametrize("name", FORMATS)
def test_the_committed_schema_of_a_document_is_current(name):
    file = written.OF_FORMAT[name]
    assert file.read_text() == f"{json.dumps(document_schema(name), indent=2)}\n", (
        f"run: bakery get schema {name} > docs/schemas/{file.name}; "
        "if that format was released, give it a new number and record a sample of the old one"
    )


def test_the_committed_schema_of_a_journal_is_current():
    assert written.JOURNAL.read_text() == f"{json.dumps(journal_schema(), indent=2)}\n", (
        f"run: bakery get schema journal > docs/schemas/{written.JOURNAL.name}"
    )


def test_every_schema_is_of_a_format_and_has_a_name_on_the_command_line():
    published = {written.JOURNAL, written.SCHEMAS / "bakery.schema.json", *written.OF_FORMAT.values()}
    assert set(written.SCHEMAS.iterdir()) == published
    assert {*written.TOLD_BY.values(), "build"} == set(FORMATS)
    assert set(get_args(get._Schema)) == {"project", "journal", *FORMATS}


def test_there_is_a_sample_of_every_format():
    assert [file.stem for file in SUMMARIES] == ["summary-0", "summary-1", written.SUMMARY.name.partition(".")[0]]
    assert [file.stem for file in JOURNALS] == ["journal-1", written.JOURNAL.name.partition(".")[0]]


@pytest.mark.parametrize("file", SUMMARIES, ids=lambda file: file.stem)
def test_a_summary_of_every_format_becomes_a_page(file):
    summary = read_summary(json.loads(file.read_text()))
    page = summary_page(merge([summary]))
    assert f"summary-{summary.format}" == file.stem
    assert "### app" in page
    assert "**1.0.0 Ubuntu 24.04**" in page
    if summary.format > 0:
        assert page.startswith("## ❌ 1 of 2 targets failed")
        assert "### Failures" in page
    if summary.format > 1:
        assert "<summary>Time by stage</summary>" in page


def test_summaries_of_all_formats_merge():
    merged = merge(read_summary(json.loads(file.read_text())) for file in SUMMARIES)
    assert [target.uid for target in merged.targets] == ["app-1-0-0-ubuntu-24-04", "bad-1-0-0-ubuntu-24-04"]
    assert merged.targets[0].state == "published"


@pytest.mark.parametrize("file", JOURNALS, ids=lambda file: file.stem)
def test_a_journal_of_every_format_becomes_a_run(file):
    (run,) = runs(entries(file.read_text().splitlines()))
    app = run.targets["app-1-0-0-ubuntu-24-04"]
    assert (app.state, run.targets["bad-1-0-0-ubuntu-24-04"].state) == ("published", "failed")
    assert len(app.moves) == 4
    assert run.retries > 0
    assert 0 < run.now < 60
    if file.stem != "journal-1":
        assert run.requests > 0
        assert run.state == "failed"


def test_several_runs_in_a_journal_are_told_apart():
    lines = JOURNALS[-1].read_text().splitlines()
    first, second = runs(entries([*lines, *lines]))
    assert len(first.targets) == len(second.targets) == 2


def test_lines_that_are_no_events_and_members_of_later_formats_are_left_out():
    lines = JOURNALS[-1].read_text().splitlines()
    odd = ["", "{", "[]", "5", '{"event": "Unheard"}', '{"event": ["x"], "time": 5}', lines[-1][:40], "[" * 100_000]
    later = [json.dumps(json.loads(line) | {"later": [1]}) for line in lines]
    (run,) = runs(entries([*odd, *later, *odd]))
    assert len(run.targets) == 2


def test_a_file_without_events_is_no_journal():
    with pytest.raises(BadDocument, match="none of its lines is an event"):
        entries(["{}", ""])


def test_a_clock_that_is_set_back_does_not_turn_time_around():
    lines = [json.loads(line) for line in JOURNALS[-1].read_text().splitlines()]
    for line in lines[20:]:
        line["time"] = "2020-01-01T00:00:00Z"
    (run,) = runs(entries(map(json.dumps, lines)))
    steps = [step for target in run.targets.values() for step in target.steps]
    assert all(step.elapsed_s(run.now) >= 0 for step in steps)


def fresh_summary():
    return to_json(Outcome((target(),)))


def test_a_member_that_is_not_published_is_noticed():
    summary = fresh_summary()
    with pytest.raises(jsonschema.ValidationError, match="'extra' was unexpected"):
        written.check_document(summary | {"extra": 1})
    summary["targets"][0]["extra"] = 1
    with pytest.raises(jsonschema.ValidationError, match="'extra' was unexpected"):
        written.check_document(summary)
    line = json.loads(line_of(RequestsSaved(1), datetime.now(UTC)))
    with pytest.raises(jsonschema.ValidationError, match="'extra' was unexpected"):
        written.check_line(json.dumps(line | {"extra": 1}))


def test_files_that_a_test_leaves_are_looked_into(tmp_path):
    (tmp_path / "deep").mkdir()
    file = tmp_path / "deep" / "journal"
    file.write_text('{"time": "2026-01-01T00:00:00Z", "event": "RequestsSaved", "count": "one"}\n')
    with pytest.raises(jsonschema.ValidationError, match="'one' is not of type 'integer'"):
        written.check_files(tmp_path)
    file.write_text(dump(fresh_summary() | {"exit_code": "0"}))
    with pytest.raises(jsonschema.ValidationError, match="'0' is not of type 'integer'"):
        written.check_files(tmp_path)
    file.unlink()


def test_what_a_process_prints_is_looked_into():
    text = dump(fresh_summary() | {"exit_code": "0"})
    with pytest.raises(jsonschema.ValidationError, match="'0' is not of type 'integer'"):
        subprocess.run(["cat"], input=text, capture_output=True, text=True, check=True)
    assert subprocess.run(["cat"], input=b"{}", capture_output=True, check=True).stdout == b"{}"


def test_the_first_line_of_a_run_has_the_number_of_the_format():
    assert json.loads(line_of(RunStarted("publish"), datetime.now(UTC)))["format"] == FORMAT
