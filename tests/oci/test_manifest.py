"""Manifests: a body that could be read in two ways is refused (GHSA-77vh-xpmg-72qh)."""

import json

import pytest

from bakery.errors import BadDocument, InvalidContent
from bakery.oci import canonical, manifest
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.platform import Platform

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
    "nested to death": (b"[" * 100_000, ""),
    "a list": (b"[]", ""),
    "too large": (raw(INDEX) + b" " * canonical.MAX_MANIFEST_BYTES, ""),
    "size is text": (raw(IMAGE | {"config": CONFIG | {"size": "2"}}), ""),
    "size is true": (raw(IMAGE | {"config": CONFIG | {"size": True}}), ""),
    "size is negative": (raw(IMAGE | {"config": CONFIG | {"size": -1}}), ""),
    "size is 1e18": (b'{"schemaVersion":2,"config":{"digest":"sha256:x","size":1e18},"layers":[]}', ""),
    "size is 1.5": (raw(IMAGE | {"config": CONFIG | {"size": 1.5}}), ""),
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


def test_platforms_compare_in_their_normal_form():
    same = [
        ("linux/aarch64", "linux/arm64"),
        ("Linux/x86_64", "linux/amd64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/armhf", "linux/arm/v7"),
    ]
    for left, right in same:
        assert Platform.parse(left).normalised() == Platform.parse(right).normalised()
    assert Platform.parse("linux/arm/v6").normalised() != Platform.parse("linux/arm/v7").normalised()
    for bad in ("linux", "linux/", "a/b/c/d", ""):
        with pytest.raises(BadDocument):
            Platform.parse(bad)
