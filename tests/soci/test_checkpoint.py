"""Checkpoints and spans by themselves: limits to the byte, and results that do not depend on how bytes arrive."""

import hashlib
import random
import zlib
from functools import partial

import pytest

from bakery.errors import BakeryError
from bakery.soci.checkpoint import POINT_SIZE, GzipSpans, LayerGuard, PlainSpans
from bakery.soci.failure import Abandoned, LayerDamaged, LayerLimit, LayerUnsupported
from bakery.soci.options import Limits
from tests.soci.making import gzip

NOISE = random.Random(3).randbytes(20_000)


def run(kind, pieces, *, span_size=1000, limits=None, size=None):
    """Index these pieces; return the spans and what their sink received."""
    received = []
    spans = kind(span_size, lambda view: received.append(bytes(view)), LayerGuard("a layer", limits or Limits(), size))
    for piece in pieces:
        spans.feed(piece)
    spans.finish()
    return spans, received


LAYERS = {"gzip": (GzipSpans, gzip(NOISE)), "plain": (PlainSpans, NOISE)}


@pytest.mark.parametrize(("kind", "layer"), LAYERS.values(), ids=LAYERS)
def test_a_layer_may_inflate_to_the_limit_and_not_one_byte_further(kind, layer):
    _, received = run(kind, [layer], limits=Limits(uncompressed=len(NOISE)))
    assert b"".join(received) == NOISE
    with pytest.raises(LayerLimit, match=f"more than the {len(NOISE) - 1} bytes"):
        run(kind, [layer], limits=Limits(uncompressed=len(NOISE) - 1))


@pytest.mark.parametrize(("kind", "layer"), LAYERS.values(), ids=LAYERS)
def test_after_stop_nothing_is_passed_on(kind, layer):
    guard = LayerGuard("a layer", Limits(), None)
    spans = kind(1000, pytest.fail, guard)
    guard.stopped = True
    with pytest.raises(Abandoned):
        spans.feed(layer)


@pytest.mark.parametrize(("kind", "layer"), LAYERS.values(), ids=LAYERS)
def test_no_empty_piece_is_passed_on(kind, layer):
    _, received = run(kind, [b"", *(layer[at : at + 1] for at in range(len(layer))), b""])
    assert b"".join(received) == NOISE
    assert b"" not in received


def test_span_digests_may_fill_their_limit_and_not_exceed_it():
    layer = NOISE[:3000]
    spans, _ = run(PlainSpans, [layer], limits=Limits(checkpoints=3 * 76))
    assert len(spans.digests) == 3
    with pytest.raises(LayerLimit, match="span digests take more than 227 bytes"):
        run(PlainSpans, [layer], limits=Limits(checkpoints=3 * 76 - 1))


def test_windows_may_fill_their_limit_and_not_exceed_it():
    layer = gzip(NOISE, flush=zlib.Z_FULL_FLUSH, every=5000)
    spans, _ = run(GzipSpans, [layer])
    points = spans.max_span_id + 1
    assert points > 2
    run(GzipSpans, [layer], limits=Limits(checkpoints=points * POINT_SIZE))
    with pytest.raises(LayerLimit, match="checkpoints"):
        run(GzipSpans, [layer], limits=Limits(checkpoints=points * POINT_SIZE - 1))


def test_a_block_that_ends_within_a_byte_gives_the_same_spans_byte_by_byte():
    compress = zlib.compressobj(6, zlib.DEFLATED, 31)
    text = b"".join(b"%d " % number for number in range(3000))
    parts = [compress.compress(text[at : at + 700]) + compress.flush(zlib.Z_BLOCK) for at in range(0, len(text), 700)]
    layer = b"".join(parts) + compress.flush()
    whole, _ = run(GzipSpans, [layer])
    by_bytes, _ = run(GzipSpans, [layer[at : at + 1] for at in range(len(layer))])
    assert len(whole.digests) > 5
    assert by_bytes.digests == whole.digests
    assert by_bytes.checkpoints == whole.checkpoints


NOT_GZIP: dict[str, tuple[bytes, type[BakeryError], str]] = {
    "nothing": (b"", LayerUnsupported, "it is empty"),
    "half a magic number": (b"\x1f", LayerDamaged, "cut off|truncated|ends"),
    "one other byte": (b"x", LayerUnsupported, "media type says gzip, but it is"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(20), LayerUnsupported, "zstd"),
    "zlib": (zlib.compress(NOISE), LayerUnsupported, "media type says gzip, but it is (?!zstd)"),
}


@pytest.mark.parametrize(("layer", "kind", "why"), NOT_GZIP.values(), ids=NOT_GZIP)
def test_a_layer_that_is_not_gzip_is_refused_by_what_it_is(layer, kind, why):
    work = partial(run, GzipSpans, [layer])
    with pytest.raises(kind, match=why):
        work()


def test_damage_within_the_data_is_named_with_its_place():
    layer = bytearray(gzip(NOISE + bytes(5000)))
    layer[-8] ^= 1  # the checksum
    with pytest.raises(LayerDamaged, match=r"the gzip data is corrupt: .*, near byte .* of the layer"):
        run(GzipSpans, [bytes(layer)])


def test_bytes_after_the_last_member_are_not_part_of_a_layer():
    with pytest.raises(LayerUnsupported, match="bytes follow the last gzip member"):
        run(GzipSpans, [gzip(NOISE) + b"more"])


def test_output_that_exceeds_the_buffer_is_passed_on_in_order_with_the_same_checkpoints():
    content = b"".join(b"%07d\n" % number for number in range(400_000))  # 3.2 MB, from one chunk of a few hundred KB
    layer = gzip(content)
    whole, received = run(GzipSpans, [layer], span_size=100_000)
    pieces, _ = run(GzipSpans, [layer[at : at + 5000] for at in range(0, len(layer), 5000)], span_size=100_000)
    assert b"".join(received) == content
    assert len(received) > 1
    assert whole.checkpoints == pieces.checkpoints


def test_each_span_of_a_plain_layer_has_its_own_digest_the_last_one_too():
    spans, _ = run(PlainSpans, [NOISE[:700], NOISE[700:2500]])
    expected = [hashlib.sha256(NOISE[at : min(at + 1000, 2500)]).hexdigest() for at in range(0, 2500, 1000)]
    assert spans.digests == [f"sha256:{one}" for one in expected]
