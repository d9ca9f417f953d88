"""Platforms: read and printed, compared in their normal form, and their words compared with Go's."""

import pytest

from bakery.errors import BadDocument
from bakery.oci.platform import Platform, unknown_words


@pytest.mark.parametrize("text", ["linux/amd64", "linux/arm/v7", "windows(10.0.20348.2966)/amd64", "wasi/wasm"])
def test_a_platform_is_printed_as_it_is_read(text):
    assert str(Platform.parse(text)) == text


def test_two_versions_of_windows_are_two_platforms():
    old, new = Platform.parse("windows(10.0.17763.1)/amd64"), Platform.parse("windows(10.0.20348.1)/amd64")
    assert old.normalised() != new.normalised()
    assert old.loose() == new.loose() == Platform("windows", "amd64")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "linux",
        "linux/",
        "/amd64",
        "linux/arm/v7/x",
        "linux amd64",
        "a b/c",
        "linux/a b/v7",
        "linux/arm/v 7",
        "windows()/amd64",
    ],
)
def test_other_texts_are_refused(text):
    with pytest.raises(BadDocument, match="invalid platform"):
        Platform.parse(text)


NORMAL = {
    "Linux/x86_64": "linux/amd64",
    "linux/x86-64/v2": "linux/amd64/v2",
    "linux/amd64/v1": "linux/amd64",
    "linux/386/v1": "linux/386/v1",
    "linux/aarch64": "linux/arm64",
    "linux/arm64/v8": "linux/arm64",
    "linux/arm64/8": "linux/arm64",
    "linux/amd64/v8": "linux/amd64/v8",
    "linux/arm64/v1": "linux/arm64/v1",
    "linux/arm64/9": "linux/arm64/v9",
    "linux/amd64/9.0": "linux/amd64/9.0",
    "linux/arm": "linux/arm/v7",
    "linux/arm/5": "linux/arm/v5",
    "linux/arm/v6": "linux/arm/v6",
    "linux/armhf": "linux/arm/v7",
    "linux/armhf/v6": "linux/arm/v7",
    "linux/armel": "linux/arm/v6",
    "linux/i386": "linux/386",
    "macOS/arm64": "darwin/arm64",
    "linux(5.1)/amd64": "linux/amd64",
    "windows(10.0)/amd64": "windows(10.0)/amd64",
}


@pytest.mark.parametrize(("written", "normal"), NORMAL.items(), ids=NORMAL)
def test_every_spelling_of_a_platform_has_one_normal_form(written, normal):
    assert str(Platform.parse(written).normalised()) == normal


def test_the_order_of_features_does_not_count():
    assert Platform("windows", "amd64", os_features=("b", "a")).normalised().os_features == ("a", "b")


WHOLE = {
    "architecture": "amd64", "os": "windows", "os.version": "10.0", "os.features": ["win32k"], "variant": "v2"
}  # fmt: skip
MALFORMED = {
    "not an object": [],
    "os is a number": WHOLE | {"os": 5},
    "a feature is a number": WHOLE | {"os.features": ["a", 5]},
    "features are an object": WHOLE | {"os.features": {"a": "b"}},
}


def test_a_platform_in_json_is_written_as_it_was_read_without_what_is_empty():
    assert Platform.from_json(WHOLE).to_json() == WHOLE
    bare = {"architecture": "amd64", "os": "linux"}
    assert Platform.from_json(bare | {"variant": "", "os.features": None}).to_json() == bare


@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_platform_in_json_is_refused(value):
    with pytest.raises(BadDocument, match="invalid platform"):
        Platform.from_json(value)


@pytest.mark.parametrize("text", ["unknown/unknown", "unknown/amd64", "linux/unknown"])
def test_a_platform_with_an_unknown_part_is_that_of_an_attestation(text):
    assert Platform.parse(text).is_unknown
    assert not Platform.parse("linux/amd64").is_unknown


def test_unknown_words_come_with_what_was_likely_meant():
    assert unknown_words(Platform.parse("linux/s390x")) == ()
    assert unknown_words(Platform.parse("macos/aarch64")) == (("macos", "darwin"), ("aarch64", "arm64"))
    assert unknown_words(Platform.parse("qqq/riscv46")) == (("qqq", ""), ("riscv46", "riscv64"))
