"""Descriptors: read strictly, written whole, and compared with the content that they name."""

import base64

import pytest

from bakery.errors import BadDocument, DigestMismatch
from bakery.oci.descriptor import MAX_SIZE, Descriptor
from bakery.oci.digest import Digest
from bakery.oci.platform import Platform

DIGEST = Digest.of(b"{}")
BARE = {"mediaType": "a/b", "digest": str(DIGEST), "size": 2}
WHOLE = {
    "mediaType": "a/b",
    "digest": str(DIGEST),
    "size": 2,
    "urls": ["https://example.com/x"],
    "annotations": {"a": "1"},
    "data": "e30=",
    "platform": {"architecture": "amd64", "os": "linux"},
    "artifactType": "c/d",
    "x-own": [1],
}
REFUSED = {
    "it": ([], "an object"),
    "mediaType": (BARE | {"mediaType": 1}, "a string"),
    "size": (BARE | {"size": MAX_SIZE + 1}, "an integer"),
    "annotations": (BARE | {"annotations": ["a"]}, "an object of strings"),
    "annotations must": (BARE | {"annotations": {"a": "1", "b": 2}}, "an object of strings"),
    "urls": (BARE | {"urls": {"a": "1"}}, "a list of strings"),
    "urls must": (BARE | {"urls": ["a", 1]}, "a list of strings"),
    "artifactType": (BARE | {"artifactType": 1}, "a string"),
}


@pytest.mark.parametrize(("member", "case"), REFUSED.items(), ids=REFUSED)
def test_a_malformed_descriptor_is_refused_by_its_member(member, case):
    value, rule = case
    with pytest.raises(BadDocument, match=f"{member}.*{rule}"):
        Descriptor.from_json(value, about="an index")


@pytest.mark.parametrize("size", [0, MAX_SIZE])
def test_a_size_may_be_anything_from_nothing_to_63_bits(size):
    assert Descriptor.from_json(BARE | {"size": size}).size == size


def test_a_descriptor_is_written_as_it_was_read():
    read = Descriptor.from_json(WHOLE)
    assert read.to_json() == WHOLE
    assert read.data == b"{}"
    assert read.extra == {"x-own": [1]}
    assert Descriptor.from_json(BARE).to_json() == BARE | {
        "urls": [], "annotations": {}, "data": "", "platform": {}, "artifactType": ""
    }  # fmt: skip


def test_a_bare_descriptor_names_the_same_content_and_nothing_else():
    assert Descriptor.from_json(WHOLE).bare().to_json() == Descriptor.from_json(BARE).to_json()


def test_equal_descriptors_have_one_hash_and_others_hardly_ever():
    read = Descriptor.from_json(WHOLE)
    assert hash(read) == hash(read.bare())
    assert len({hash(Descriptor("a/b", DIGEST, size)) for size in range(50)}) > 40


def test_a_platform_can_be_put_in_its_place():
    platform = Platform("linux", "arm64")
    assert Descriptor.from_json(BARE).with_platform(platform) == Descriptor.from_json(
        BARE | {"platform": platform.to_json()}
    )


@pytest.mark.parametrize("content", [b"{}x", b"[]", b""], ids=["another size", "the same size", "nothing"])
def test_content_that_is_not_the_one_described_is_refused(content):
    with pytest.raises(DigestMismatch, match=str(DIGEST)):
        Descriptor.from_json(BARE).check(content)


def test_content_of_another_size_is_refused_even_if_its_digest_is_right():
    with pytest.raises(DigestMismatch):
        Descriptor("a/b", DIGEST, 3).check(b"{}")


def test_content_that_is_the_one_described_passes_whatever_the_algorithm():
    for algorithm in ("sha256", "sha512"):
        assert Descriptor("a/b", Digest.of(b"{}", algorithm), 2).check(b"{}") == b"{}"


def test_empty_inline_data_counts_as_none_even_for_empty_content():
    nothing = {"mediaType": "a/b", "digest": str(Digest.of(b"")), "size": 0}
    assert Descriptor.from_json(nothing | {"data": ""}).data is None


def test_inline_data_must_have_the_size_that_the_descriptor_gives():
    data = base64.b64encode(b"{}").decode()
    assert Descriptor.from_json(BARE | {"size": 3, "data": data}).data is None


def test_only_plain_base64_is_inline_data():
    assert Descriptor.from_json(BARE | {"data": "e\n30="}).data is None
