"""References: refused, never repaired."""

import pytest

from bakery.errors import BadDigest, BadReference
from bakery.oci.digest import Digest
from bakery.oci.reference import (
    DigestReference,
    LayoutPath,
    LayoutReference,
    Repository,
    TagReference,
    parse_reference,
    repository_in,
)

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
    "localhost:1/a": ("localhost:1/a", ""),
    "localhost:65535/a": ("localhost:65535/a", ""),
    "[::1]/a": ("[::1]/a", ""),
    "[fe80::99999]/a": ("[fe80::99999]/a", ""),
    "index.docker.io/alpine": ("docker.io/library/alpine", ""),
    "localhost:5000/a:65536": ("localhost:5000/a", "65536"),
    "ghcr.io": ("docker.io/library/ghcr.io", ""),
    "ghcr.io/" + "a" * 247: ("ghcr.io/" + "a" * 247, ""),
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
    "port 0": "localhost:0/a",
    "port 65536": "localhost:65536/a",
    "long name": "ghcr.io/" + "a" * 248,
    "host with a bad letter": "g!.io/a",
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


def test_a_host_of_digits_is_not_a_port():
    assert str(Repository("99999", "a")) == "99999/a"


def test_a_tag_must_not_be_empty():
    with pytest.raises(BadReference):
        Repository("ghcr.io", "acme/app").with_tag("")
    with pytest.raises(BadReference, match="the tag is empty"):
        parse_reference("ghcr.io/acme/app:")


def test_a_reference_is_printed_as_it_is_read_and_its_identifier_is_what_urls_have():
    tag = parse_reference("ghcr.io/acme/app:1.0")
    assert str(tag) == "ghcr.io/acme/app:1.0"
    assert tag.identifier == "1.0"
    layout = LayoutPath("/out")
    assert str(layout.with_digest(DIGEST)) == f"oci-layout:///out@{DIGEST}"
    assert str(LayoutReference(layout, "1.0")) == "oci-layout:///out:1.0"
    assert str(LayoutReference(layout)) == "oci-layout:///out"
