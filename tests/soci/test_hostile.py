"""Hostile layers: a limit stops them, memory stays flat, and the error names the limit."""

from __future__ import annotations

import re
import subprocess
import sys
import zlib

import pytest

from bakery.errors import BakeryError, UsageError, message
from bakery.soci.failure import Abandoned, LayerDamaged, LayerLimit, LayerUnsupported, NoZlib
from bakery.soci.index import GZIP, PLAIN, LayerIndex, LayerIndexer
from bakery.soci.inflate import load
from bakery.soci.options import MIB, Limits, SociSettings
from bakery.soci.ztoc import Ztoc
from tests.soci.making import END, GZIP_HEAD, entry, gnu_long, gzip, header, padded, pax

SMALL = Limits(entries=100, toc=20_000, header=4096, headers=5, checkpoints=200_000, allowance=10_000, ratio=10)


def index(content: bytes, *, limits: Limits = SMALL, span_size: int = 4 * MIB, compression: str = PLAIN) -> LayerIndex:
    settings = SociSettings(span_size, build_tool_identifier="tool", limits=limits)
    indexer = LayerIndexer(compression, settings, about="layer sha256:abc", size=len(content))
    for start in range(0, len(content), 5000):
        indexer.feed(content[start : start + 5000])
    return indexer.finish()


def entries(count: int, size: int = 0) -> bytes:
    return b"".join(entry(b"%d" % number, bytes(size)) for number in range(count))


HOSTILE = {
    "a bomb": (gzip(entry(b"zeros", bytes(200_000)) + END), GZIP, "ratio"),
    "too many entries": (entries(101) + END, PLAIN, "entries"),
    "names that are too long in total": (
        b"".join(pax((b"path", b"%d/" % n + b"n" * 3000)) + entry(b"x") for n in range(10)) + END,
        PLAIN,
        "toc",
    ),
    "a name of 64 KiB": (pax((b"path", b"n" * 65536)) + entry(b"x") + END, PLAIN, "header"),
    "a GNU name of 64 KiB": (gnu_long(b"L", b"n" * 65536) + entry(b"x") + END, PLAIN, "header"),
    "a loop of PAX headers": (pax((b"comment", b"again")) * 6 + entry(b"x") + END, PLAIN, "headers"),
    "a loop of global headers": (pax((b"comment", b"again"), kind=b"g") * 6 + entry(b"x") + END, PLAIN, "headers"),
    "a loop of GNU names": (gnu_long(b"L", b"n") * 6 + entry(b"x") + END, PLAIN, "headers"),
}


@pytest.mark.parametrize(("content", "compression", "limit"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_layer_exceeds_a_limit_that_the_error_names(content, compression, limit):
    with pytest.raises(LayerLimit, match="layer sha256:abc") as caught:
        index(content, compression=compression)
    assert re.search(rf"limits? .*\b{limit}\b", message(caught.value))


def test_windows_and_span_digests_are_limited_if_spans_are_small():
    layer = gzip(entry(b"a", bytes(range(256)) * 400) + END, memory=1, every=2000, flush=zlib.Z_FULL_FLUSH)
    for content, compression in ((layer, GZIP), (entry(b"a", bytes(100_000)) + END, PLAIN)):
        with pytest.raises(LayerLimit) as caught:
            index(content, span_size=1, limits=Limits(checkpoints=100_000), compression=compression)
        assert "raise the limit checkpoints" in caught.value.hint


def test_a_layer_just_below_the_limits_is_indexed():
    limits = Limits(entries=100, headers=6)
    assert index(entries(100) + END, limits=limits).files == 100
    assert index(pax((b"comment", b"again")) * 6 + entry(b"x") + END, limits=limits).files == 1


def test_a_small_layer_of_zeros_is_indexed():
    assert index(gzip(entry(b"zeros", bytes(9_000_000)) + END), limits=Limits(), compression=GZIP).files == 1


HUGE = {
    "2^63 in octal": header(b"a", raw_size=b"1000000000000000000000"[:12]),
    "2^63 in base 256": header(b"a", raw_size=b"\x80\0\0\0" + (2**63).to_bytes(8, "big")),
    "2^63 - 1": header(b"a", raw_size=b"\x80\0\0\0" + (2**63 - 1).to_bytes(8, "big")),
    "-1": header(b"a", raw_size=b"\xff" * 12),
    "2^95": header(b"a", raw_size=b"\x80" + b"\x7f" + bytes(10)),
    "2^63 in a PAX record": pax((b"size", b"9223372036854775808")) + header(b"a"),
    "-1 in a PAX record": pax((b"size", b"-1")) + header(b"a"),
    "of a PAX header": header(b"p", b"x", raw_size=b"\x80\0\0\0" + (2**63 - 1).to_bytes(8, "big")),
}


@pytest.mark.parametrize("content", HUGE.values(), ids=HUGE)
def test_an_impossible_size_is_an_error(content):
    with pytest.raises((LayerDamaged, LayerLimit), match="layer sha256:abc"):
        index(content + bytes(2048), limits=Limits())


TAR = entry(b"a", b"x" * 3000) + END
WHOLE = gzip(TAR)
DAMAGED = {
    "cut in the header": WHOLE[:5],
    "cut after one byte": WHOLE[:1],
    "cut in a block": WHOLE[:30],
    "cut in the trailer": WHOLE[:-1],
    "cut before the trailer": WHOLE[:-8],
    "a second member that is cut": WHOLE + WHOLE[:20],
    "a wrong length": WHOLE[:-1] + bytes([WHOLE[-1] ^ 1]),
    "a wrong checksum": WHOLE[:-5] + bytes([WHOLE[-5] ^ 1]) + WHOLE[-4:],
    "a reserved block type": GZIP_HEAD + b"\x07" + bytes(20),
    "a reserved flag": b"\x1f\x8b\x08\xe0" + WHOLE[4:],
    "another method": b"\x1f\x8b\x07" + WHOLE[3:],
    "a second member of another method": WHOLE + b"\x1f\x8b\x07" + WHOLE[3:],
    "a tar cut in a header": gzip(TAR[:700]) if len(TAR) < 700 else gzip(TAR[:300]),
    "a tar cut in a file": gzip(TAR[:2000]),
    "a wrong tar checksum": gzip(b"b" + TAR[1:]),
    "malformed PAX records": gzip(header(b"p", b"x", 10) + padded(b"99 path=a\n") + TAR),
    "a PAX record without length": gzip(header(b"p", b"x", 7) + padded(b" path=a") + TAR),
    "an invalid time": gzip(pax((b"atime", b"yesterday")) + TAR),
    "data after a zero block": gzip(TAR[:3584] + bytes(512) + TAR),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damage_is_an_error_that_names_the_layer(content):
    with pytest.raises(LayerDamaged, match="layer sha256:abc"):
        index(content, limits=Limits(), compression=GZIP)


NOT_INDEXABLE = {
    "bytes after the last member": (WHOLE + b"\0" * 100, GZIP, "bytes follow the last gzip member"),
    "one byte after the last member": (WHOLE + b"x", GZIP, "bytes follow the last gzip member"),
    "a zlib stream as second member": (WHOLE + zlib.compress(b"more"), GZIP, "bytes follow the last gzip member"),
    "not gzip": (TAR, GZIP, "says gzip"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(50), GZIP, "zstd"),
    "an empty layer": (b"", GZIP, "empty"),
    "gzip under plain tar": (gzip(bytes(range(256)) * 40, 0), PLAIN, "compressed"),
    "short gzip under plain tar": (WHOLE[:90], PLAIN, "compressed"),
    "an old sparse file": (header(b"a", b"S") + END, PLAIN, "type 'S'"),
    "a sparse file of GNU tar 0.0": (
        pax((b"GNU.sparse.offset", b"0"), (b"GNU.sparse.numbytes", b"5")) + TAR,
        PLAIN,
        "sparse",
    ),
    "a sparse file of GNU tar 1.0": (
        pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")) + TAR,
        PLAIN,
        "sparse",
    ),
}


@pytest.mark.parametrize(("content", "compression", "why"), NOT_INDEXABLE.values(), ids=NOT_INDEXABLE)
def test_a_layer_that_a_ztoc_cannot_describe_is_not_reported_as_damaged(content, compression, why):
    with pytest.raises(LayerUnsupported, match=why):
        index(content, limits=Limits(), compression=compression)


def test_an_archive_may_end_after_one_zero_block_or_none_or_in_padding():
    for end in (b"", bytes(512), END, END + b"anything"):
        assert index(entry(b"a", b"x" * 600) + end, limits=Limits()).files == 1
    assert index(TAR[: 512 + 3000], limits=Limits()).files == 1


def test_a_file_with_a_sparse_record_of_an_unknown_version_is_an_ordinary_file():
    content = pax((b"GNU.sparse.major", b"7"), (b"GNU.sparse.name", b"n")) + TAR
    assert [file.name for file in Ztoc(index(content).ztoc).files()] == [b"a"]


def test_after_stop_the_next_chunk_raises():
    indexer = LayerIndexer(GZIP, about="layer sha256:abc")
    indexer.feed(WHOLE[:40])
    indexer.stop()
    with pytest.raises(Abandoned):
        indexer.feed(WHOLE[40:])
    with pytest.raises(Abandoned):
        indexer.finish()


def test_without_libz_the_error_says_what_to_install():
    with pytest.raises(NoZlib, match=r"libz-of-nowhere\.so") as caught:
        load(["libz-of-nowhere.so"])
    assert caught.value.hint.startswith("install zlib")


def test_invalid_limits_and_settings_are_rejected():
    assert Limits.parse("entries=5, ratio=7") == Limits(entries=5, ratio=7)
    assert Limits.parse("") == Limits()
    for text in ("entries", "entries=-1", "entries=٣", "colour=1", "entries=1.5"):
        with pytest.raises(UsageError):
            Limits.parse(text)
    for options in ({"span_size": 0}, {"min_layer_size": -1}, {"optimizations": ("fast",)}):
        with pytest.raises(UsageError):
            SociSettings(**options)


def test_a_size_that_differs_from_the_descriptor_is_an_error():
    indexer = LayerIndexer(GZIP, about="layer sha256:abc", size=len(WHOLE) + 1)
    indexer.feed(WHOLE)
    with pytest.raises(BakeryError, match="descriptor says"):
        indexer.finish()


BOMB = """
import resource, zlib
from bakery.errors import BakeryError
from bakery.soci.index import GZIP, LayerIndexer
from bakery.soci.options import GIB, Limits, SociSettings
import sys
sys.path.insert(0, {root!r})
from tests.soci.making import GZIP_HEAD, header
def layer():
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    yield GZIP_HEAD + compressor.compress(header(b"zeros", size=10 * GIB))
    zeros = bytes(1 << 20)
    for _ in range(10 * 1024):
        yield compressor.compress(zeros)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
indexer = LayerIndexer(GZIP, SociSettings(), about="layer sha256:bomb", size=10 << 20)
try:
    for chunk in layer():
        indexer.feed(chunk)
except BakeryError as error:
    print(type(error).__name__, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_a_bomb_of_10_mib_is_stopped_by_the_default_limit_in_flat_memory():
    from tests.soci.golden_cases import GOLDEN

    root = str(GOLDEN.parents[2])
    done = subprocess.run(
        [sys.executable, "-c", BOMB.format(root=root)], capture_output=True, text=True, check=True, timeout=300
    )
    kind, grown_kib = done.stdout.split()
    assert kind == "LayerLimit"
    assert int(grown_kib) < 60 * 1024
