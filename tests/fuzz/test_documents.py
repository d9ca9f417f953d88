"""Names and documents: references, digests, platforms, manifests, indexes, and what a clean-up reads of them."""

from __future__ import annotations

import json
from functools import partial

from hypothesis import example, given

from bakery.clean.github import item_of
from bakery.clean.items import Item, read_content
from bakery.errors import BakeryError
from bakery.oci import manifest as views
from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.oci.manifest import RawManifest
from bakery.oci.platform import Platform
from bakery.oci.reference import Repository, parse_reference, repository_in
from tests.clean.making import image_of, index_of
from tests.fuzz.mutating import DIGEST, json_bytes, mutated, mutated_json, value_or_error

REFERENCES = (
    f"ghcr.io/acme/app:1.2.3@{DIGEST}",
    "alpine",
    "localhost:5000/a/b:latest",
    "[::1]:443/x/y",
    "docker.io/library/x:_1",
)
IMAGE = image_of("one")[0]
MANIFESTS = (
    json.loads(IMAGE),
    json.loads(index_of([IMAGE], annotations={"com.amazon.soci.index-digest": DIGEST})),
    {"schemaVersion": 2, "mediaType": mt.OCI_MANIFEST, "artifactType": "a/b", "subject": json.loads(IMAGE)["config"]},
    {"schemaVersion": 1, "fsLayers": []},
)


@given(text=mutated(REFERENCES, ": @ / .. // : sha256: sha512: blake2b: [ ] localhost A _ -"))
@example(text="a/../b")
@example(text="a%2fb")
@example(text='a:b"\r\nX: y')
@example(text=":" * 300)
@example(text="registry.example:99999999999999999999/a:1")
def test_a_reference_is_one_that_prints_as_itself_or_an_error(text):
    found = value_or_error(lambda: parse_reference(text))
    if not isinstance(found, BakeryError):
        assert parse_reference(str(found)) == found
        assert str(found).isprintable()
    repository = value_or_error(lambda: repository_in(text))
    if isinstance(repository, Repository):
        assert Repository.parse(str(repository)) == repository
    value_or_error(lambda: Digest.parse(text))
    value_or_error(lambda: Platform.parse(text))


VERSIONS = (
    {
        "id": 5,
        "name": DIGEST,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "metadata": {"package_type": "container", "container": {"tags": ["1.0"]}},
    },
)


@given(version=mutated_json(VERSIONS))
@example(version={"name": DIGEST, "metadata": {"container": {"tags": [None, 5]}}, "updated_at": "9999-99-99"})
@example(version={"name": DIGEST, "id": True, "created_at": "0001-01-01T00:00:00+23:59"})
def test_a_version_of_a_package_at_github(version):
    if isinstance(version, dict):
        item = value_or_error(lambda: item_of(version))
        assert item is None or isinstance(item, Item | BakeryError)


@given(raw=json_bytes(MANIFESTS))
@example(raw=b'{"schemaVersion":2,"manifests":[],"config":{}}')
@example(raw=b'{"schemaVersion":2,"schemaVersion":2,"manifests":[]}')
@example(raw=b'{"schemaVersion":2,"manifests":[{"digest":"' + DIGEST.encode() + b'","size":true}]}')
@example(raw=b'{"schemaVersion":2,"manifests":' + b"[" * 5000 + b"]" * 5000 + b"}")
@example(raw=b'{"schemaVersion":2,"manifests":[],"annotations":{"a":"\\ud800"}}')
@example(raw=b'{"schemaVersion":1e400,"manifests":[]}')
def test_a_manifest_is_a_view_of_its_bytes_or_an_error(raw):
    view = value_or_error(lambda: views.parse(raw))
    if isinstance(view, BakeryError):
        return
    assert isinstance(view.document, dict)
    content = read_content(RawManifest.of(raw, view.media_type))
    if isinstance(view, views.Index):
        assert len(content.children) + len(content.blobs) == len(view.manifests)
    for media_type in mt.ALL_MANIFESTS:
        value_or_error(partial(views.parse, raw, media_type=media_type))
