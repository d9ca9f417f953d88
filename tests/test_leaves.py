"""The small modules that every room may use: extents of files, and threads that are waited for."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import threading

import pytest

from bakery.extent import Extent
from bakery.polling import poll_delays
from bakery.tasks import in_thread


def test_an_extent_gives_its_stretch_of_the_file_and_has_its_length():
    with tempfile.TemporaryFile() as file:
        file.write(bytes(range(100)))
        file.flush()
        extent = Extent(file.fileno(), 10, 50)
        assert extent.read() == bytes(range(10, 60))
        assert len(extent) == 50
        assert extent.read_into(memoryview(bytearray(64))) == extent.read()
        assert extent.after(20).read() == bytes(range(30, 60))
        assert [part.read() for part in extent.pieces(20)] == [bytes(range(s, min(s + 20, 60))) for s in (10, 30, 50)]


def test_an_extent_beyond_the_end_of_its_file_is_an_error_and_not_short():
    with tempfile.TemporaryFile() as file:
        file.write(b"short")
        file.flush()
        with pytest.raises(EOFError, match="before 100 bytes"):
            Extent(file.fileno(), 0, 100).read()


async def test_whoever_is_cancelled_while_a_thread_works_leaves_only_when_it_has_ended():
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait(10)
        ended.set()

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(begun.wait, 10)
    for _ in range(3):  # cancelled again while it waits: no matter
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_long_work_is_told_that_nobody_wants_it_any_more():
    begun, told = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert told.wait(10)

    task = asyncio.create_task(in_thread(work, stop=told.set))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told.is_set()


async def test_what_a_thread_raises_is_raised():
    def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await in_thread(work)


def test_polls_start_after_a_quarter_second_and_slow_down_to_one_in_five_seconds():
    delays = list(itertools.islice(poll_delays(), 30))
    assert delays[:3] == [0.25, 0.3, 0.36]
    assert delays[-1] == 5.0
    assert delays == sorted(delays)
