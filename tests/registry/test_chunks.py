"""The parts of a body that is uploaded in chunks: their bytes, and what is in memory meanwhile."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence

import pytest

from bakery.extent import Extent, OpenBody, Piece
from bakery.registry.blobs import _Chunks

CONTENT = bytes(range(200)) * 5


def body_of(pieces: Sequence[Piece]) -> OpenBody:
    async def opened() -> AsyncIterator[Piece]:
        for piece in pieces:
            yield piece

    return opened


async def all_of(chunks: _Chunks, size: int) -> list[bytes]:
    return [await chunks.take(first, size) for first in range(0, len(CONTENT), size)]


@pytest.mark.parametrize("piece", [1, 7, 300, 1000])
@pytest.mark.parametrize("size", [1, 300, 1000, 2000])
async def test_chunks_are_the_content_in_order_from_whatever_pieces(piece: int, size: int):
    with tempfile.TemporaryFile() as file:
        file.write(CONTENT)
        file.flush()
        parts = [(at, CONTENT[at : at + piece]) for at in range(0, len(CONTENT), piece)]
        kinds: list[list[Piece]] = [
            [part for _, part in parts],
            [memoryview(part) for _, part in parts],
            [Extent(file.fileno(), at, len(part)) for at, part in parts],
        ]
        for pieces in kinds:
            found = await all_of(_Chunks(body_of(pieces)), size)
            assert found == [CONTENT[at : at + size] for at in range(0, len(CONTENT), size)]


async def test_a_chunk_may_be_taken_again_until_the_next_one_is():
    chunks = _Chunks(body_of([CONTENT]))
    assert await chunks.take(0, 300) == await chunks.take(0, 300) == CONTENT[:300]
    assert await chunks.take(300, 300) == CONTENT[300:600]


async def test_no_more_of_a_large_piece_is_read_than_one_chunk():
    """A blob that had arrived whole was read into memory whole."""
    with tempfile.TemporaryFile() as file:
        size = 2**40  # a terabyte of nothing
        file.truncate(size)
        chunks = _Chunks(body_of([Extent(file.fileno(), 0, size)]))
        assert await chunks.take(0, 1000) == await chunks.take(1000, 1000) == bytes(1000)
