"""What a publish prints: few lines on GitHub, objects with --log-format json, errors with -q, a view on a terminal."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
from contextlib import AsyncExitStack

import pyte
import pytest

from bakery.errors import ExitCode
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.faults import Lag, Refuse
from tests.cli.running import bakery
from tests.cli.test_publish import Stage
from tests.program import PROGRAM

IMAGES = tuple(f"app{number}" for number in range(7))
GITHUB = {"GITHUB_ACTIONS": "true", "CI": "true"}
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
async def two(tmp_path):
    """Seven targets that go to two registries, and the names of their metadata files."""
    async with AsyncExitStack() as stack:
        source, first, second = [await stack.enter_async_context(EmbeddedRegistry()) for _ in range(3)]
        stage = Stage(source, first, tmp_path)
        stage.project(*IMAGES)
        text = (tmp_path / "bakery.yaml").read_text()
        other = f'  - host: "{second.address}"\n    namespace: acme\nimages:'
        (tmp_path / "bakery.yaml").write_text(text.replace("images:", other, 1))
        yield stage, [name for image in IMAGES for name in stage.build(image)]


async def test_seven_targets_are_at_most_25_lines_on_github_and_5_the_second_time(two):
    stage, files = two
    code, _, err = await stage.bakery("ci", "publish", *files, environment=GITHUB)
    assert code == ExitCode.DONE, err
    lines = err.splitlines()
    assert len(lines) <= 25, err
    assert sum("→" in line and ":latest" in line for line in lines) == 7
    assert re.match(r"✅ Publish completed · 7 published · .* sent · \d+ requests", lines[-1])
    code, _, err = await stage.bakery("ci", "publish", *files, environment=GITHUB)
    assert code == ExitCode.DONE
    assert len(err.splitlines()) <= 5, err
    assert "✅ Publish completed · 7 unchanged" in err


async def test_the_lines_while_it_runs_have_a_time_and_are_folded_on_github(two):
    stage, files = two
    _, _, err = await stage.bakery("ci", "publish", *files, environment=GITHUB)
    folded = err.partition("::group::Publishing 7 targets\n")[2].partition("::endgroup::\n")[0].splitlines()
    assert sum(bool(re.match(r"\d{4}-\d\d-\d\dT[\d:]+Z INFO app\d-\S+: published in ", line)) for line in folded) == 7
    assert "→" not in "".join(folded)


async def test_every_line_is_an_object_with_log_format_json_errors_and_the_last_one_too(two):
    stage, files = two
    stage.destination.fault("POST", "/blobs/uploads/", repository="acme/app0", then=Refuse(403, "DENIED"))
    code, out, err = await stage.bakery("--log-format", "json", "ci", "publish", *files, environment=GITHUB)
    lines = [json.loads(line) for line in err.splitlines()]
    assert (code, out) == (ExitCode.AUTHENTICATION, "")
    assert all(line["time"] and line["level"] and line["message"] for line in lines)
    (error,) = [line for line in lines if line["level"] == "error" and line.get("event") == "failed"]
    assert (error["step"], error["targets"]) == ("stage", [stage.uid("app0")])
    assert error["hint"]
    assert error["code"] == "auth/denied"
    assert len([line for line in lines if line.get("event") == "target"]) == 7  # app0 at the other registry
    assert (lines[-1]["event"], lines[-1]["state"], lines[-1]["failures"]) == ("finished", "failed", 1)
    assert lines[-1]["requests"] > 0
    assert lines[-1]["bytes_out"] > 0


WORDS = (
    "nosuch", "check", "check --nosuch", "get version nosuch", "get targets --image-name zzz",
    "ci publish missing.json",
    "ci matrix nosuch", "build --check", "build --plan --image-name zzz", "publish --dry-run --offline missing.json",
    "rehearse --faults nosuch", "imagetools copy", "soci convert", "rollback missing", "clean repository",
    "explain nosuch", "ci summary missing.json", "ci",
)  # fmt: skip


@pytest.mark.parametrize("words", WORDS)
def test_whatever_goes_wrong_is_an_object_on_each_line(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = "images: [{name: app, versions: [{name: '1'}]}]"
    (tmp_path / "bakery.yaml").write_text(f"repository: {{url: 'https://example.org/x'}}\n{image}\n")
    ran = bakery("--log-format", "json", *words.split())
    lines = [json.loads(line) for line in ran.err.splitlines()]
    assert all(line["time"] and line["level"] and line["message"] for line in lines)
    if ran.code and words != "ci":  # which prints its help
        assert lines[-1]["level"] == "error"
        assert lines[-1]["code"]


async def test_json_lines_may_be_asked_for_after_the_command_too(two):
    stage, _ = two
    code, _, err = await stage.bakery("ci", "publish", "--log-format", "json", "missing.json")
    assert code == ExitCode.CONFIGURATION
    assert [json.loads(line)["level"] for line in err.splitlines()][-1] == "error"


async def test_quiet_prints_nothing_of_a_success_and_the_failures_of_any_other_run(two):
    stage, files = two
    assert await stage.bakery("ci", "publish", "-q", *files) == (ExitCode.DONE, "", "")
    stage.destination.fault("PUT", "/manifests/", repository="acme/app0", then=Refuse(400, "MANIFEST_INVALID"))
    stage.destination.delete_tag("acme/app0", "latest")
    code, _, err = await stage.bakery("ci", "publish", "-q", *files)
    assert code == ExitCode.FAILED
    first, *_, last = err.splitlines()
    assert first.startswith(f"error[registry/refused]: {stage.uid('app0')}: [commit]")
    assert last.startswith("❌ Publish failed: 1 failure")
    assert "INFO" not in err


async def test_verbose_prints_whole_digests_and_every_tag(two):
    stage, files = two
    _, _, err = await stage.bakery("ci", "publish", "-v", *files)
    changes = [line for line in err.splitlines() if " → " in line]
    assert len(changes) == 7
    assert all(re.search(r"sha256:[0-9a-f]{64}  → ", line) for line in changes)
    assert sum("(was new)" in line for line in err.splitlines() if "DEBUG" in line) == 7 * 2 * 4


async def test_problems_of_a_project_are_annotations_at_their_place(two):
    stage, files = two
    text = (stage.folder / "bakery.yaml").read_text()
    (stage.folder / "bakery.yaml").write_text(text.replace("latest: true", "latest: perhaps", 1))
    code, _, err = await stage.bakery("ci", "publish", *files, environment=GITHUB)
    assert code == ExitCode.CONFIGURATION
    assert re.search(r"^::error file=bakery.yaml,line=\d+,col=\d+,title=[^:]*latest[^:]*::", err, re.MULTILINE), err
    assert err.splitlines()[-1] == "::error title=project/invalid::cannot load bakery.yaml: 1 error"


async def on_terminal(
    stage: Stage, *arguments: str, columns: int = 80, interrupt_at: bytes = b"", **environment: str
) -> tuple[int, str, list[str]]:
    """Run a command on a terminal. Return its exit code, all that it wrote, and what the screen shows at the end.

    interrupt_at: what it writes before SIGINT is sent to it.
    """
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    written, loop, read, interrupting = bytearray(), asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def take() -> None:
        try:
            part = os.read(ours, 65536)
        except OSError:
            part = b""
        written.extend(part)
        if interrupt_at and interrupt_at in written:
            interrupting.set()
        if not part:
            loop.remove_reader(ours)
            read.set()

    import fcntl
    import struct
    import termios

    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, *arguments, cwd=stage.folder, stderr=theirs, stdout=asyncio.subprocess.DEVNULL,
        env=os.environ | {"TERM": "xterm-256color", "CI": "", **environment},
    )  # fmt: skip
    os.close(theirs)
    loop.add_reader(ours, take)
    async with asyncio.timeout(60):
        if interrupt_at:
            await interrupting.wait()
            process.send_signal(signal.SIGINT)
        code = await process.wait()
        await read.wait()
    os.close(ours)
    screen = pyte.Screen(columns, 100)
    pyte.ByteStream(screen).feed(bytes(written))
    return code, written.decode(), [row.rstrip() for row in screen.display if row.strip()]


@pytest.mark.parametrize("columns", [40, 80, 200])
async def test_on_a_terminal_a_view_is_drawn_and_the_result_stays_and_nothing_wraps(two, columns):
    stage, files = two
    stage.destination.fault("*", then=Lag(2.0))  # long enough for frames to be drawn
    code, written, rows = await on_terminal(stage, "ci", "publish", *files, columns=columns)
    assert code == ExitCode.DONE
    assert "Publishing " in written
    assert not any(row.startswith(("Publishing ", "▸")) for row in rows)  # gone
    assert all(len(line) < columns for line in ANSI.sub("", written).replace("\r", "\n").splitlines())
    assert any(row.startswith("✅ Publish completed") for row in rows)
    assert sum(row.startswith("app") for row in rows) == 7


@pytest.mark.parametrize(
    ("option", "environment"),
    [("--no-progress", {}), ("--jobs=3", {"BAKERY_NO_PROGRESS": "1"}), ("--jobs=3", {"TERM": "dumb"})],
    ids=["option", "variable", "dumb terminal"],
)
async def test_without_a_view_a_terminal_gets_lines_and_nothing_moves(two, option, environment):
    stage, files = two
    stage.destination.fault("*", then=Lag(1.0))
    code, written, rows = await on_terminal(stage, "ci", "publish", option, *files, **environment)
    assert code == ExitCode.DONE
    assert not re.search(r"\x1b\[[0-9;?]*[A-HJKhl]", written)  # no move, no erasure
    assert sum("published in" in row for row in rows) == 7


async def test_an_interrupt_leaves_the_terminal_as_it_was_and_the_result_on_it(two):
    stage, files = two
    stage.destination.fault("*", then=Lag(40.0))
    code, written, rows = await on_terminal(stage, "ci", "publish", *files, interrupt_at="▸".encode())
    assert code == ExitCode.INTERRUPTED
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")  # the cursor is shown again
    assert not any(row.startswith(("Publishing ", "▸")) for row in rows)
    assert any(row.startswith("❌ Publish interrupted; run the same command again to continue") for row in rows)


PROGRESS = {
    "plain": (r"published in ", True),
    "none": (r"^$", False),
    "rawjson": (r'^\{"time": .*"event": "TagMoved"', True),
}


@pytest.mark.parametrize(("progress", "expected"), PROGRESS.items(), ids=PROGRESS)
async def test_progress_means_what_it_means_to_buildx(two, progress, expected):
    stage, files = two
    entry = json.loads((stage.folder / files[0]).read_text())[stage.uid("app0")]
    source = f"{entry['image.name']}@{entry['containerimage.digest']}"
    words = ("imagetools", "copy", "--progress", progress, source, f"{stage.destination.address}/acme/copy:1")
    code, _, err = await stage.bakery(*words)
    assert code == ExitCode.DONE, err
    assert re.search(expected[0], err, re.MULTILINE), err
    assert bool(err) is expected[1]
    if progress == "rawjson":
        assert [json.loads(line) for line in err.splitlines()][-1]["event"] == "finished"


async def test_a_terminal_in_another_locale_gets_ascii(two):
    stage, files = two
    stage.destination.fault("*", then=Lag(1.0))
    code, written, rows = await on_terminal(
        stage, "ci", "publish", *files, LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0"
    )
    assert code == ExitCode.DONE
    assert written.isascii()
    assert any(row.startswith("ok: Publish completed | ") for row in rows)
