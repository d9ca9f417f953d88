"""zlib-ng and libz stop at the same places: whichever inflates, the ztoc is the same. (ISA-L: test_igzip.py.)"""

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


def told(library, pieces, span_size):
    indexer = LayerIndexer(GZIP, SociSettings(span_size, build_tool_identifier="tool"), library=library)
    try:
        for piece in pieces:
            indexer.feed(piece)
        return indexer.finish()
    except BakeryError as error:
        return type(error), error.why


def test_zlib_ng_is_what_inflates_here():
    assert inflate.load_ng() is not None


@FEW
@given(tars(), st.data(), spans, st.lists(st.integers(0, 2**30), max_size=12))
def test_random_streams_sound_cut_and_altered_give_the_same_from_both(tar, data, span_size, places):
    layer = bytearray(data.draw(gzips(tar)))
    harm = data.draw(st.sampled_from(["none", "cut", "alter"]))
    if harm == "cut":
        del layer[data.draw(st.integers(0, len(layer))) :]
    elif harm == "alter" and layer:
        layer[data.draw(st.integers(0, len(layer) - 1))] ^= data.draw(st.integers(1, 255))
    pieces = cut(bytes(layer), places)
    ng, libz = told(inflate.load_ng(), pieces, span_size), told(inflate.load(), pieces, span_size)
    if harm == "alter" and isinstance(ng, tuple) and isinstance(libz, tuple):
        assert ng[0] is libz[0]  # both refuse; how far each got before it noticed is its own affair
    else:
        assert ng == libz


LAYERS = [
    path
    for path in sorted(GOLDEN.glob("inputs/*/blobs/sha256/*"))
    if path.stat().st_size > 100 and path.read_bytes()[:2] == b"\x1f\x8b"
]


@pytest.mark.parametrize("span_size", [1000, 65_536, 4 * 1024 * 1024])
def test_every_golden_layer_gives_the_same_from_both(span_size):
    assert LAYERS
    for path in LAYERS:
        raw = path.read_bytes()
        assert told(inflate.load_ng(), [raw], span_size) == told(inflate.load(), [raw], span_size), path.name


def test_where_zlib_ng_is_missing_libz_does_it(monkeypatch):
    monkeypatch.setattr(inflate, "load_ng", lambda: None)
    raw = LAYERS[0].read_bytes()
    assert told(None, [raw], 4096) == told(inflate.load(), [raw], 4096)
