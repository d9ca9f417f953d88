"""A digest does not depend on how its bytes came, nor on which thread hashed them."""

from __future__ import annotations

import pytest

from bakery.oci.digest import Digest
from bakery.registry.hashing import PIECE_BYTES, Hashing

CONTENT = bytes(range(251)) * 20_000  # 5 MB: several pieces and a rest


@pytest.mark.parametrize("cut", [1000, 65_536, PIECE_BYTES, PIECE_BYTES + 1, len(CONTENT)])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_the_digest_is_that_of_the_whole_however_it_was_cut(cut, algorithm):
    whole = Digest.of(CONTENT, algorithm)
    hashing = Hashing(whole)
    for start in range(0, len(CONTENT), cut):
        await hashing.update(CONTENT[start : start + cut])
    assert await hashing.hexdigest() == whole.hex
    assert await hashing.hexdigest() == whole.hex


async def test_nothing_has_the_digest_of_nothing():
    assert await Hashing(Digest.of(b"")).hexdigest() == Digest.of(b"").hex
