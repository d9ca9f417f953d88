"""What a declared type accepts and refuses, and that all faults are reported at once, each with its place."""

from typing import Annotated, Literal

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from msgspec import Meta, Struct
from pydantic_core import Url, ValidationError

from bakery.config.schema.mismatch import WrongValue
from bakery.config.schema.reader import read
from bakery.config.schema.url import http_url


class Inner(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    whole_number: int


class Outer(Struct, frozen=True):
    flag: bool = False
    number: int = 0
    text: str = ""
    word: Literal["a", "b"] = "a"
    inner: Inner | None = None
    inners: tuple[Inner, ...] = ()
    by_name: dict[str, Inner] = {}
    one_or_more: str | tuple[str, ...] = ""


FLAGS = {
    True: (True, 1, 1.0, "1", "yes", "Y", "On", "TRUE", "t"),
    False: (False, 0, 0.0, "0", "no", "N", "oFF", "false", "f"),
    None: (2, -1, None, "", " yes", "perhaps", [], {}, "None"),
}


@pytest.mark.parametrize(("meant", "value"), [(meant, value) for meant, values in FLAGS.items() for value in values])
def test_a_boolean_may_be_a_word_or_a_digit(meant, value):
    made, faults = read({"flag": value}, Outer)
    assert (made.flag if made else None) is meant
    assert (meant is None) == bool(faults)


NUMBERS = [
    (5, 5), (5.0, 5), ("900", 900), (" -7 ", -7), ("1_000", 1000), ("5.0", 5), (True, 1),
    (1.5, None), ("", None), ("5.5", None), ("0x5", None), ("1e3", None), ("_5", None), ("5__0", None), (None, None),
    (float("nan"), None), (float("inf"), None), (1e300, None), ("9" * 5000, None), ("٥", None), ([], None),
]  # fmt: skip


@pytest.mark.parametrize(("value", "meant"), NUMBERS)
def test_an_integer_may_be_a_string_of_digits(value, meant):
    made, faults = read({"number": value}, Outer)
    assert (made.number if made else None) == meant
    assert (meant is None) == bool(faults)


def test_a_union_accepts_a_list_or_a_string():
    assert read({"one_or_more": ["a", "b"]}, Outer) == (Outer(one_or_more=("a", "b")), [])
    assert read({"one_or_more": "a"}, Outer) == (Outer(one_or_more="a"), [])
    assert [fault.path for fault in read({"one_or_more": ["a", 1]}, Outer)[1]] == [("one_or_more", 1)]


def test_all_faults_are_reported_each_at_its_place():
    raw = {
        "flag": "perhaps",
        "word": "c",
        "inner": {"wholeNumber": "x", "whole_number": 1},
        "inners": [{"wholeNumber": 1}, {}, 3],
        "by_name": {"a": {"wholeNumber": None}, 1: {"wholeNumber": 1}},
    }
    made, faults = read(raw, Outer, ("top",))
    assert made is None
    assert {(fault.path, fault.at_key) for fault in faults} == {
        (("top", "flag"), False),
        (("top", "word"), False),
        (("top", "inner", "wholeNumber"), False),
        (("top", "inner", "whole_number"), True),
        (("top", "inners", 1, "wholeNumber"), False),
        (("top", "inners", 2), False),
        (("top", "by_name", "a", "wholeNumber"), False),
        (("top", "by_name", 1), True),
    }


def test_lists_and_floats_of_third_party_options_are_read():
    class Options(Struct):
        names: list[str] = []
        share: float = 0.5

    assert read({"names": ["a"], "share": "0.25"}, Options) == (Options(["a"], 0.25), [])
    assert read({"share": 1}, Options) == (Options([], 1.0), [])
    strange: tuple[object, ...] = ("x", None, [], 10**400)
    for wrong in strange:
        assert "expected a number" in read({"share": wrong}, Options)[1][0].message


def test_an_unsupported_type_is_a_type_error():
    class Strange(Struct):
        when: bytes

    class Unchecked(Struct):
        number: Annotated[int, Meta(le=5)]

    class Unclear(Struct):
        either: int | str

    with pytest.raises(TypeError, match="unsupported type"):
        read({}, Strange)
    with pytest.raises(TypeError, match="unsupported constraint le"):
        read({}, Unchecked)
    with pytest.raises(TypeError, match="cannot distinguish"):
        read({}, Unclear)


def test_a_pattern_must_match_the_whole_string():
    class Named(Struct):
        name: Annotated[str, Meta(pattern="^[a-z]+$", extra={"allowed": "small letters"})]

    assert read({"name": "abc"}, Named)[1] == []
    for wrong in ("abc\n", "\nabc", "ab1", ""):
        assert "small letters" in read({"name": wrong}, Named)[1][0].message


PIECES = st.lists(st.sampled_from("ab1.-/:_~A%#?@ []") | st.sampled_from(["xn--", "..", "/./", "0x1", "127.1", "é"]))


@example("https://", "example.org")
@example("http://", "1.2.3")
@example("http://", "a.xn--b/c")
@example("https://", "a.org/b/../c")
@given(scheme=st.sampled_from(["http://", "https://"]), rest=PIECES.map("".join))
def test_a_url_is_normalized_as_by_the_library_even_if_the_library_is_not_used(scheme, rest):
    text = f"{scheme}{rest}".strip()
    try:
        judged = Url(text)
    except ValidationError:
        with pytest.raises(WrongValue):
            http_url(text)
    else:
        assume(judged.host)
        assert http_url(text) == str(judged)
