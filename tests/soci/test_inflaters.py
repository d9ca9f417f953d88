"""zlib-ng and libz stop at the same places, so both give the same ztoc. (ISA-L: test_igzip.py.)"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.errors import BakeryError
from bakery.soci import inflate
from bakery.soci.index import GZIP, LayerIndexer
from bakery.soci.options import SociSettings
from tests.soci.golden_cases import GOLDEN
from tests.soci.making import cut, gzips, tars
from tests.soci.test_properties import FEW, spans


def result_of(library, pieces, span_size):
    indexer = LayerIndexer(GZIP, SociSettings(span_size, build_tool_identifier="tool"), library=library)
    try:
        for piece in pieces:
            indexer.feed(piece)
        return indexer.finish()
    except BakeryError as error:
        return type(error), error.why


def test_zlib_ng_is_available():
    assert inflate.load_ng() is not None


@FEW
@given(tars(), st.data(), spans, st.lists(st.integers(0, 2**30), max_size=12))
def test_intact_cut_and_altered_streams_give_the_same_result_with_both(tar, data, span_size, places):
    layer = bytearray(data.draw(gzips(tar)))
    harm = data.draw(st.sampled_from(["none", "cut", "alter"]))
    if harm == "cut":
        del layer[data.draw(st.integers(0, len(layer))) :]
    elif harm == "alter" and layer:
        layer[data.draw(st.integers(0, len(layer) - 1))] ^= data.draw(st.integers(1, 255))
    pieces = cut(bytes(layer), places)
    ng, libz = result_of(inflate.load_ng(), pieces, span_size), result_of(inflate.load(), pieces, span_size)
    if harm == "alter" and isinstance(ng, tuple) and isinstance(libz, tuple):
        assert ng[0] is libz[0]  # both reject it, but not necessarily at the same position
    else:
        assert ng == libz


LAYERS = [
    path
    for path in sorted(GOLDEN.glob("inputs/*/blobs/sha256/*"))
    if path.stat().st_size > 100 and path.read_bytes()[:2] == b"\x1f\x8b"
]


@pytest.mark.parametrize("span_size", [1000, 65_536, 4 * 1024 * 1024])
def test_both_inflaters_yield_the_same_result_for_every_golden_layer(span_size):
    assert LAYERS
    for path in LAYERS:
        raw = path.read_bytes()
        assert result_of(inflate.load_ng(), [raw], span_size) == result_of(inflate.load(), [raw], span_size), path.name


def test_libz_is_used_if_zlib_ng_is_missing(monkeypatch):
    monkeypatch.setattr(inflate, "load_ng", lambda: None)
    raw = LAYERS[0].read_bytes()
    assert result_of(None, [raw], 4096) == result_of(inflate.load(), [raw], 4096)
