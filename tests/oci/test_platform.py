"""Platforms as text: read, printed, and their words compared with Go's."""

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
    "text", ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux amd64", "a b/c", "windows()/amd64"]
)
def test_other_texts_are_refused(text):
    with pytest.raises(BadDocument, match="invalid platform"):
        Platform.parse(text)


def test_unknown_words_come_with_what_was_likely_meant():
    assert unknown_words(Platform.parse("linux/s390x")) == ()
    assert unknown_words(Platform.parse("macos/aarch64")) == (("macos", "darwin"), ("aarch64", "arm64"))
    assert unknown_words(Platform.parse("qqq/riscv46")) == (("qqq", ""), ("riscv46", "riscv64"))
