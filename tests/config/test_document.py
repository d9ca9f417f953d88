"""YAML is parsed safely, by the core schema of YAML 1.2, and the place of every value is known."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.config.yaml.document import Document
from bakery.config.yaml.problem import InvalidProject

SCALARS = {
    "1.9": 1.9, "1.9.2": "1.9.2", '"1.9"': "1.9", "yes": "yes", "on": "on", "true": True, "FALSE": False, "~": None,
    "null": None, "": None, "12": 12, "-3": -3, "0x1F": 31, "0o17": 15, "017": 17, "1e3": 1000.0, ".5": 0.5,
    "2026-03-01": "2026-03-01", "1_000": "1_000", "12:30:45": "12:30:45", ".inf": float("inf"), "4.10": 4.1,
    "!!str 1.9": "1.9", "'~'": "~", "=": "=", "0b1": "0b1", "tRue": "tRue", "1.": 1.0, "+1": 1, "v1.2": "v1.2",
}  # fmt: skip


@pytest.mark.parametrize(("text", "value"), SCALARS.items(), ids=SCALARS)
def test_scalars_follow_yaml_1_2(text, value):
    found = Document(f"a: {text}\n", "f").value["a"]
    assert (found, type(found)) == (value, type(value))


def test_an_empty_text_is_an_empty_mapping():
    assert Document("", "f").value == {}
    assert Document("# nothing\n", "f").value == {}


INVALID = {
    "a tag": ("a: !!python/object:os.system x\n", "tag", (1, 4)),
    "a tag on a mapping": ("a: !thing {b: c}\n", "tag", (1, 4)),
    "an unknown alias": ("a: *x\n", "*x", (1, 4)),
    "an alias in itself": ("a: &x [*x]\n", "*x", (1, 8)),
    "a second document": ("a: 1\n---\nb: 2\n", "second one", (2, 1)),
    "a mapping as a key": ("a: 1\n{b: c}: d\n", "key", (2, 1)),
    "an unclosed list": ("a: [1, 2\nb: 3\n", "invalid YAML", None),
    "a tab as indentation": ("a:\n\tb: 1\n", "invalid YAML", (2, 1)),
    "a control character": ("a: \x01\n", "invalid YAML", (1, 4)),
    "a merge of a number": ("a:\n  <<: 3\n", "<<", None),
}


@pytest.mark.parametrize(("text", "words", "place"), INVALID.values(), ids=INVALID)
def test_invalid_text_is_reported_with_its_place(text, words, place):
    with pytest.raises(InvalidProject) as caught:
        Document(text, "f.yaml")
    (problem,) = caught.value.problems
    assert words in problem.message
    assert problem.file == "f.yaml"
    if place is not None:
        assert (problem.line, problem.column) == place


def test_a_duplicate_key_is_reported_with_its_place_and_parsing_continues():
    document = Document("a: 1\nb:\n  - c: 1\n    c: 2\na: 3\n", "f")
    problems = [document.problem(found) for found in document.findings]
    assert [(one.path, one.line, one.column) for one in problems] == [("b[0].c", 4, 5), ("a", 5, 1)]


def test_merge_keys_are_merged_and_own_keys_take_precedence():
    document = Document("base: &b {x: 1, y: 2}\nmore: &m {x: 5, z: 3}\na:\n  <<: [*b, *m]\n  y: 9\n", "f")
    assert document.value["a"] == {"y": 9, "x": 1, "z": 3}
    assert document.locate(("a", "z")) == (2, 20)


def test_exponential_aliases_are_refused_quickly():
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 12))
    began = time.perf_counter()
    with pytest.raises(InvalidProject, match="aliases"):
        Document(f"l0: &l0 lol\n{levels}\n", "f")
    assert time.perf_counter() - began < 1


def test_a_mebibyte_of_aliases_is_refused_quickly():
    began = time.perf_counter()
    with pytest.raises(InvalidProject, match="aliases"):
        Document("a: &a [1, 2]\nb: [" + "*a," * (1024 * 1024 // 3) + "]\n", "f")
    assert time.perf_counter() - began < 2


def test_deep_nesting_is_refused():
    with pytest.raises(InvalidProject):
        Document("a: " + "[" * 5000 + "]" * 5000, "f")
    with pytest.raises(InvalidProject, match="nested more than 64 levels"):
        Document("a: " + "[" * 100 + "]" * 100, "f")


def test_a_place_is_that_of_the_value_or_of_its_key():
    document = Document('\ufeffimages:\n  - name: x\n    os: [{name: "Ü b"}, {name: c}]\n', "f")
    assert document.locate(("images", 0, "name")) == (2, 11)
    assert document.locate(("images", 0, "os", 1, "name")) == (3, 32)
    assert document.locate(("images", 0, "os"), at_key=True) == (3, 5)
    assert document.locate(("images", 0, "missing")) == (2, 5)


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text):
    with contextlib.suppress(InvalidProject):
        Document(text, "f").locate(("a", 0))
