"""Properties of every layer, however it was created and however its bytes arrive."""

from __future__ import annotations

import ctypes
import hashlib
import zlib
from contextlib import suppress
from itertools import pairwise

import flatbuffers
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bakery.errors import BadDocument, BakeryError
from bakery.soci import inflate
from bakery.soci.checkpoint import GZIP as GZIP_ALGORITHM
from bakery.soci.checkpoint import HEAD, POINT, POINT_SIZE, GzipSpans, LayerGuard
from bakery.soci.file_table import FileTable, flat_text, lay_out
from bakery.soci.index import GZIP, PLAIN, LayerIndex, LayerIndexer
from bakery.soci.inflate import BlockInflater
from bakery.soci.options import Limits, SociSettings
from bakery.soci.verify import LayerVerifier
from bakery.soci.ztoc import CompressionInfo, File, Ztoc, encode
from tests.hypothesis_profiles import examples
from tests.soci.making import END, cut, entry, gzip, gzips, pax, tars

FEW = settings(max_examples=examples(25), suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def index(layer: bytes, compression: str, span_size: int, pieces: list[bytes] | None = None) -> LayerIndex:
    indexer = LayerIndexer(compression, SociSettings(span_size, build_tool_identifier="tool"), size=len(layer))
    for piece in [layer] if pieces is None else pieces:
        indexer.feed(piece)
    return indexer.finish()


spans = st.sampled_from([1, 500, 4096, 20_000, 65_536])


@FEW
@given(tars(), st.data(), spans, st.lists(st.integers(0, 2**30), max_size=12))
def test_a_ztoc_does_not_depend_on_how_the_bytes_were_cut(tar, data, span_size, places):
    layer = data.draw(gzips(tar))
    assert index(layer, GZIP, span_size) == index(layer, GZIP, span_size, cut(layer, places))
    assert index(tar, PLAIN, span_size) == index(tar, PLAIN, span_size, cut(tar, places))


@settings(FEW, max_examples=examples(15))
@given(tars(), st.data())
def test_a_ztoc_does_not_change_if_the_bytes_arrive_one_by_one(tar, data):
    layer = data.draw(gzips(tar[:4096]))
    pieces = [layer[n : n + 1] for n in range(len(layer))]
    assert result_of(layer, [layer]) == result_of(layer, pieces)


def result_of(layer: bytes, pieces: list[bytes]) -> LayerIndex | str:
    try:
        return index(layer, GZIP, 500, pieces)
    except BakeryError as error:
        return f"{type(error).__name__}: {error}"


def inflate_span(layer: bytes, ztoc: Ztoc, number: int, length: int) -> bytes:
    """Inflate from one checkpoint with only its window, as the snapshotter does."""
    point = ztoc.point(number)
    inflater = BlockInflater(raw=True)
    first = layer[point.compressed - 1] if point.bits else 0
    window = bytes(point.window)
    inflater.start_at(inflate.address_of(window), len(window), point.bits, first >> (8 - point.bits))
    out, at = bytearray(), point.compressed
    chunk = bytearray(length + 1)
    address = ctypes.addressof(ctypes.c_char.from_buffer(chunk))
    inflater.take(layer[at:])
    try:
        while len(out) < length:
            room = length - len(out)
            inflater.room(address, room)
            found = inflater.step()
            out += chunk[: room - inflater.room_left]
            if found == inflate.CORRUPT:
                raise AssertionError(inflater.message)
            if found == inflate.MEMBER_END:
                break
    finally:
        inflater.close()
    return bytes(out)


@FEW
@given(tars(), st.data(), spans)
def test_inflating_can_start_at_every_checkpoint(tar, data, span_size):
    # Only one member: to read a span that crosses the end of a member, a reader must parse gzip trailers.
    layer = data.draw(gzips(tar).filter(lambda made: zlib.decompressobj(31).decompress(made) == tar))
    ztoc = Ztoc(index(layer, GZIP, span_size).ztoc)
    starts = [*ztoc.starts, len(tar)]
    for number in range(ztoc.max_span_id + 1):
        length = starts[number + 1] - starts[number]
        assert inflate_span(layer, ztoc, number, length) == tar[starts[number] : starts[number + 1]]


@FEW
@given(tars(), st.data(), spans)
def test_spans_cover_the_layer_and_have_the_digests_of_their_bytes(tar, data, span_size):
    layer = data.draw(gzips(tar))
    ztoc = Ztoc(index(layer, GZIP, span_size).ztoc)
    points = [ztoc.point(number) for number in range(ztoc.max_span_id + 1)]
    assert points[0].uncompressed == 0
    assert points[0].compressed == 10
    ends = [point.compressed for point in points[1:]] + [len(layer)]
    for point, end, digest in zip(points, ends, ztoc.span_digests, strict=True):
        start = point.compressed - (1 if point.bits else 0)
        assert digest == f"sha256:{hashlib.sha256(layer[start:end]).hexdigest()}"
    later = [b.uncompressed - a.uncompressed for a, b in pairwise(points) if b.uncompressed]
    assert all(step > span_size for step in later)


@pytest.mark.parametrize("load", [lambda: None, inflate.load, inflate.load_ng], ids=["fastest", "libz", "zlib-ng"])
def test_a_block_that_ends_exactly_one_span_after_a_checkpoint_gets_no_checkpoint(load):
    span_size = 600_000  # more than 512 KiB, so that ISA-L is used
    layer = gzip(bytes(5 * span_size), flush=zlib.Z_FULL_FLUSH, every=span_size)
    spans = GzipSpans(span_size, lambda view: None, LayerGuard("a layer", Limits(), len(layer)), library=load())
    spans.feed(layer)
    spans.finish()
    starts = [
        POINT.unpack_from(spans.checkpoints, at)[1] for at in range(HEAD.size, len(spans.checkpoints), POINT_SIZE)
    ]
    assert starts == [0, 2 * span_size, 4 * span_size]


@FEW
@given(tars(), st.data(), spans)
def test_every_ztoc_can_be_verified(tar, data, span_size):
    layer = data.draw(gzips(tar))
    for content, compression in ((layer, GZIP), (tar, PLAIN)):
        verifier = LayerVerifier(index(content, compression, span_size).ztoc, about="a layer", size=len(content))
        verifier.feed(content)
        verifier.finish()


@FEW
@given(tars(), spans)
def test_files_are_in_order_and_their_data_is_at_the_offset_in_the_ztoc(tar, span_size):
    files = list(Ztoc(index(tar, PLAIN, span_size).ztoc).files())
    position = 0
    for file in files:
        assert file.offset >= position + 512
        position = file.offset + file.size
        assert position <= len(tar)


texts = st.binary(max_size=20)
longs = st.integers(-(2**63), 2**63 - 1) | st.just(0)
table_files = st.builds(
    File,
    texts,
    st.sampled_from([b"reg", b"dir", b"symlink"]),
    longs,
    longs,
    texts,
    longs,
    st.integers(0, 2**32 - 1) | st.just(0),
    st.integers(0, 2**32 - 1) | st.just(0),
    texts,
    texts,
    texts,
    longs,
    longs,
    st.dictionaries(texts, texts, max_size=3).map(lambda found: tuple(sorted(found.items()))),
)


def with_the_package(files: list[File], points: bytes, digests: list[str], last: int, algorithm: int, sizes: list[int]):
    """Return the same ztoc, written by the flatbuffers package in the order of soci.md."""
    b = flatbuffers.Builder(1024)

    def vector(offsets: list[int]) -> int:
        b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            b.PrependUOffsetTRelative(offset)
        return int(b.EndVector())

    version, tool = b.CreateString(b"0.9"), b.CreateString(b"tool")
    tables = []
    for file in reversed(files):
        strings = [b.CreateString(text) for text in (file.name, file.kind, file.linkname, *file[8:11])]
        records = []
        for key, value in file.records:
            pair = b.CreateString(key), b.CreateString(value)
            b.StartObject(2)
            b.PrependUOffsetTRelativeSlot(0, pair[0], 0)
            b.PrependUOffsetTRelativeSlot(1, pair[1], 0)
            records.append(b.EndObject())
        listed = vector(records)
        b.StartObject(14)
        b.PrependUOffsetTRelativeSlot(0, strings[0], 0)
        b.PrependUOffsetTRelativeSlot(1, strings[1], 0)
        b.PrependInt64Slot(2, file.offset, 0)
        b.PrependInt64Slot(3, file.size, 0)
        b.PrependUOffsetTRelativeSlot(4, strings[2], 0)
        b.PrependInt64Slot(5, file.mode, 0)
        b.PrependUint32Slot(6, file.uid, 0)
        b.PrependUint32Slot(7, file.gid, 0)
        b.PrependUOffsetTRelativeSlot(8, strings[3], 0)
        b.PrependUOffsetTRelativeSlot(9, strings[4], 0)
        b.PrependUOffsetTRelativeSlot(10, strings[5], 0)
        b.PrependInt64Slot(11, file.devmajor, 0)
        b.PrependInt64Slot(12, file.devminor, 0)
        b.PrependUOffsetTRelativeSlot(13, listed, 0)
        tables.append(b.EndObject())
    metadata = vector(tables[::-1])
    b.StartObject(1)
    b.PrependUOffsetTRelativeSlot(0, metadata, 0)
    toc = b.EndObject()
    checkpoints = b.CreateByteVector(points)
    spans = vector([b.CreateString(digest) for digest in digests])
    b.StartObject(4)
    b.PrependInt32Slot(1, last, 0)
    b.PrependUOffsetTRelativeSlot(2, spans, 0)
    b.PrependUOffsetTRelativeSlot(3, checkpoints, 0)
    b.PrependInt8Slot(0, algorithm, 1)
    info = b.EndObject()
    b.StartObject(6)
    b.PrependUOffsetTRelativeSlot(0, version, 0)
    b.PrependUOffsetTRelativeSlot(1, tool, 0)
    b.PrependUOffsetTRelativeSlot(4, toc, 0)
    b.PrependInt64Slot(2, sizes[0], 0)
    b.PrependInt64Slot(3, sizes[1], 0)
    b.PrependUOffsetTRelativeSlot(5, info, 0)
    b.Finish(b.EndObject())
    return bytes(b.Output())


def add(table: FileTable, file: File) -> None:
    common = lay_out(
        file.kind, file.linkname, file.mode, file.uid, file.gid, file.uname, file.gname, file.devmajor, file.devminor
    )
    table.add(file.name, file.offset, file.size, flat_text(file.mod_time), common, dict(file.records))


@settings(FEW, max_examples=examples(80))
@given(
    st.lists(table_files, max_size=8),
    st.binary(max_size=30),
    st.lists(st.sampled_from(["sha256:" + "a" * 64, "sha256:" + "b" * 64]), max_size=4),
    st.integers(0, 2**40),
)
def test_flatbuffers_have_the_bytes_that_the_flatbuffers_package_writes(files, points, digests, archive_size):
    table = FileTable()
    for file in files:
        add(table, file)
    info = CompressionInfo(GZIP_ALGORITHM, len(digests) - 1, digests, points, archive_size // 3)
    ours = encode(table, info, archive_size=archive_size, identifier=b"tool")
    sizes = [archive_size // 3, archive_size]
    assert ours == with_the_package(files, points, digests, len(digests) - 1, GZIP_ALGORITHM, sizes)


@FEW
@given(st.lists(table_files, max_size=8))
def test_files_that_are_written_can_be_read_back(files):
    table = FileTable()
    for file in files:
        add(table, file)
    info = CompressionInfo(GZIP_ALGORITHM, 0, ["sha256:0"], HEAD.pack(1, 1) + bytes(POINT_SIZE), 5)
    assert list(Ztoc(encode(table, info, archive_size=5, identifier=b"")).files()) == files


@settings(FEW, max_examples=examples(100))
@given(st.integers(0, 2**30), st.binary(min_size=1, max_size=4))
def test_a_ztoc_with_altered_bytes_raises_nothing_but_bad_document(place, noise):
    layer = gzip(entry(b"a", b"some text") + pax((b"k", b"v")) + entry(b"b", bytes(900)) + END)
    content = bytearray(index(layer, GZIP, 500).ztoc)
    at = place % len(content)
    content[at : at + len(noise)] = noise
    with suppress(BadDocument):
        ztoc = Ztoc(bytes(content))
        for number in range(min(ztoc.max_span_id + 1, 10)):
            ztoc.point(number)
        assert sum(1 for _, _ in zip(ztoc.files(), range(1000), strict=False)) <= 1000
        assert len(ztoc.span_digests) < 10_000
