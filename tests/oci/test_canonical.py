"""Canonical JSON: what is refused, what keeps its spelling, and how each value is written."""

import pytest

from bakery.errors import BadDocument
from bakery.oci import canonical
from bakery.oci.canonical import RawNumber, parse_json, parse_object

REFUSED = {
    "a repeated key": (b'{"b":2,"a":1,"a":3}', "'a' occurs twice"),
    "NaN": (b"NaN", "NaN is not JSON"),
    "infinity": (b"-Infinity", "-Infinity is not JSON"),
    "a lone byte of UTF-8": (b'"\xff"', "it is not text: byte 1 is not valid UTF-8"),
    "endless nesting": (b"[" * 100_000, "nested too deeply"),
    "half an object": (b'{"a":', "expected a value in line 1, column 6, where the text ends"),
    "nothing": (b"", "it is empty"),
    "white space": (b" \n", "it is empty"),
    "words": (b"[1,\n x]", "expected a value in line 2, column 2$"),
    "no comma": (b"[1 2]", "expected a comma or the end of the list or object in line 1, column 4$"),
    "no colon": (b'{"a" 1}', "expected a colon in line 1, column 6$"),
    "a key without quotes": (b"{a: 1}", "expected a key in double quotes in line 1, column 2$"),
    "a comma too many": (b'{"a": 1,}', "(expected a key in double quotes|unexpected comma) in line 1, column \\d$"),
    "two documents": (b"{} {}", "unexpected text after the end of the document in line 1, column 4$"),
    "half a string": (b'["a', "expected the end of the string that starts in line 1, column 2$"),
    "a control character": (b'["a\n"]', "unexpected control character in line 1, column 4$"),
    "a wrong escape": (b'["\\q"]', "invalid escape in line 1, column 3$"),
    "half an escape": (b'["\\u12"]', "invalid escape in line 1, column \\d$"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "unexpected byte order mark in line 1, column 1$"),
}


@pytest.mark.parametrize(("raw", "why"), REFUSED.values(), ids=REFUSED)
def test_ambiguous_json_is_refused_with_the_reason(raw, why):
    with pytest.raises(BadDocument, match=f"^invalid JSON in a file: .*{why}"):
        parse_json(raw, about="a file")
    with pytest.raises(BadDocument, match=f"^invalid JSON: .*{why}"):
        parse_json(raw)


def test_json_may_be_as_large_as_the_limit_and_no_larger():
    assert parse_json(b"[1]", limit_bytes=3) == [1]
    with pytest.raises(BadDocument, match="4 bytes, more than the 3 allowed"):
        parse_json(b"[12]", limit_bytes=3)


NUMBERS = {
    "0": int,
    "-7": int,
    "9223372036854775807": int,  # 19 digits: the largest size that a descriptor may have
    "10000000000000000000": RawNumber,
    "-0": RawNumber,
    "1.50": RawNumber,
    "1e3": RawNumber,
}


@pytest.mark.parametrize(("text", "kind"), NUMBERS.items(), ids=NUMBERS)
def test_a_number_is_an_int_only_if_python_writes_it_the_same(text, kind):
    number = parse_json(text.encode())
    assert type(number) is kind
    assert str(number) == text


@pytest.mark.parametrize(("raw", "found"), [(b"[]", "a list"), (b'"x"', "a string"), (b"1", "a number")])
def test_a_document_that_is_not_an_object_is_refused_by_its_type(raw, found):
    with pytest.raises(BadDocument, match=f"expected an object, got {found}"):
        parse_object(raw)


WRITTEN = {
    "values": ({"a": [None, True, False, 7, "x", RawNumber("1.50")]}, '{"a":[null,true,false,7,"x",1.50]}'),
    "an empty list and object": ({"a": [], "b": {}}, '{"a":[],"b":{}}'),
    "controls": ({"a": "\b\f\n\r\t\x00\x1f"}, r'{"a":"\b\f\n\r\t\u0000\u001f"}'),
    "quotes": ({"a": '"\\/'}, r'{"a":"\"\\/"}'),
    "what HTML could misread": ({"a": "<>&\u2028\u2029"}, r'{"a":"\u003c\u003e\u0026\u2028\u2029"}'),
    "half a surrogate pair": ({"a": "\ud800-\udfff"}, '{"a":"\ufffd-\ufffd"}'),
    "other text": ({"é": "é😀"}, '{"é":"é😀"}'),
}


@pytest.mark.parametrize(("value", "text"), WRITTEN.values(), ids=WRITTEN)
def test_each_value_is_written_as_go_writes_it(value, text):
    assert canonical.encode(value, canonical.Shape(())).decode() == text


def test_what_is_not_json_cannot_be_written():
    with pytest.raises(TypeError, match="set"):
        canonical.encode({"a": {1}}, canonical.Shape(()))


def test_known_members_come_first_in_their_order_and_empty_ones_only_if_they_are_required():
    value = {"own": {"b": 1, "a": 2}, "annotations": {}, "manifests": [], "mediaType": "", "schemaVersion": 2}
    assert canonical.encode(value, canonical.INDEX) == b'{"schemaVersion":2,"manifests":[],"own":{"b":1,"a":2}}'


def test_maps_of_text_are_sorted_by_their_bytes_and_other_objects_keep_their_order():
    # U+FFFD is above U+10000 in UTF-16, below it in UTF-8.
    annotations = {"\U00010000": "3", "\ufffd": "2", "a": "1"}
    entry = {"size": 1, "digest": "d", "mediaType": "m", "annotations": annotations}
    assert canonical.encode({"manifests": [entry]}, canonical.INDEX).decode() == (
        '{"manifests":[{"mediaType":"m","digest":"d","size":1,"annotations":{"a":"1","\ufffd":"2","\U00010000":"3"}}]}'
    )


def test_half_of_a_surrogate_pair_is_read_as_go_reads_it_since_it_cannot_be_printed():
    assert parse_json(rb'{"a\ud800": "\ud83d\ude00 \udc00 \\ud800"}') == {"a\ufffd": "\U0001f600 \ufffd \\ud800"}
    with pytest.raises(BadDocument, match="occurs twice"):
        parse_json(rb'{"\ud800": 1, "\ud801": 2}')


@pytest.mark.parametrize(("start", "end"), [(b"[", b"]"), (b'{"a":[', b"]}")], ids=["lists", "objects and lists"])
def test_json_is_nested_so_little_that_readers_may_recurse(start, end):
    levels = 128 // start.count(b"[") if start == b"[" else 64
    deepest = start * levels + end * levels
    assert parse_json(deepest) is not None
    for more in (1, 100, 10_000):
        with pytest.raises(BadDocument, match="nested too deeply"):
            parse_json(start * (levels + more) + b"1" + end * (levels + more))
