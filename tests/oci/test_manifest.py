"""Manifests: a body that could be read in two ways is refused (GHSA-77vh-xpmg-72qh)."""

import json
import re

import pytest

from bakery.errors import BadDocument, InvalidContent
from bakery.oci import canonical, manifest
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.index import encode_index

CONFIG = {"mediaType": mt.OCI_CONFIG, "digest": str(Digest.of(b"{}")), "size": 2}
IMAGE = {"schemaVersion": 2, "mediaType": mt.OCI_MANIFEST, "config": CONFIG, "layers": []}
INDEX = {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": []}


def raw(value: object) -> bytes:
    return json.dumps(value).encode()


AMBIGUOUS = {
    "index with config": (raw(INDEX | {"config": CONFIG}), ""),
    "index with layers": (raw(INDEX | {"layers": []}), ""),
    "image with manifests": (raw(IMAGE | {"manifests": []}), ""),
    "index with fsLayers": (raw(INDEX | {"fsLayers": []}), ""),
    "index that says it is an image": (raw(INDEX | {"mediaType": mt.OCI_MANIFEST}), ""),
    "content type says index": (raw(IMAGE), mt.OCI_INDEX),
    "mediaType twice": (b'{"schemaVersion":2,"mediaType":"a","mediaType":"b","manifests":[]}', ""),
    "schema 1": (raw({"schemaVersion": 1, "fsLayers": []}), ""),
    "image with fsLayers": (raw(IMAGE | {"fsLayers": []}), ""),
    "image with the history of schema 1": (raw(IMAGE | {"history": []}), ""),
    "image with signatures": (raw(IMAGE | {"signatures": []}), ""),
    "mediaType is a number": (raw(IMAGE | {"mediaType": 5}), ""),
    "mediaType is null": (raw(IMAGE | {"mediaType": None}), ""),
    "config is an index": (raw(IMAGE | {"config": CONFIG | {"mediaType": mt.OCI_INDEX}}), ""),
    "config is a manifest": (raw(IMAGE | {"config": CONFIG | {"mediaType": mt.DOCKER_MANIFEST}}), ""),
    "layer is an index": (raw(IMAGE | {"layers": [CONFIG | {"mediaType": mt.OCI_INDEX}]}), ""),
    "not JSON": (b"<html>", ""),
    "NaN": (b'{"schemaVersion":NaN}', ""),
    "endless nesting": (b"[" * 100_000, ""),
    "a list": (b"[]", ""),
    "too large": (raw(INDEX) + b" " * canonical.MAX_MANIFEST_BYTES, ""),
    "size is text": (raw(IMAGE | {"config": CONFIG | {"size": "2"}}), ""),
    "size is true": (raw(IMAGE | {"config": CONFIG | {"size": True}}), ""),
    "size is negative": (raw(IMAGE | {"config": CONFIG | {"size": -1}}), ""),
    "size is 1e18": (b'{"schemaVersion":2,"config":{"digest":"sha256:x","size":1e18},"layers":[]}', ""),
    "size is 1.5": (raw(IMAGE | {"config": CONFIG | {"size": 1.5}}), ""),
    "schema 1 under a type of its own": (raw(IMAGE | {"schemaVersion": 1, "mediaType": "x/y"}), ""),
    "schemaVersion is 1": (raw(IMAGE | {"schemaVersion": 1}), ""),
    "annotations are a list": (raw(IMAGE | {"annotations": ["a"]}), ""),
    "an annotation is a number": (raw(INDEX | {"annotations": {"a": "1", "b": 2}}), ""),
    "artifactType is a number": (raw(INDEX | {"artifactType": 5}), ""),
    "layers are an object": (raw(IMAGE | {"layers": {}}), ""),
    "manifests are an object": (raw(INDEX | {"manifests": {}}), ""),
    "one manifest too many": (raw(INDEX | {"manifests": [CONFIG] * (manifest.MAX_ENTRIES + 1)}), ""),
    "bad digest": (raw(IMAGE | {"config": CONFIG | {"digest": "sha256:../.."}}), ""),
}


@pytest.mark.parametrize(("body", "media_type"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_ambiguous_and_malformed_manifests_are_refused(body, media_type):
    with pytest.raises(InvalidContent):
        manifest.parse(body, media_type=media_type)


def test_a_manifest_without_media_type_is_known_by_its_members():
    body = {key: value for key, value in IMAGE.items() if key != "mediaType"}
    assert manifest.parse(raw(body)).media_type == mt.OCI_MANIFEST
    assert manifest.parse(raw(body), media_type=mt.DOCKER_MANIFEST).media_type == mt.DOCKER_MANIFEST


def test_inline_data_that_is_not_what_the_digest_names_is_never_used():
    good = CONFIG | {"data": "e30="}
    assert Descriptor.from_json(good).data == b"{}"
    for bad in ("e30", "W10=", "!", 7):
        assert Descriptor.from_json(CONFIG | {"data": bad}).data is None


def test_encoding_orders_known_members_and_keeps_unknown_ones_as_written():
    document = canonical.parse_object(
        b'{"x-new":{"b":1.50,"a":1e3},"manifests":[],"annotations":{"b":"<\\u2028>","a":"\\u00e9&"},"schemaVersion":2}'
    )
    assert canonical.encode(document, canonical.INDEX).decode() == (
        '{"schemaVersion":2,"manifests":[],"annotations":{"a":"é\\u0026","b":"\\u003c\\u2028\\u003e"},'
        '"x-new":{"b":1.50,"a":1e3}}'
    )


REASONS = {
    "it has the members of both kinds": (IMAGE | {"manifests": []}, "members of an index and of an image"),
    "schema 1": (IMAGE | {"schemaVersion": 1, "mediaType": "x/y"}, "schema 1 is not supported"),
    "an unknown type": (IMAGE | {"mediaType": "x/y"}, "not the media type of a manifest$"),
    "an unknown version": (IMAGE | {"schemaVersion": 3}, "schemaVersion must be 2, got 3"),
    "a type that does not fit": (IMAGE | {"mediaType": mt.OCI_INDEX}, "does not fit its members"),
}


@pytest.mark.parametrize(("document", "why"), REASONS.values(), ids=REASONS)
def test_a_refusal_says_what_is_wrong(document, why):
    with pytest.raises(BadDocument, check=lambda error: re.search(why, error.why) is not None):
        manifest.parse(raw(document))


def test_a_view_has_every_member_that_the_specification_defines():
    subject = {"mediaType": mt.OCI_MANIFEST, "digest": str(Digest.of(b"s")), "size": 1}
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": str(Digest.of(b"l")), "size": 1}
    common = {"subject": subject, "annotations": {"a": "1"}, "artifactType": "x/y"}
    image = manifest.parse(raw(IMAGE | common | {"layers": [layer]}))
    index = manifest.parse(raw(INDEX | common | {"manifests": [subject] * manifest.MAX_ENTRIES}))
    assert isinstance(image, manifest.Manifest)
    assert isinstance(index, manifest.Index)
    assert image.blobs == (Descriptor.from_json(CONFIG), Descriptor.from_json(layer))
    assert len(index.manifests) == manifest.MAX_ENTRIES
    for view in (image, index):
        assert view.subject == Descriptor.from_json(subject)
        assert view.annotations == {"a": "1"}
        assert view.artifact_type == "x/y"


def test_an_entry_that_buildkit_marks_is_an_attestation():
    entry = Descriptor.from_json(CONFIG)
    assert not manifest.is_attestation(entry)
    marked = CONFIG | {"annotations": {manifest.ATTESTATION_TYPE: "attestation-manifest"}}
    assert manifest.is_attestation(Descriptor.from_json(marked))


@pytest.mark.parametrize("stated", [None, "", 5])
def test_a_body_without_a_media_type_has_that_of_the_response(stated):
    assert (
        manifest.sniff_media_type({"mediaType": stated}, f"{mt.DOCKER_MANIFEST}; charset=utf-8") == mt.DOCKER_MANIFEST
    )
    assert manifest.sniff_media_type({"mediaType": stated, "manifests": []}, "text/plain") == mt.OCI_INDEX


def test_an_index_keeps_entries_in_json_and_the_members_it_is_given():
    entry = Descriptor.from_json(CONFIG)
    made = encode_index([entry, CONFIG | {"own": 1}], {"annotations": {"a": "1"}})
    assert made.descriptor == Descriptor.of(made.raw, mt.OCI_INDEX)
    bare = f'{{"mediaType":"{mt.OCI_CONFIG}","digest":"{entry.digest}","size":2'
    assert made.raw.decode() == (
        f'{{"schemaVersion":2,"mediaType":"{mt.OCI_INDEX}","manifests":[{bare}}},{bare},"own":1}}],"annotations":{{"a":"1"}}}}'
    )
    assert json.loads(encode_index([]).raw) == INDEX


def test_the_kind_of_a_media_type_is_an_index_a_manifest_or_neither():
    kinds = {
        text: (mt.is_index(text), mt.is_manifest(text)) for text in (mt.OCI_INDEX, mt.DOCKER_MANIFEST, mt.OCI_CONFIG)
    }
    assert kinds == {mt.OCI_INDEX: (True, False), mt.DOCKER_MANIFEST: (False, True), mt.OCI_CONFIG: (False, False)}
