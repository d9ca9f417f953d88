"""References: refused, never repaired."""

import pytest

from bakery.errors import BadDigest, BadReference
from bakery.oci.digest import Digest
from bakery.oci.reference import DigestReference, Repository, TagReference, parse_reference, repository_in

DIGEST = Digest.of(b"x")

GOOD = {
    "ghcr.io/acme/app:1.0": ("ghcr.io/acme/app", "1.0"),
    "localhost:5000/a": ("localhost:5000/a", ""),
    "localhost/a": ("localhost/a", ""),
    "GHCR.io/acme/app": ("ghcr.io/acme/app", ""),
    "alpine": ("docker.io/library/alpine", ""),
    "acme/app:x": ("docker.io/acme/app", "x"),
    "index.docker.io/acme/app": ("docker.io/acme/app", ""),
    "[::1]:5000/a/b:t": ("[::1]:5000/a/b", "t"),
    "127.0.0.1:5000/a__b/c-d": ("127.0.0.1:5000/a__b/c-d", ""),
}
BAD = {
    "upper case path": "ghcr.io/Acme/app",
    "dot dot": "ghcr.io/a/../b",
    "encoded slash": "ghcr.io/a%2fb",
    "double slash": "ghcr.io/a//b",
    "header injection": "ghcr.io/a:b\r\nX: y",
    "trailing line break": "ghcr.io/a:b\n",
    "empty tag": "ghcr.io/a:",
    "long tag": "ghcr.io/a:" + "t" * 129,
    "bad tag start": "ghcr.io/a:-x",
    "empty": "",
    "short digest": "ghcr.io/a@sha256:abc",
    "userinfo": "user:pass@ghcr.io/a",
    "no such port": "localhost:99999/a",
    "long name": "ghcr.io/" + "a" * 300,
}


@pytest.mark.parametrize(("text", "expected"), GOOD.items(), ids=GOOD)
def test_a_name_is_read_as_users_write_it(text, expected):
    name, tag = expected
    assert str(repository_in(text)) == name
    if tag:
        assert parse_reference(text) == TagReference(Repository.parse(name), tag)
    else:
        with pytest.raises(BadReference, match="a tag or a digest is missing"):
            parse_reference(text)


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
@pytest.mark.parametrize("parse", [parse_reference, repository_in])
def test_an_ambiguous_or_malformed_reference_is_refused(parse, text):
    with pytest.raises((BadReference, BadDigest)):
        parse(text)


def test_a_digest_counts_more_than_a_tag():
    reference = parse_reference(f"ghcr.io/acme/app/tmp:latest@{DIGEST}")
    assert reference == DigestReference(Repository("ghcr.io", "acme/app/tmp"), DIGEST)
    assert str(reference) == f"ghcr.io/acme/app/tmp@{DIGEST}"
    assert reference.identifier == str(DIGEST)


@pytest.mark.parametrize("text", [f"ghcr.io/acme/app:-x@{DIGEST}", f"ghcr.io/acme/app:@{DIGEST}"])
def test_a_tag_beside_a_digest_must_be_valid_too(text):
    with pytest.raises(BadReference):
        parse_reference(text)


def test_a_tag_must_not_be_empty():
    with pytest.raises(BadReference):
        Repository("ghcr.io", "acme/app").with_tag("")
