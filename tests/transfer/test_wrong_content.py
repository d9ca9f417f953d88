"""Content that is wrong: downloaded once more, since a cache may be wrong once, and never completed anywhere."""

import asyncio
import os

import pytest

from bakery.errors import DigestMismatch
from bakery.transfer.spool import Spools
from tests.transfer.test_spool import SIZES, Source, blob_of, everything


class Corrupt(Source):
    """A source whose content is wrong the first `times`; that is known at its end."""

    def __init__(self, content: bytes, times: int) -> None:
        super().__init__(content)
        self.times = times

    async def check(self) -> None:
        if self.reads <= self.times:
            raise DigestMismatch("reading a blob")

    async def fetch(self, blob, keep):
        def altered(piece, position):
            keep(memoryview(bytes(len(piece))) if self.reads <= self.times else piece, position)

        async for written in super().fetch(blob, altered):
            yield written


async def use(room, blob, source, work):
    """What every user of a spool does."""
    while True:
        async with room.holding(blob, source) as spool:
            return await work(spool)


@pytest.mark.parametrize("memory_bytes", [0, 1 << 24], ids=["no memory", "memory"])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
async def test_content_that_is_wrong_once_is_downloaded_once_more_for_all_its_readers(size, memory_bytes):
    content = os.urandom(size)
    source, blob = Corrupt(content, times=1), blob_of(content)
    tries: list[bytearray] = []
    async with asyncio.TaskGroup() as group:
        room = Spools(group, limit_bytes=1 << 30, memory_bytes=memory_bytes)

        async def work(spool):
            received = bytearray()
            tries.append(received)
            async for chunk in spool.chunks():
                received.extend(chunk)
            return bytes(received)

        async with asyncio.TaskGroup() as readers:
            results = [readers.create_task(use(room, blob, source, work)) for _ in range(3)]
    assert [result.result() for result in results] == [content] * 3
    assert source.reads == 2
    assert all(len(one) < size for one in tries[:3] if size)  # of the first content, none got the last byte
    room.close()


async def test_content_that_is_wrong_twice_is_an_error_for_all_its_readers():
    content = os.urandom(200_000)
    source, blob = Corrupt(content, times=99), blob_of(content)
    async with asyncio.TaskGroup() as group:
        room = Spools(group, limit_bytes=1 << 30)
        results = await asyncio.gather(*(use(room, blob, source, everything) for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [DigestMismatch] * 3
        assert source.reads == 2
        with pytest.raises(DigestMismatch):
            await use(room, blob, source, everything)
        assert source.reads == 3  # of a later caller: one more, not two
    room.close()


async def test_a_caller_that_arrives_while_wrong_content_is_held_waits_for_its_release():
    """Its memory or file is in use until then: an upload may be sending it."""
    content = os.urandom(200_000)
    source, blob = Corrupt(content, times=1), blob_of(content)
    async with asyncio.TaskGroup() as group:
        room = Spools(group, limit_bytes=1 << 30)
        async with room.holding(blob, source) as first:
            with pytest.raises(DigestMismatch):
                await first.verified()
            second = asyncio.create_task(use(room, blob, source, everything))
            for _ in range(5):
                await asyncio.sleep(0)
            assert source.reads == 1
        assert await second == content
    room.close()
