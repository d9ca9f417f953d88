"""Digests: only the exact form is accepted."""

import pytest

from bakery.errors import BadDigest
from bakery.oci.digest import Digest, new_hasher

BAD = {
    "upper case": "sha256:" + "A" * 64,
    "too short": "sha256:abc",
    "sha512 with 64 digits": "sha512:" + "a" * 64,
    "unknown algorithm": "md5:" + "a" * 32,
    "a path": "sha256:../../v2/x/blobs/" + "a" * 43,
    "an attribute": "__class__:" + "a" * 64,
    "a line break": "sha256:" + "a" * 64 + "\n",
    "nothing": "",
    "not text": None,
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_text_that_is_not_exactly_a_digest_is_refused(text):
    with pytest.raises(BadDigest):
        Digest.parse(text)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_digest_is_read_as_it_is_printed(algorithm):
    digest = Digest.of(b"bread", algorithm)
    assert Digest.parse(str(digest)) == digest
    assert digest.hasher().hexdigest() == str(Digest.of(b"", algorithm)).partition(":")[2]


def test_content_is_hashed_with_sha256_or_sha512_only():
    with pytest.raises(BadDigest, match="unknown hash algorithm 'md5'"):
        new_hasher("md5")
