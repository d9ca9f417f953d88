"""ISA-L with zlib gives the same result as only zlib: checkpoints, windows, digests and errors."""

import random
import sys
import zlib

import pytest

from bakery.errors import BakeryError
from bakery.soci import igzip, inflate
from bakery.soci.checkpoint import GzipSpans, LayerGuard
from bakery.soci.options import Limits

SPANS = (524_289, 1_000_000)  # below 512 KiB, zlib does everything


def result_of(pieces, span_size, library=None):
    """Return the result of a pass over a layer and the checksum of its output, or its error."""
    checksum = 0

    def sink(view):
        nonlocal checksum
        checksum = zlib.crc32(view, checksum)

    spans = GzipSpans(span_size, sink, LayerGuard("a layer", Limits(), None), library=library)
    try:
        for piece in pieces:
            spans.feed(piece)
        spans.finish()
    except BakeryError as error:
        return type(error), error.why
    return bytes(spans.checkpoints), spans.digests, spans.uncompressed_size, spans.compressed_size, checksum


def by_zlib(layer, span_size):
    return result_of([layer], span_size, inflate.load_ng() or inflate.load())


def cut(dice, layer, most):
    pieces, at = [], 0
    while at < len(layer):
        size = dice.randrange(1, most)
        # Not bytes: the caller may overwrite a memoryview after the call.
        pieces.append(memoryview(bytearray(layer[at : at + size])))
        at += size
    return pieces


CONTENT = {
    "words": lambda dice: b" ".join(
        dice.choices([dice.randbytes(dice.randrange(1, 9)) for _ in range(900)], k=500_000)
    ),
    "noise": lambda dice: dice.randbytes(2_200_000),
    "zeros": lambda _: bytes(3_000_000),
    "hexadecimal": lambda dice: dice.randbytes(1_100_000).hex().encode(),
    "stretches": lambda dice: b"".join(
        dice.choice((bytes(60_000), dice.randbytes(40_000), b"ab" * 20_000, dice.randbytes(9) * 5000))
        for _ in range(60)
    ),
}
COMPRESSORS = {  # level, memory level, strategy; the kind of flush, and after how many bytes
    "like gzip": ((6, 8, zlib.Z_DEFAULT_STRATEGY), 0, 0),
    "fast": ((1, 8, zlib.Z_DEFAULT_STRATEGY), 0, 0),
    "in small blocks": ((1, 1, zlib.Z_DEFAULT_STRATEGY), 0, 0),
    "stored": ((0, 8, zlib.Z_DEFAULT_STRATEGY), 0, 0),
    "without matches": ((6, 8, zlib.Z_HUFFMAN_ONLY), 0, 0),
    "with the fixed code": ((6, 8, zlib.Z_FIXED), 0, 0),
    "with blocks that end within a byte": ((6, 8, zlib.Z_DEFAULT_STRATEGY), zlib.Z_BLOCK, 3000),
    "with empty blocks": ((6, 8, zlib.Z_DEFAULT_STRATEGY), zlib.Z_SYNC_FLUSH, 70_000),
}


def gzipped(content, how, members=1):
    (level, memory, strategy), flush, every = COMPRESSORS[how]
    out, size = [], -(-len(content) // members)
    for start in range(0, len(content), size):
        part = content[start : start + size]
        deflate = zlib.compressobj(level, zlib.DEFLATED, 31, memory, strategy)
        for at in range(0, len(part), every or size):
            out.append(deflate.compress(part[at : at + (every or size)]))
            if every:
                out.append(deflate.flush(flush))
        out.append(deflate.flush())
    return b"".join(out)


def test_isa_l_is_available():
    assert igzip.load_igzip() is not None


@pytest.mark.parametrize("how", COMPRESSORS)
@pytest.mark.parametrize("kind", CONTENT)
def test_the_result_is_that_of_zlib_for_every_compressor_and_however_the_layer_is_cut(kind, how):
    dice = random.Random(f"{kind} {how}")
    content = CONTENT[kind](dice)
    one, three = gzipped(content, how), gzipped(content, how, members=3)
    for layer, span_size, most in ((one, SPANS[0], 300_000), (one, SPANS[1], 5000), (three, SPANS[0], 40_000)):
        assert result_of(cut(dice, layer, most), span_size) == by_zlib(layer, span_size)


def block_of_13_bytes():
    """Return a block that repeats the byte before it 258 times, and gives no output before its last byte."""
    bits: list[int] = []

    def put(value, size):
        bits.extend(value >> n & 1 for n in range(size))

    for value, size in ((0, 1), (2, 2), (29, 5), (0, 5), (15, 4)):  # not last, dynamic; 286, 1 and 19 codes
        put(value, size)
    for symbol in (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15):
        put(symbol in (1, 18), 3)
    for zeros in (138, 118, 0, 28, 0, 0):  # end of block, length 258 and the distance have one bit each
        put(zeros > 0, 1)
        if zeros:
            put(zeros - 11, 7)
    put(0b001, 3)  # the length, the distance, end of block
    return bytes(sum(bits[at + n] << n for n in range(8)) for at in range(0, len(bits), 8))


def stored(content, *, last=False):
    parts = [content[at : at + 65535] for at in range(0, len(content), 65535)]
    return b"".join(
        bytes((last and part is parts[-1],))
        + len(part).to_bytes(2, "little")
        + (len(part) ^ 0xFFFF).to_bytes(2, "little")
        + part
        for part in parts
    )


@pytest.mark.parametrize("size", [1, 2, 5, 13])
def test_tiny_blocks_in_tiny_pieces_are_left_to_zlib(size):
    dice = random.Random(size)
    before, after, count = dice.randbytes(450_000), dice.randbytes(900_000), 2000
    deflated = stored(before) + block_of_13_bytes() * count + stored(after, last=True)
    content = zlib.decompress(deflated, -15)
    assert content == before + before[-1:] * 258 * count + after
    trailer = zlib.crc32(content).to_bytes(4, "little") + len(content).to_bytes(4, "little")
    layer = b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + deflated + trailer
    first, last = 10 + len(stored(before)) - 20_000, 10 + len(stored(before)) + 13 * count
    pieces = [layer[:first], *(layer[at : at + size] for at in range(first, last, size))]
    pieces.append(layer[sum(map(len, pieces)) :])
    assert result_of(pieces, 700_000) == by_zlib(layer, 700_000)


@pytest.mark.parametrize("how", ["like gzip", "stored", "with blocks that end within a byte"])
def test_a_damaged_layer_raises_the_same_error_as_with_zlib(how):
    dice = random.Random(how)
    layer = gzipped(CONTENT["words"](dice), how)
    for _ in range(6):
        damaged = bytearray(layer)
        damaged[dice.randrange(len(layer))] ^= 1 << dice.randrange(8)
        cut_off = layer[: dice.randrange(20, len(layer))]
        for bad in (bytes(damaged), cut_off):
            found, expected = result_of(cut(dice, bad, 90_000), SPANS[0]), by_zlib(bad, SPANS[0])
            assert found[0] == expected[0]  # but not necessarily at the same position


@pytest.mark.parametrize(
    ("place", "message"), [(-8, "incorrect data check"), (-1, "incorrect length check")], ids=["checksum", "length"]
)
@pytest.mark.parametrize("most", [5, 300_000])
def test_the_trailer_is_verified_however_it_arrives(place, message, most):
    layer = bytearray(gzipped(CONTENT["hexadecimal"](random.Random(1)), "fast"))
    layer[place] ^= 1
    pieces = [bytes(layer[:-20]), *(bytes(layer[-20:])[at : at + most] for at in range(0, 20, most))]
    _, why = result_of(pieces, SPANS[0])
    assert message in why


@pytest.fixture
def reloaded():
    igzip.load_igzip.cache_clear()
    yield
    igzip.load_igzip.cache_clear()


@pytest.mark.usefixtures("reloaded")
def test_an_unknown_version_is_not_used(monkeypatch):
    import isal

    monkeypatch.setattr(isal, "ISAL_MINOR_VERSION", 99)
    assert igzip.load_igzip() is None


@pytest.mark.usefixtures("reloaded")
def test_a_library_that_stops_elsewhere_is_not_used(monkeypatch):
    monkeypatch.setattr(igzip._State, "bfinal", igzip._State.hist_bits)  # as if the state had another layout
    assert igzip.load_igzip() is None


@pytest.mark.usefixtures("reloaded")
def test_zlib_is_used_if_isal_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "isal", None)
    layer = gzipped(CONTENT["zeros"](None), "like gzip")
    assert igzip.load_igzip() is None
    assert result_of([layer], SPANS[0]) == by_zlib(layer, SPANS[0])
