"""The small modules that every room may use: extents of files, and work in threads."""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from bakery.extent import Extent, part_of, rest
from bakery.files import (
    cannot_find,
    cannot_write,
    is_file,
    is_folder,
    is_there,
    not_a_file,
    open_for_text,
    read_regular,
    real_path,
)
from bakery.polling import poll_delays
from bakery.tasks import in_thread


def test_an_extent_reads_its_part_of_the_file():
    with tempfile.TemporaryFile() as file:
        file.write(bytes(range(100)))
        file.flush()
        extent = Extent(file.fileno(), 10, 50)
        assert extent.read() == bytes(range(10, 60))
        assert len(extent) == 50
        assert extent.read_into(memoryview(bytearray(64))) == extent.read()
        left = rest(extent, 20)
        assert isinstance(left, Extent)
        assert left.read() == bytes(range(30, 60))
        assert [part.read() for part in extent.pieces(20)] == [bytes(range(s, min(s + 20, 60))) for s in (10, 30, 50)]


def test_a_part_of_memory_is_the_same_memory():
    memory = memoryview(bytearray(range(100)))
    part = part_of(memory, 10, 50)
    memory[10] = 0
    assert isinstance(part, memoryview)
    assert bytes(part) == bytes([0, *range(11, 60)])
    assert rest(part, 20) == memory[30:60]


def test_an_extent_beyond_the_end_of_the_file_is_an_error():
    with tempfile.TemporaryFile() as file:
        file.write(b"short")
        file.flush()
        with pytest.raises(EOFError, match="before 100 bytes"):
            Extent(file.fileno(), 0, 100).read()


async def test_a_cancelled_task_waits_until_its_thread_has_ended():
    started, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        may_end.wait(10)
        ended.set()

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(started.wait, 10)
    for _ in range(3):  # cancelling it again while it waits changes nothing
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_cancelling_a_task_calls_stop():
    started, stopped = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        assert stopped.wait(10)

    task = asyncio.create_task(in_thread(work, stop=stopped.set))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stopped.is_set()


async def test_an_exception_in_a_thread_is_raised_in_the_task():
    def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await in_thread(work)


def test_polls_start_after_a_quarter_second_and_slow_down_to_one_in_five_seconds():
    delays = list(itertools.islice(poll_delays(), 30))
    assert delays[:3] == [0.25, 0.3, 0.36]
    assert delays[-1] == 5.0
    assert delays == sorted(delays)


def test_why_a_file_cannot_be_written_is_known_before_it_is_opened(tmp_path, monkeypatch):
    assert cannot_write(tmp_path / "new") == ""
    assert cannot_write(tmp_path) == "it is a folder"
    assert cannot_write(tmp_path / "no" / "new") == f"folder {tmp_path / 'no'} does not exist"
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    assert cannot_write(tmp_path / "new") == "permission denied"
    monkeypatch.setattr(os, "statvfs", lambda place: SimpleNamespace(f_flag=os.ST_RDONLY))
    assert cannot_write(tmp_path / "new") == "read-only file system"


LONG = "x" * 300


def test_what_cannot_be_looked_at_is_not_there_and_has_the_reason_of_the_system(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for path, why in ((tmp_path / LONG, "File name too long"), (loop, "Too many levels of symbolic links")):
        assert (is_there(path), is_file(path), is_folder(path)) == (False, False, False)
        assert cannot_find(path) == not_a_file(path) == cannot_write(path) == why
        assert cannot_write(path / "new") == why
    assert cannot_find(tmp_path / "no" / "new") == "it does not exist"
    assert not_a_file(tmp_path / "no") == "no such file"
    assert (cannot_find(tmp_path), not_a_file(tmp_path)) == ("", "it is not a regular file")
    assert real_path(loop).name == "loop"


def test_a_file_in_a_folder_that_may_not_be_searched_is_not_there():
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "file").touch()
        folder.chmod(0)
        try:
            if not user:
                os.seteuid(65534)  # root may search every folder
            assert not is_there(folder / "file")
            assert not_a_file(folder / "file") == cannot_write(folder / "file") == "Permission denied"
        finally:
            os.seteuid(user)
            folder.chmod(0o700)


def test_a_pipe_is_read_only_as_a_stream_and_never_waited_for(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="it is not a regular file"):
        read_regular(pipe, limit_bytes=10)
    with pytest.raises(OSError, match="it is a pipe that no process writes"):
        read_regular(pipe, limit_bytes=10, stream=True)
    read, write = os.pipe()
    os.write(write, b"text")
    os.close(write)
    assert read_regular(Path(f"/dev/fd/{read}"), limit_bytes=10, stream=True) == b"text"
    os.close(read)
    assert read_regular(Path(os.devnull), limit_bytes=10, stream=True) == b""
    with pytest.raises(OSError, match="it is not a regular file"):
        read_regular(Path("/dev/zero"), limit_bytes=10, stream=True)


@pytest.mark.parametrize("append", [True, False])
def test_a_line_is_one_write_however_long_it_is(tmp_path, append, monkeypatch):
    """A process that is killed while it writes a line leaves no half of it."""
    lines = ["short\n", "x" * 300_000 + "\n", "last\n"]
    with open_for_text(tmp_path / "lines", append=append) as file:
        raw, sizes = cast(io.BufferedWriter, file.buffer).raw, []
        write = raw.write

        def counted(data: bytes) -> int | None:
            sizes.append(len(data))
            return write(data)

        monkeypatch.setattr(raw, "write", counted)
        for line in lines:
            file.write(line)
    assert sizes == [len(line) for line in lines]
    assert (tmp_path / "lines").read_text() == "".join(lines)
