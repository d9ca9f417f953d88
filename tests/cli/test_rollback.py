"""`bakery rollback` and sets as processes: what becomes of the tags, what is printed, and the exit codes."""

import asyncio
import json
import os
import pty
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from bakery.errors import ExitCode
from bakery.oci.digest import Digest
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.faults import Wait
from tests.engines.workload import add_image, layer
from tests.program import PROGRAM, Done, run_bakery

ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith(("BAKERY_", "GITHUB_"))}


@dataclass
class Place:
    """Two registries, the second of which is a destination too, and commands that work with them."""

    one: EmbeddedRegistry
    two: EmbeddedRegistry
    folder: Path

    def source(self, salt: str) -> str:
        made = add_image(self.one, "tmp", "linux/amd64", layers=[layer(salt)], salt=salt)
        return f"{self.one.address}/tmp@{made.digest}"

    async def start(
        self, *arguments: str, stdin: int | IO[bytes] = asyncio.subprocess.DEVNULL
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *PROGRAM, *arguments, cwd=self.folder, env=ENVIRONMENT, stdin=stdin,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def bakery(self, *arguments: str) -> Done:
        return await run_bakery(self.folder, *arguments, environment=ENVIRONMENT)

    def create(self, salt: str, *options: str) -> tuple[str, ...]:
        tags = [word for host in (self.one, self.two) for word in ("-t", f"{host.address}/app:1,2,latest")]
        return ("imagetools", "create", *options, *tags, self.source(salt))

    async def publish(self, salt: str, *options: str) -> None:
        code, _, err = await self.bakery(*self.create(salt, *options))
        assert code == ExitCode.DONE, err

    def tags(self) -> dict[str, Digest]:
        return {f"{n}:{tag}": digest for n, host in ((1, self.one), (2, self.two)) for tag, digest in named(host)}


def named(host: EmbeddedRegistry) -> list[tuple[str, Digest]]:
    return sorted(host.tags("app").items())


@pytest.fixture
async def place(tmp_path):
    async with EmbeddedRegistry() as one, EmbeddedRegistry() as two:
        yield Place(one, two, tmp_path)


@pytest.mark.parametrize("record", [("--journal", "record"), ("--summary-file", "record.json")])
async def test_every_tag_goes_back_and_a_second_rollback_changes_nothing_and_the_undo_brings_it_back(place, record):
    await place.publish("old")
    before = place.tags()
    await place.publish("new", *record)
    after = place.tags()
    code, _, err = await place.bakery("rollback", "--yes", record[1])
    assert (code, place.tags()) == (ExitCode.DONE, before), err
    assert "6 tags (6 restored)" in err
    code, _, err = await place.bakery("rollback", "--yes", record[1])
    assert (code, place.tags()) == (ExitCode.DONE, before)
    assert "6 tags (6 already restored)" in err
    code, _, err = await place.bakery("rollback", "--yes", f"{record[1]}.undo.jsonl")
    assert (code, place.tags()) == (ExitCode.DONE, after), err


async def test_a_tag_that_was_new_is_deleted_and_the_undo_creates_it_again(place):
    await place.publish("new", "--journal", "record")
    after = place.tags()
    code, _, err = await place.bakery("rollback", "--yes", "record")
    assert (code, place.tags()) == (ExitCode.DONE, {}), err
    assert (await place.bakery("rollback", "--yes", "record.undo.jsonl"))[0] == ExitCode.DONE
    assert place.tags() == after


async def test_a_tag_that_was_moved_since_is_left_and_named(place):
    await place.publish("old")
    before = place.tags()
    await place.publish("new", "--journal", "record")
    await place.bakery("imagetools", "create", "-t", f"{place.two.address}/app:latest", place.source("other"))
    other = place.tags()["2:latest"]
    code, out, err = await place.bakery("rollback", "--yes", "--output", "json", "record")
    assert code == ExitCode.FAILED
    assert place.tags() == before | {"2:latest": other}
    assert f"left: {place.two.address}/app:latest: something else moved it since: it names {other}" in err
    assert {one["tag"]: one["state"] for one in json.loads(out)["tags"]}[f"{place.two.address}/app:latest"] == "left"


async def test_nothing_is_restored_to_an_index_of_which_a_part_is_gone(place):
    await place.publish("old")
    index = json.loads(place.two.manifest("app", "latest")[1])
    await place.publish("new", "--journal", "record")
    after = place.tags()
    place.two.delete_manifest("app", Digest.parse(index["manifests"][0]["digest"]))
    code, _, err = await place.bakery("rollback", "--yes", "record")
    assert code == ExitCode.FAILED
    assert {tag: one for tag, one in place.tags().items() if tag[0] == "2"} == {
        tag: one for tag, one in after.items() if tag[0] == "2"
    }
    assert "is no longer in the repository" in err


async def test_a_dry_run_only_shows_the_plan(place):
    await place.publish("new", "--journal", "record")
    after = place.tags()
    code, _, err = await place.bakery("rollback", "--dry-run", "record")
    assert (code, place.tags()) == (ExitCode.DONE, after)
    assert err.count("nothing: it was new") == 6
    assert "✅ Rollback planned: 6 tags (6 to restore)" in err
    await place.bakery("rollback", "--yes", "record")
    (place.folder / "nothing").write_text('{"targets": []}')
    assert (await place.bakery("rollback", "--dry-run", "nothing"))[2] == "✅ Rollback planned: no tag was moved\n"


async def test_without_a_terminal_nothing_is_restored_unless_yes_is_given(place):
    await place.publish("new", "--journal", "record")
    code, _, err = await place.bakery("rollback", "record")
    assert code == ExitCode.USAGE
    assert "pass --yes" in err
    assert err.count("\nrestore  ") == 6, "the plan is shown all the same"
    code, _, err = await place.bakery("rollback", "record", "-q")
    assert (code, err.startswith("error[")) == (ExitCode.USAGE, True)


async def test_two_rollbacks_at_once_end_in_one_state_and_say_so_each_with_a_journal_of_its_own(place):
    await place.publish("old")
    before = place.tags()
    await place.publish("new", "--journal", "record")
    place.one.fault("GET", "/v2/app/manifests/sha256", then=Wait(0.5), times=1)  # the other one begins meanwhile
    async with asyncio.TaskGroup() as group:
        both = [group.create_task(place.bakery("rollback", "--yes", "record")) for _ in range(2)]
    assert place.tags() == before
    for done in both:
        code, _, err = done.result()
        assert code == ExitCode.DONE, err
        assert "✅ Rollback completed: 6 tags" in err
    files = sorted(place.folder.glob("record.undo*"))
    assert [file.name for file in files] == ["record.undo-2.jsonl", "record.undo.jsonl"]
    for file in files:
        assert file.read_text().count('"event": "RunStarted"') == 1


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupt_while_tags_move_restores_them_before_the_process_ends(place, signum):
    await place.publish("old")
    before = place.tags()
    place.two.fault("PUT", "/manifests/2", then=Wait(0.5))  # in flight when the signal comes
    process = await place.start(*place.create("new", "--all-or-nothing", "run", "-v"))
    async with asyncio.timeout(30):
        assert process.stderr is not None
        while b" -> sha256:" not in (line := await process.stderr.readline()):  # the first tag has moved
            assert line
        process.send_signal(signum)
        sent = time.monotonic()
        _, err = await process.communicate()
    assert process.returncode == 128 + signum, err.decode()
    assert time.monotonic() - sent < 10
    assert place.tags() == before


@pytest.mark.parametrize(("answer", "restored"), [(b"n\n", False), (b"\n", False), (b"y\n", True)])
async def test_on_a_terminal_the_plan_is_shown_and_nothing_is_restored_without_a_yes(place, answer, restored):
    await place.publish("old")
    before = place.tags()
    await place.publish("new", "--journal", "record")
    after = place.tags()
    terminal, end = pty.openpty()
    with os.fdopen(terminal, "wb", buffering=0) as keyboard, os.fdopen(end, "rb", buffering=0) as stdin:
        keyboard.write(answer)
        process = await place.start("rollback", "record", stdin=stdin)
        async with asyncio.timeout(50):
            _, err = await process.communicate()
    assert place.tags() == (before if restored else after), err.decode()
    assert err.count(b"restore ") >= 6
    assert process.returncode == (ExitCode.DONE if restored else ExitCode.FAILED), err.decode()


@pytest.mark.parametrize(("content", "why"), [(None, "it does not exist"), ("", "it is empty"), ("\n", "it is empty")])
async def test_a_file_that_says_nothing_is_an_error_before_anything_is_asked(place, content, why):
    if content is not None:
        (place.folder / "record").write_text(content)
    code, _, err = await place.bakery("rollback", "record")
    assert code == ExitCode.CONFIGURATION, err
    assert why in err
