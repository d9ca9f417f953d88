"""Spools: read once, kept while needed, bounded; a broken download never gives its last byte."""

import asyncio
import errno
import os

import pytest

from bakery.errors import BakeryError, ConnectionFailed, DigestMismatch
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.transfer.spool import CHUNK_BYTES, IN_MEMORY_BYTES, Spools

SIZES = {"nothing": 0, "a byte": 1, "in memory": 1000, "at the edge": IN_MEMORY_BYTES, "a file": 3 * CHUNK_BYTES + 17}


class Source:
    """A store that gives its content in pieces, as slowly as a gate allows, and counts how often it was read."""

    realm = "source"

    def __init__(self, content: bytes, *, break_after: int | None = None, piece: int = 70_000) -> None:
        self.content, self.break_after, self.piece = content, break_after, piece
        self.reads = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def check(self) -> None:
        """What is left to do when the last byte is kept: compare the digest."""

    async def has(self, blob, *, else_write=False):
        return True

    async def fetch(self, blob, keep):
        self.reads += 1
        for position in range(0, len(self.content), self.piece):
            await self.gate.wait()
            if self.break_after is not None and position >= self.break_after:
                raise ConnectionFailed("reading a blob")
            piece = self.content[position : position + self.piece]
            await asyncio.to_thread(keep, memoryview(piece), position)
            yield position + len(piece)
        await self.check()

    async def write(self, blob, body):
        raise AssertionError("unexpected write")

    async def mount(self, blob, source):
        raise AssertionError("unexpected mount")


def blob_of(content: bytes) -> Descriptor:
    return Descriptor("application/octet-stream", Digest.of(content), len(content))


async def everything(spool) -> bytes:
    return b"".join([chunk async for chunk in spool.chunks()])


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
async def test_all_readers_get_all_bytes_of_one_download(size):
    content = os.urandom(size)
    source, blob = Source(content), blob_of(content)
    async with asyncio.TaskGroup() as group:
        room = Spools(group, limit_bytes=1 << 30)

        async def reader():
            async with room.holding(blob, source) as spool:
                assert await everything(spool) == content
                assert await everything(spool) == content  # a retry reads it again

        async with asyncio.TaskGroup() as readers:
            for _ in range(3):
                readers.create_task(reader())
    assert source.reads == 1
    room.close()


@pytest.mark.parametrize("size", [1000, IN_MEMORY_BYTES + 1], ids=["in memory", "a file"])
async def test_the_last_byte_is_not_readable_before_the_digest_is_verified(size, monkeypatch):
    content = os.urandom(size)
    source, blob = Source(content), blob_of(content)
    received = bytearray()
    nearly_all = asyncio.Event()

    async def receive(spool):
        async for chunk in spool.chunks():
            received.extend(chunk)
            if len(received) >= size - 1:
                nearly_all.set()

    async def refuse() -> None:
        await nearly_all.wait()
        raise DigestMismatch("reading a blob")

    monkeypatch.setattr(source, "check", refuse)
    async with asyncio.TaskGroup() as group:
        room = Spools(group, limit_bytes=1 << 30)
        async with room.holding(blob, source) as spool:
            with pytest.raises(DigestMismatch):
                await receive(spool)
    assert received == content[:-1]
    room.close()


async def test_a_broken_download_fails_its_readers():
    content = os.urandom(200_000)
    source, blob = Source(content, break_after=140_000), blob_of(content)
    async with asyncio.TaskGroup() as group:
        room = Spools(group, limit_bytes=1 << 30)
        async with room.holding(blob, source) as spool:
            with pytest.raises(ConnectionFailed):
                await everything(spool)
    room.close()


async def test_a_failed_download_is_retried_by_the_next_caller():
    content = os.urandom(200_000)
    source, blob = Source(content, break_after=0), blob_of(content)
    async with asyncio.TaskGroup() as group:
        room = Spools(group, limit_bytes=1 << 30)
        with pytest.raises(ConnectionFailed):
            async with room.holding(blob, source) as spool:
                await everything(spool)
        source.break_after = None
        async with room.holding(blob, source) as spool:
            assert await everything(spool) == content
    room.close()


async def test_unused_spools_are_evicted_and_used_ones_stay():
    contents = [os.urandom(400_000) for _ in range(3)]
    sources = [Source(content) for content in contents]
    async with asyncio.TaskGroup() as group:
        room = Spools(group, limit_bytes=900_000)
        async with room.holding(blob_of(contents[0]), sources[0]) as kept:
            await everything(kept)
            for number in (1, 2, 1):
                async with room.holding(blob_of(contents[number]), sources[number]) as spool:
                    await everything(spool)
            assert await everything(kept) == contents[0]
    assert [source.reads for source in sources] == [1, 2, 1]
    room.close()


async def test_a_blob_larger_than_the_limit_is_spooled_if_it_is_the_only_one():
    content = os.urandom(500_000)
    async with asyncio.TaskGroup() as group:
        room = Spools(group, limit_bytes=1000)
        async with room.holding(blob_of(content), Source(content)) as spool:
            assert await everything(spool) == content
    room.close()


async def test_two_blobs_that_do_not_fit_together_take_turns():
    contents = [os.urandom(400_000), os.urandom(400_000)]
    order = []
    async with asyncio.TaskGroup() as group:
        room = Spools(group, limit_bytes=500_000)

        async def one(number):
            async with room.holding(blob_of(contents[number]), Source(contents[number])) as spool:
                order.append(number)
                assert await everything(spool) == contents[number]

        async with asyncio.timeout(10), asyncio.TaskGroup() as readers:
            for number in (0, 1):
                readers.create_task(one(number))
    assert sorted(order) == [0, 1]
    room.close()


FULL_DISK = {
    "that has no room for its file": "tempfile.mkstemp",
    "that is full in the middle": "bakery.transfer.spool.os.pwrite",
}


@pytest.mark.parametrize("call", FULL_DISK.values(), ids=FULL_DISK)
async def test_a_full_temporary_folder_is_reported_with_a_hint(call, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(call, refuse)
    content = os.urandom(IN_MEMORY_BYTES + 1)
    async with asyncio.TaskGroup() as owner:
        room = Spools(owner, limit_bytes=2 * len(content))
        with pytest.raises(BakeryError, match="No space left", check=lambda error: "TMPDIR" in error.hint):
            async with room.holding(blob_of(content), Source(content)) as spool:
                await everything(spool)
        room.close()
