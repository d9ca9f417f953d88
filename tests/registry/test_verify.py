"""What a registry sends for a manifest or a blob, checked before anything counts on it."""

from __future__ import annotations

import logging

import pytest

from bakery.errors import DigestMismatch
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import DigestReference, Reference, Repository, TagReference
from bakery.registry.http.message import Fields, HttpResponse
from bakery.registry.http.url import Url
from bakery.registry.operation import Operation
from bakery.registry.ranges import BadRange
from bakery.registry.verify import Named, check_requested, check_start, descriptor_in, is_blob, names_blob, verified
from tests.wire.making import headers_of, image

REPOSITORY = Repository("reg.example", "acme/app")
READ = Operation("GET", Url.parse("https://reg.example/v2/"), REPOSITORY, (), "read manifest", "app")
WANTED, RAW = image(b"layer")
OTHER, _ = image(b"another layer")
BY_DIGEST, BY_TAG = DigestReference(REPOSITORY, WANTED.digest), TagReference(REPOSITORY, "v1")
BLOB = Descriptor.of(b"content", "application/x")
DIGEST = "Docker-Content-Digest"
OF_512 = "sha512:" + 128 * "a"


def check(reference: Reference, expected: Descriptor | None = None, raw: bytes = RAW, **headers: str) -> RawManifest:
    fields = Fields({name.replace("_", "-"): value for name, value in headers.items()})
    return verified(HttpResponse(200, fields, raw), reference, READ, expected)


def test_bytes_that_a_digest_does_not_name_are_refused():
    assert check(BY_DIGEST) == RawManifest(WANTED, RAW)
    with pytest.raises(DigestMismatch, match="the registry responded with"):
        check(BY_DIGEST, raw=RAW + b" ")


def test_a_reference_by_another_algorithm_is_checked_by_it():
    stronger = Digest.of(RAW, "sha512")
    assert check(DigestReference(REPOSITORY, stronger)).descriptor.digest == stronger
    with pytest.raises(DigestMismatch):
        check(DigestReference(REPOSITORY, Digest.of(b"", "sha512")))
    check_requested(DigestReference(REPOSITORY, stronger), WANTED.digest, READ)  # a header may state the other one


def test_bytes_that_a_descriptor_does_not_name_are_refused_even_for_a_tag():
    assert check(BY_TAG, WANTED) == RawManifest(WANTED, RAW)
    with pytest.raises(DigestMismatch, match="wrong content"):
        check(BY_TAG, OTHER)


def test_a_header_that_contradicts_the_bytes_is_an_error_for_a_digest_and_a_warning_for_a_tag(caplog):
    with caplog.at_level(logging.WARNING):
        assert check(BY_TAG, Docker_Content_Digest=str(WANTED.digest)).descriptor == WANTED
        assert check(BY_TAG, Docker_Content_Digest=OF_512).descriptor == WANTED
        assert check(BY_TAG).descriptor == WANTED
        assert not caplog.records
        assert check(BY_TAG, Docker_Content_Digest=str(OTHER.digest)).descriptor == WANTED
        assert "its header states" in caplog.text
    assert check(BY_DIGEST, Docker_Content_Digest=OF_512).descriptor == WANTED
    with pytest.raises(DigestMismatch, match="its header states"):
        check(BY_DIGEST, Docker_Content_Digest=str(OTHER.digest))


def test_a_manifest_of_another_type_than_expected_is_refused():
    assert check(BY_TAG, WANTED, Content_Type=mt.OCI_MANIFEST).descriptor == WANTED
    assert check(BY_TAG, WANTED, Content_Type="text/plain").descriptor == WANTED
    with pytest.raises(DigestMismatch, match="its media type is"):
        check(BY_TAG, WANTED, Content_Type=mt.OCI_INDEX)


def test_an_expected_type_that_is_not_one_of_manifests_is_not_compared():
    """Some tools write other types into their indexes."""
    odd = Descriptor("application/json", WANTED.digest, WANTED.size)
    assert check(BY_TAG, odd, Content_Type=mt.OCI_MANIFEST).raw == RAW


HEADS = {  # what a HEAD lacks or has, and whether it has a descriptor
    "all": ({}, True),
    "no type": ({"Content-Type": ""}, False),
    "another type": ({"Content-Type": "text/html"}, False),
    "no length": ({"Content-Length": ""}, False),
    "no digest": ({DIGEST: ""}, False),
    "upper case": ({DIGEST: f" {str(WANTED.digest).upper()} "}, True),
}


@pytest.mark.parametrize(("changes", "is_whole"), HEADS.values(), ids=HEADS)
def test_the_headers_of_a_head_are_a_descriptor_only_if_none_is_missing(changes, is_whole):
    response = HttpResponse(200, Fields({**headers_of(WANTED), **changes}))
    assert descriptor_in(response) == (WANTED if is_whole else None)


def test_a_manifest_names_its_blobs_children_and_subject_once():
    subject = {"mediaType": WANTED.media_type, "digest": str(WANTED.digest), "size": WANTED.size}
    foreign = {**subject, "mediaType": next(iter(mt.NONDISTRIBUTABLE))}
    plain, raw = image(b"layer", b"layer")
    found = Named(raw, plain.media_type)
    layer, config = Digest.of(b"layer"), Digest.of(b"{}")
    assert (set(found.digests()), found.manifests, found.may_have_subject) == ({layer, config}, set(), False)
    with_subject, raw = image(b"layer", subject=subject)
    found = Named(raw, with_subject.media_type)
    assert found.digests() == (config, layer, WANTED.digest)
    assert found.may_have_subject
    with_foreign, raw = image(layers=[foreign])
    assert set(Named(raw, with_foreign.media_type).digests()) == {config}
    index = b'{"schemaVersion":2,"mediaType":"%s","manifests":[{"mediaType":"%s","digest":"%s","size":%d}]}'
    raw = index % (mt.OCI_INDEX.encode(), mt.OCI_MANIFEST.encode(), str(OTHER.digest).encode(), OTHER.size)
    assert Named(raw, mt.OCI_INDEX).digests() == (OTHER.digest,)


LENGTH = {"Content-Length": str(BLOB.size)}
FOUND = {  # the headers of a 200, and whether it proves that the registry has the blob
    "digest and length": ({**LENGTH, DIGEST: str(BLOB.digest)}, True),
    "only the digest": ({DIGEST: str(BLOB.digest)}, True),
    "another digest": ({**LENGTH, DIGEST: str(WANTED.digest)}, False),
    "the digest, and another length": ({"Content-Length": "1", DIGEST: str(BLOB.digest)}, False),
    "only the length": (LENGTH, True),
    "the length and a digest of another algorithm": ({**LENGTH, DIGEST: OF_512}, True),
    "a page of this length": ({**LENGTH, "Content-Type": "text/html"}, False),
    "neither": ({}, False),
}


@pytest.mark.parametrize(("headers", "proves"), FOUND.values(), ids=FOUND)
def test_a_200_proves_that_a_blob_exists_only_if_it_says_which(headers, proves):
    assert is_blob(HttpResponse(200, Fields(headers)), BLOB) is proves


NAMED = {
    "the digest": ({DIGEST: str(BLOB.digest)}, True),
    "the Location": ({"Location": f"/v2/app/blobs/{BLOB.digest}?x=y"}, True),
    "the Location, escaped": ({"Location": f"/v2/app/blobs/{BLOB.digest}".replace(":", "%3A")}, True),
    "another digest": ({DIGEST: str(WANTED.digest), "Location": f"/v2/app/blobs/{WANTED.digest}"}, False),
    "neither": ({}, False),
}


@pytest.mark.parametrize(("headers", "names"), NAMED.values(), ids=NAMED)
def test_a_201_names_a_blob_by_its_digest_or_location(headers, names):
    assert names_blob(HttpResponse(201, Fields(headers)), BLOB) is names


def test_a_download_starts_where_the_response_does():
    rest = Fields({"Content-Range": f"bytes 3-{BLOB.size - 1}/{BLOB.size}", "Content-Length": str(BLOB.size - 3)})
    assert check_start(206, rest, 3, BLOB, "x") == 0
    assert check_start(200, Fields(LENGTH), 3, BLOB, "x") == 3
    assert check_start(200, Fields(), 0, BLOB, "x") == 0
    with pytest.raises(DigestMismatch, match="offers 1 bytes"):
        check_start(200, Fields({"Content-Length": "1"}), 0, BLOB, "x")


def test_a_part_that_was_not_requested_is_refused():
    whole = Fields({"Content-Range": f"bytes 0-{BLOB.size - 1}/{BLOB.size}", **LENGTH})
    with pytest.raises(BadRange, match="unexpected status 206"):
        check_start(206, whole, 0, BLOB, "x")
    with pytest.raises(BadRange):
        check_start(206, whole, 3, BLOB, "x")
