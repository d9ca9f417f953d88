"""Spools: read once, kept while needed, bounded; a broken download never yields its last byte."""

import asyncio
import errno
import os
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakery.errors import BakeryError, ConnectionFailed, DigestMismatch
from bakery.extent import Extent
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.transfer.spool import CHUNK_BYTES, SMALL_BYTES, Spools
from tests.transfer.making import open_files

SIZES = {"nothing": 0, "a byte": 1, "in memory": 1000, "at the edge": SMALL_BYTES, "a file": 3 * CHUNK_BYTES + 17}


class Source:
    """A store that yields its content in pieces, as slowly as a gate allows, and counts how often it was read."""

    realm = "source"

    def __init__(self, content: bytes, *, break_after: int | None = None, piece: int = 70_000) -> None:
        self.content, self.break_after, self.piece = content, break_after, piece
        self.reads = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.begins = asyncio.Event()
        self.begins.set()

    async def check(self) -> None:
        """What is left to do when the last byte is kept: compare the digest."""

    async def has(self, blob, *, else_write=False):
        return True

    async def fetch(self, blob, keep):
        self.reads += 1
        await self.begins.wait()
        yield 0
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


class Instant(Source):
    """The same without threads: a turn of the loop for every piece."""

    async def fetch(self, blob, keep):
        yield 0
        for position in range(0, len(self.content), self.piece):
            await asyncio.sleep(0)
            piece = self.content[position : position + self.piece]
            keep(memoryview(piece), position)
            yield position + len(piece)


def blob_of(content: bytes) -> Descriptor:
    return Descriptor("application/octet-stream", Digest.of(content), len(content))


async def everything(spool) -> bytes:
    return b"".join([chunk async for chunk in spool.chunks()])


@pytest.mark.parametrize("memory_bytes", [0, 1 << 24], ids=["no memory", "memory"])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
async def test_all_readers_get_all_bytes_of_one_download(size, memory_bytes):
    content = os.urandom(size)
    source, blob = Source(content), blob_of(content)
    async with asyncio.TaskGroup() as group:
        room = Spools(group, limit_bytes=1 << 30, memory_bytes=memory_bytes)

        async def reader():
            async with room.holding(blob, source) as spool:
                assert await everything(spool) == content
                assert await everything(spool) == content  # a retry reads it again

        async with asyncio.TaskGroup() as readers:
            for _ in range(3):
                readers.create_task(reader())
    assert source.reads == 1
    room.close()


@pytest.mark.parametrize("memory_bytes", [0, 1 << 24], ids=["no memory", "memory"])
@pytest.mark.parametrize("size", [1000, SMALL_BYTES + 1], ids=["small", "large"])
async def test_the_last_byte_is_not_readable_before_the_digest_is_verified(size, memory_bytes, monkeypatch):
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
        room = Spools(group, limit_bytes=1 << 30, memory_bytes=memory_bytes)
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
    content = os.urandom(SMALL_BYTES + 1)
    async with asyncio.TaskGroup() as owner:
        room = Spools(owner, limit_bytes=2 * len(content), memory_bytes=0)
        with pytest.raises(BakeryError, match="No space left", check=lambda error: "TMPDIR" in error.hint):
            async with room.holding(blob_of(content), Source(content)) as spool:
                await everything(spool)
        room.close()


async def test_a_closed_room_keeps_neither_files_nor_names(tmp_path):
    before = open_files()
    content = os.urandom(SMALL_BYTES + 1)
    async with asyncio.TaskGroup() as group:
        room = Spools(group, memory_bytes=0, directory=tmp_path)
        async with room.holding(blob_of(content), Source(content)) as spool:
            assert await everything(spool) == content
            assert open_files() > before
            assert list(tmp_path.iterdir()) == []
    room.close()
    room.close()
    assert open_files() == before


async def test_a_blob_of_the_size_that_fits_in_memory_needs_no_file():
    before, content = open_files(), bytes(SMALL_BYTES)
    async with asyncio.TaskGroup() as group:
        room = Spools(group)
        async with room.holding(blob_of(content), Source(content)) as spool:
            assert await everything(spool) == content
            assert open_files() == before
    room.close()


async def test_a_write_to_the_file_that_takes_only_some_bytes_is_continued(monkeypatch):
    pwrite, content = os.pwrite, os.urandom(SMALL_BYTES + 1)
    monkeypatch.setattr(os, "pwrite", lambda file, piece, at: pwrite(file, piece[:30_000], at))
    async with asyncio.TaskGroup() as group:
        room = Spools(group, memory_bytes=0)
        async with room.holding(blob_of(content), Source(content)) as spool:
            assert await everything(spool) == content
    room.close()


async def test_an_empty_blob_is_verified_too(monkeypatch):
    source = Source(b"")

    async def refuse() -> None:
        raise DigestMismatch("cannot read blob")

    monkeypatch.setattr(source, "check", refuse)
    async with asyncio.TaskGroup() as group:
        room = Spools(group)
        async with room.holding(blob_of(b""), source) as spool:
            with pytest.raises(DigestMismatch):
                await everything(spool)
    room.close()


async def test_a_spool_that_is_being_filled_makes_no_room_even_without_a_reader():
    first, second = os.urandom(400_000), os.urandom(400_000)
    slow = Source(first)
    slow.gate.clear()
    async with asyncio.TaskGroup() as group:
        room = Spools(group, limit_bytes=500_000)
        async with room.holding(blob_of(first), slow):
            pass

        async def read_second() -> None:
            async with room.holding(blob_of(second), Source(second)) as spool:
                entered.set()
                assert await everything(spool) == second

        waiting, entered = group.create_task(read_second()), asyncio.Event()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not entered.is_set()
        slow.gate.set()
        await waiting
    room.close()


async def test_a_download_that_failed_without_a_reader_makes_room():
    broken, second = os.urandom(400_000), os.urandom(400_000)
    async with asyncio.TaskGroup() as group:
        room = Spools(group, limit_bytes=500_000)
        async with room.holding(blob_of(broken), Source(broken, break_after=0)):
            pass
        async with asyncio.timeout(10), room.holding(blob_of(second), Source(second)) as spool:
            assert await everything(spool) == second
    room.close()


async def test_a_failed_download_is_not_repeated_while_a_caller_still_holds_it():
    content = os.urandom(1000)
    source = Source(content, break_after=0)
    async with asyncio.TaskGroup() as group:
        room = Spools(group)
        async with room.holding(blob_of(content), source) as first:
            with pytest.raises(ConnectionFailed):
                await everything(first)
            async with room.holding(blob_of(content), source) as second:
                assert second is first
    assert source.reads == 1
    room.close()


async def test_a_download_that_failed_without_a_reader_is_repeated():
    content = os.urandom(1000)
    source = Source(content, break_after=0)
    source.gate.clear()
    async with asyncio.TaskGroup() as group:
        room = Spools(group)
        async with room.holding(blob_of(content), source):
            pass
        source.gate.set()
        for _ in range(20):
            await asyncio.sleep(0)
        source.break_after = None
        async with room.holding(blob_of(content), source) as spool:
            assert await everything(spool) == content
    assert source.reads == 2
    room.close()


@pytest.mark.parametrize("breaks", [True, False])
async def test_an_idle_spool_is_closed_to_make_room_and_a_failed_one_at_once(breaks):
    before = open_files()
    contents = [os.urandom(400_000) for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        room = Spools(group, limit_bytes=500_000, memory_bytes=0)
        with suppress(ConnectionFailed):
            async with room.holding(
                blob_of(contents[0]), Source(contents[0], break_after=0 if breaks else None)
            ) as one:
                await everything(one)
        assert open_files() == before + (not breaks)
        async with room.holding(blob_of(contents[1]), Source(contents[1])) as spool:
            await everything(spool)
            assert open_files() == before + 1
    room.close()


async def test_the_spool_that_was_used_least_recently_makes_room():
    contents = [os.urandom(300_000) for _ in range(3)]
    sources = [Source(content) for content in contents]
    async with asyncio.TaskGroup() as group:
        room = Spools(group, limit_bytes=600_000)  # exactly two
        for number in (0, 1, 0, 2, 0, 1):
            async with room.holding(blob_of(contents[number]), sources[number]) as spool:
                await everything(spool)
    assert [source.reads for source in sources] == [1, 2, 1]
    room.close()


async def test_a_spool_in_memory_leaves_the_only_file_to_another():
    small, large = bytes(SMALL_BYTES), os.urandom(SMALL_BYTES + 1)
    async with asyncio.TaskGroup() as group:
        room = Spools(group, limit_files=1)
        async with (
            asyncio.timeout(10),
            room.holding(blob_of(small), Source(small)),
            room.holding(blob_of(large), Source(large)) as spool,
        ):
            assert await everything(spool) == large
    room.close()


async def test_spools_in_memory_do_not_count_as_files():
    small, large = os.urandom(SMALL_BYTES), os.urandom(SMALL_BYTES + 1)
    other = os.urandom(SMALL_BYTES + 1)
    entered = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        room = Spools(group, limit_files=1)

        async def hold_other() -> None:
            async with room.holding(blob_of(other), Source(other)):
                entered.set()

        async with room.holding(blob_of(large), Source(large)):
            async with asyncio.timeout(10), room.holding(blob_of(small), Source(small)) as spool:
                assert await everything(spool) == small
            waiting = asyncio.create_task(hold_other())
            for _ in range(20):
                await asyncio.sleep(0)
            assert not entered.is_set()
        async with asyncio.timeout(10):
            await waiting
    room.close()


async def read_all(room: Spools, content: bytes, source: Source) -> None:
    async with room.holding(blob_of(content), source) as spool:
        assert await everything(spool) == content


async def test_memory_is_used_again_for_the_next_blob_without_a_file():
    before, contents = open_files(), [os.urandom(400_000) for _ in range(5)]
    sources = [Source(content) for content in contents]
    async with asyncio.TaskGroup() as group:
        room = Spools(group, memory_bytes=1_000_000)
        for content, source in zip(contents, sources, strict=True):
            await read_all(room, content, source)
            assert open_files() == before
        await read_all(room, contents[-1], sources[-1])  # the newest two are still there
        await read_all(room, contents[-2], sources[-2])
    assert [source.reads for source in sources] == [1] * 5
    room.close()


async def test_a_small_blob_leaves_all_memory_to_large_ones():
    before, small, large = open_files(), os.urandom(1000), os.urandom(1 << 19)
    async with asyncio.TaskGroup() as group:
        room = Spools(group, memory_bytes=len(large))
        async with room.holding(blob_of(small), Source(small)) as held:
            assert await everything(held) == small
            await read_all(room, large, Source(large))
            assert open_files() == before
    room.close()


async def test_memory_is_kept_for_readers_that_are_still_to_come():
    before, contents = open_files(), [os.urandom(400_000) for _ in range(3)]
    sources = [Source(content) for content in contents]
    async with asyncio.TaskGroup() as group:
        room = Spools(group, memory_bytes=500_000, readers=2)
        await read_all(room, contents[0], sources[0])
        await read_all(room, contents[1], sources[1])
        assert open_files() == before + 1  # the first reader was not enough to take the memory of the first blob
        await read_all(room, contents[0], sources[0])
        await read_all(room, contents[2], sources[2])
        assert open_files() == before + 1  # the second was
    assert [source.reads for source in sources] == [1, 1, 1]
    room.close()


async def test_memory_is_lent_only_when_the_content_begins_to_arrive():
    before, contents = open_files(), [os.urandom(400_000) for _ in range(2)]
    waiting, arriving = (Source(content) for content in contents)
    waiting.begins.clear()  # such as a download that waits for its turn at the host
    async with asyncio.TaskGroup() as group:
        room = Spools(group, memory_bytes=500_000)
        async with room.holding(blob_of(contents[0]), waiting) as spool:
            await read_all(room, contents[1], arriving)
            assert open_files() == before
            waiting.begins.set()
            assert await everything(spool) == contents[0]
    room.close()


@pytest.mark.parametrize("memory_bytes", [0, 500_000], ids=["a file", "memory"])
async def test_a_download_that_begins_again_takes_no_second_place(memory_bytes):
    before, content = open_files(), os.urandom(400_000)

    class Again(Source):
        async def fetch(self, blob, keep):
            yield 0  # the connection broke before the first byte
            async for written in super().fetch(blob, keep):
                yield written

    async with asyncio.TaskGroup() as group:
        room = Spools(group, memory_bytes=memory_bytes)
        await read_all(room, content, Again(content))
        assert open_files() == before + (not memory_bytes)
        await read_all(room, other := os.urandom(400_000), Source(other))
        assert open_files() == before + 2 * (not memory_bytes)
    room.close()
    assert open_files() == before


@given(
    sizes=st.lists(st.sampled_from([0, 1000, SMALL_BYTES + 1, 300_000, 500_000]), min_size=3, max_size=6),
    steps=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30), st.booleans()), min_size=8, max_size=30),
    memory_bytes=st.sampled_from([0, 600_000, 1_200_000]),
    readers=st.integers(1, 2),
)
@settings(max_examples=60)
def test_every_reader_gets_its_own_blob_whatever_memory_is_used_again(sizes, steps, memory_bytes, readers):
    """A step is a reader: of which blob, after how many turns of the loop, and whether it reads twice."""
    contents = [bytes([number]) * size for number, size in enumerate(sizes)]

    async def read(room: Spools, number: int, turns: int, again: bool) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        content = contents[number % len(contents)]
        async with room.holding(blob_of(content), Instant(content)) as spool:
            for _ in range(1 + again):
                read = bytearray()
                async for piece in spool.read():
                    await asyncio.sleep(0)  # others may take memory in the meantime
                    read += piece.read() if isinstance(piece, Extent) else piece
                assert read == content

    async def run() -> None:
        async with asyncio.timeout(20), asyncio.TaskGroup() as owner:
            room = Spools(owner, limit_bytes=1_500_000, memory_bytes=memory_bytes, readers=readers)
            async with asyncio.TaskGroup() as all_readers:
                for step in steps:
                    all_readers.create_task(read(room, *step))
        room.close()

    asyncio.run(run())


async def test_memory_that_is_being_read_is_not_lent_again():
    before, contents = open_files(), [os.urandom(400_000) for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        room = Spools(group, memory_bytes=500_000)
        await read_all(room, contents[0], source := Source(contents[0]))
        async with room.holding(blob_of(contents[0]), source) as held:
            await read_all(room, contents[1], Source(contents[1]))
            assert open_files() == before + 1
            assert await everything(held) == contents[0]
    room.close()


async def test_a_download_that_is_cancelled_fails_its_readers():
    content = os.urandom(1000)
    source, held = Source(content), asyncio.get_running_loop().create_future()
    source.gate.clear()

    async def run() -> None:
        async with asyncio.TaskGroup() as owner, Spools(owner).holding(blob_of(content), source) as spool:
            held.set_result(spool)
            await everything(spool)

    task = asyncio.create_task(run())
    spool = await held
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(BakeryError, match="it was cancelled"):
        await everything(spool)
