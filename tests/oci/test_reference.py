"""References: refused, never repaired."""

import pytest

from bakery.errors import BadDigest, BadReference
from bakery.oci.digest import Digest
from bakery.oci.reference import Reference, Repository

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
    "userinfo": "user:pass@ghcr.io/a",
    "no such port": "localhost:99999/a",
    "long name": "ghcr.io/" + "a" * 300,
}


@pytest.mark.parametrize(("text", "expected"), GOOD.items(), ids=GOOD)
def test_names_are_read_as_users_write_them(text, expected):
    reference = Reference.parse(text)
    assert (str(reference.repository), reference.tag) == expected


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_what_could_be_misread_is_refused(text):
    with pytest.raises((BadReference, BadDigest)):
        Reference.parse(text)


def test_a_digest_beats_a_tag_and_can_drop_it():
    reference = Reference.parse(f"ghcr.io/acme/app/tmp:latest@{DIGEST}")
    assert reference.target == str(DIGEST)
    assert str(reference.digest_only()) == f"ghcr.io/acme/app/tmp@{DIGEST}"
    assert reference.digest_only() == Repository("ghcr.io", "acme/app/tmp").with_digest(DIGEST)
