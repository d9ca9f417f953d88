"""The journal: a line a happening, with what each tag named before, and never the end of a publish."""

import errno
import fcntl
import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from bakery.errors import UsageError
from bakery.events import Noted, TagMoved
from bakery.oci.digest import Digest
from bakery.publish.journal import Journal, JournalBusy
from bakery.publish.pipeline import Pipeline, PipelineOptions
from bakery.publish.plan import Plan
from tests.clock import JumpingClock
from tests.publish.fakes import DictionaryEngine, add_image, build, target

MOVED = TagMoved("app", "registry.example/app:1", str(Digest.of(b"new")), str(Digest.of(b"old")))


def test_a_line_has_time_kind_and_what_the_tag_named_before(tmp_path):
    with Journal(tmp_path / "j.jsonl", now=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) as journal:
        journal(MOVED)
    (line,) = map(json.loads, (tmp_path / "j.jsonl").read_text().splitlines())
    assert line["time"] == "2026-01-02T03:04:05Z"
    assert (line["event"], line["previous"]) == ("TagMoved", MOVED.previous)


def test_existing_lines_are_kept_and_each_new_line_is_on_disk_at_once(tmp_path):
    (tmp_path / "j.jsonl").write_text("{}\n")
    with Journal(tmp_path / "j.jsonl") as journal:
        journal(MOVED)
        assert len((tmp_path / "j.jsonl").read_text().splitlines()) == 2


def test_a_file_that_cannot_be_written_is_reported_before_anything_is_done(tmp_path):
    with pytest.raises(UsageError) as caught:
        Journal(tmp_path / "missing" / "j.jsonl")
    assert caught.value.why == f"folder {tmp_path}/missing does not exist"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UsageError) as caught:
        Journal(tmp_path / "loop")
    assert caught.value.why == "Too many levels of symbolic links"


def test_a_full_disk_ends_the_journal_but_not_the_publish(caplog):
    with Journal(Path("/dev/full")) as journal:
        for _ in range(3):
            journal(MOVED)
    assert caplog.messages == ["cannot write to the journal /dev/full: No space left on device"]


@pytest.mark.parametrize("error", [ValueError("closed"), OSError("gone")])
def test_whatever_ends_the_journal_is_in_the_warning(tmp_path, monkeypatch, caplog, error):
    def write(text: str) -> None:
        raise error

    with Journal(tmp_path / "j.jsonl") as journal:
        monkeypatch.setattr(journal, "_file", SimpleNamespace(write=write, close=journal._file.close))
        journal(MOVED)
    assert caplog.messages == [f"cannot write to the journal {tmp_path}/j.jsonl: {error}"]


async def test_a_run_writes_every_tag_that_it_moves(tmp_path):
    engine = DictionaryEngine()
    builds = [build(add_image(engine, name)) for name in ("linux/amd64", "linux/arm64")]
    with Journal(tmp_path / "j.jsonl") as journal:
        pipeline = Pipeline(
            Plan((target(builds),)), engine, options=PipelineOptions(), clock=JumpingClock(), emit=journal
        )
        await pipeline.execute()
    lines = [json.loads(line) for line in (tmp_path / "j.jsonl").read_text().splitlines()]
    assert [line["reference"] for line in lines if line["event"] == "TagMoved"] == [
        "one.example/app:1.0",
        "one.example/app:latest",
    ]


def test_two_runs_at_once_cannot_share_a_journal_but_one_after_the_other_can(tmp_path):
    file = tmp_path / "journal"
    with Journal(file) as journal:
        journal(Noted("app", "first"))
        with pytest.raises(JournalBusy, match="another run is writing to it") as found:
            Journal(file)
        assert "--journal" in found.value.hint
        with Journal(Path("/dev/null")), Journal(Path("/dev/null")):
            pass  # nothing is kept there
    with Journal(file) as journal:
        journal(Noted("app", "second"))
    assert [json.loads(line)["message"] for line in file.read_text().splitlines()] == ["first", "second"]


def test_a_file_system_without_locks_has_journals_without_them(tmp_path, monkeypatch):
    def flock(file, operation):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with Journal(tmp_path / "journal") as journal:
        journal(Noted("app", "text"))
    assert "text" in (tmp_path / "journal").read_text()


def test_a_line_that_a_kill_cut_is_ended_before_the_next_run_is_appended(tmp_path):
    file = tmp_path / "journal"
    file.write_text('{"event": "Tag')
    with Journal(file) as journal:
        journal(Noted("app", "again"))
    first, second = file.read_text().splitlines()
    assert first == '{"event": "Tag'
    assert json.loads(second)["message"] == "again"
