"""Attacks on content, over real sockets. The numbers are the rows of registry.md 7."""

from __future__ import annotations

import base64
import contextlib
import json
import resource
from typing import Any

import pytest
from msgspec.structs import replace

from bakery.errors import (
    BadDigest,
    BadDocument,
    BakeryError,
    ConnectionFailed,
    DigestMismatch,
    InvalidContent,
    RegistryError,
)
from bakery.oci import manifest as manifests
from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import parse_reference
from bakery.registry.ranges import BadRange
from tests.wire.attacks import (
    BLOB,
    CONTENT,
    LAYER,
    ONCE,
    UPLOADS,
    challenge,
    read,
)
from tests.wire.making import body_of, expect_proof, image, make_client, repository
from tests.wire.script import Response, ScriptedServer

# Row 12

POINTER = {"mediaType": mt.OCI_CONFIG, "digest": str(Digest.of(b"{}")), "size": 2}
AMBIGUOUS = {
    "index and image": {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": [], "config": POINTER},
    "image and index": {"schemaVersion": 2, "mediaType": mt.OCI_MANIFEST, "manifests": [], "layers": []},
    "index with layers": {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": [], "layers": []},
    "index with schema 1 layers": {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": [], "fsLayers": []},
}  # fmt: skip


@pytest.mark.parametrize("document", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_12_a_document_that_can_be_read_in_two_ways_is_refused(document: dict[str, Any]):
    async with ScriptedServer() as a, make_client() as client:
        content_type = {"Content-Type": document["mediaType"]}
        a.expect("GET", "/v2/acme/app/manifests/v1", Response(200, content_type, json.dumps(document).encode()))
        with pytest.raises(BadDocument):
            await client.manifests.get(repository(a).with_tag("v1"))


async def test_12_a_content_type_that_flips_on_the_same_bytes_is_refused():
    raw = json.dumps({"schemaVersion": 2, "config": POINTER, "layers": []}).encode()
    reference_digest = Digest.of(raw)
    async with ScriptedServer() as a, make_client() as client:
        target = f"/v2/acme/app/manifests/{reference_digest}"
        a.expect("GET", target, Response(200, {"Content-Type": mt.OCI_MANIFEST}, raw))
        a.expect("GET", target, Response(200, {"Content-Type": mt.OCI_INDEX}, raw))
        a.expect("GET", target, Response(200, {"Content-Type": mt.DOCKER_MANIFEST}, raw))
        reference = repository(a).with_digest(reference_digest)
        found = (await client.manifests.get(reference)).descriptor
        with pytest.raises(BadDocument):
            await client.manifests.get(reference)
        with pytest.raises(DigestMismatch):
            await client.manifests.get(reference, expected=found)


async def test_12_duplicate_keys_are_refused():
    raw = b'{"schemaVersion":2,"mediaType":"%s","mediaType":"%s","config":{},"layers":[]}' % (
        mt.OCI_MANIFEST.encode(),
        mt.OCI_INDEX.encode(),
    )
    async with ScriptedServer() as a, make_client() as client:
        a.expect("GET", "/v2/acme/app/manifests/v1", Response(200, body=raw))
        with pytest.raises(BadDocument, match="twice"):
            await client.manifests.get(repository(a).with_tag("v1"))


# Row 13

BAD_DIGESTS = [
    "sha256:../../v2/x/blobs/y",
    "sha256:ABC",
    "sha256:" + "A" * 64,
    "sha256:" + "a" * 63,
    "sha512:" + "a" * 64,
    "md5:" + "a" * 32,
    "sha256:" + "a" * 64 + "\n",
    "__class__:x",
]


@pytest.mark.parametrize("text", BAD_DIGESTS)
async def test_13_a_digest_is_validated_before_it_is_used(text: str):
    document = {"schemaVersion": 2, "config": POINTER, "layers": [{"mediaType": "x", "digest": text, "size": 1}]}
    async with ScriptedServer() as a, make_client() as client:
        with pytest.raises(BadDigest):
            parse_reference(f"{a.host}/acme/app@{text}")
        a.expect("GET", "/v2/acme/app/manifests/v1", Response(200, body=json.dumps(document).encode()))
        with pytest.raises(BadDigest):
            await client.manifests.get(repository(a).with_tag("v1"))
        # Headers deserve no more trust than bodies.
        a.expect("HEAD", "/v2/acme/app/manifests/v1", Response(200, {"Docker-Content-Digest": text.strip()}))
        a.expect("GET", "/v2/acme/app/manifests/v1", 404)
        assert await client.manifests.head(repository(a).with_tag("v1")) is None


# Row 14


async def test_14_an_endless_response_is_bounded_everywhere_and_memory_stays_small():
    endless = Response(200, {"Content-Type": mt.OCI_MANIFEST}, bytes(1 << 20), endless=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with ScriptedServer() as a, make_client(policy=ONCE) as client:
        a.expect("GET", "/v2/acme/app/manifests/v1", endless)
        with pytest.raises(InvalidContent, match="longer than the 4194304 bytes"):
            await client.manifests.get(repository(a).with_tag("v1"))
        a.expect("GET", "/v2/acme/app/tags/list?n=1000", endless)
        with pytest.raises(InvalidContent, match="bytes allowed"):
            await client.listings.tags(repository(a))
        a.expect("GET", BLOB, endless)
        with pytest.raises(DigestMismatch):
            await read(client, repository(a))
        a.expect("GET", "/v2/acme/app/manifests/v2", Response(500, body=bytes(1 << 20), endless=True))
        with pytest.raises(BakeryError, match="500"):
            await client.manifests.get(repository(a).with_tag("v2"))
        a.expect("HEAD", BLOB, challenge(f"{a.origin}/token"))
        a.expect("GET", r"/token\?.*", Response(200, body=bytes(1 << 20), endless=True), regex=True)
        with pytest.raises(InvalidContent, match="longer than the 131072 bytes"):
            await client.blobs(repository(a)).has(LAYER)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB


# Row 15


@pytest.mark.parametrize("size", ["-1", "1.5", "true", '"10"', "null", "9223372036854775808", "1e3"])
async def test_15_a_size_is_a_whole_number_or_the_manifest_is_refused(size: str):
    layer = f'{{"mediaType":"x","digest":"{LAYER.digest}","size":{size}}}'
    raw = f'{{"schemaVersion":2,"config":{json.dumps(POINTER)},"layers":[{layer}]}}'.encode()
    async with ScriptedServer() as a, make_client() as client:
        a.expect("GET", "/v2/acme/app/manifests/v1", Response(200, body=raw))
        with pytest.raises(BadDocument):
            await client.manifests.get(repository(a).with_tag("v1"))


async def test_15_nothing_is_allocated_by_a_size_that_a_descriptor_claims():
    huge = replace(LAYER, size=10**18)
    async with ScriptedServer() as a, make_client() as client:
        a.expect("GET", BLOB, Response(200, body=CONTENT))
        a.expect("GET", BLOB, Response(200, body=CONTENT, length="none"))
        with pytest.raises(DigestMismatch):
            await read(client, repository(a), huge)
        async with make_client(policy=ONCE) as impatient:
            with pytest.raises(BakeryError):
                await read(impatient, repository(a), huge)


# Row 16

WRONG_BYTES = {
    "right size, wrong bytes": Response(200, body=CONTENT[:-1] + b"X"),
    "one byte more, with its length": Response(200, body=CONTENT + b"X"),
    "one byte more, without a length": Response(200, body=b"X" + CONTENT, length="none"),
    "one byte less, with its length": Response(200, body=CONTENT[:-1]),
    "one byte less, without a length": Response(200, body=CONTENT[:-1], length="none"),
    "closed early": Response(200, body=CONTENT, cut=len(CONTENT) - 1),
}


@pytest.mark.parametrize("answer", WRONG_BYTES.values(), ids=WRONG_BYTES)
async def test_16_wrong_content_is_detected_before_its_last_bytes_are_passed_on(answer: Response):
    received = bytearray()

    async def take() -> None:
        async with contextlib.aclosing(client.blobs(repository(a)).read(LAYER)) as chunks:
            async for chunk in chunks:
                received.extend(chunk)

    async with ScriptedServer() as a, make_client(policy=ONCE) as client:
        a.expect("GET", BLOB, answer)
        with pytest.raises((DigestMismatch, ConnectionFailed)):
            await take()
    assert len(received) < LAYER.size


# Row 17

REST = LAYER.size - 1
WRONG_PARTS = {
    "another first byte": [("Content-Range", f"bytes 7-{REST}/{LAYER.size}")],
    "another last byte": [("Content-Range", f"bytes 4000-{REST - 1}/{LAYER.size}")],
    "another total": [("Content-Range", f"bytes 4000-{REST}/{LAYER.size + 1}")],
    "none": [],
    "two of them": [("Content-Range", f"bytes 4000-{REST}/{LAYER.size}")] * 2,
    "nonsense": [("Content-Range", "bytes */*")],
}


@pytest.mark.parametrize("headers", WRONG_PARTS.values(), ids=WRONG_PARTS)
async def test_17_no_byte_of_a_range_that_was_not_requested_is_used(headers: list[tuple[str, str]]):
    async with ScriptedServer() as a, make_client() as client:
        a.expect("GET", BLOB, Response(200, body=CONTENT, cut=4000))
        a.expect("GET", BLOB, Response(206, headers, CONTENT[4000:]))
        a.expect("GET", BLOB, Response(200, body=CONTENT))
        assert await read(client, repository(a)) == CONTENT
        assert a.received[-1].header("Range") is None


@pytest.mark.parametrize("headers", WRONG_PARTS.values(), ids=WRONG_PARTS)
async def test_17_a_range_in_place_of_the_whole_is_refused(headers: list[tuple[str, str]]):
    async with ScriptedServer() as a, make_client() as client:
        a.expect("GET", BLOB, Response(206, headers, CONTENT[4000:]))
        with pytest.raises(BadRange):
            await read(client, repository(a))


async def test_17_a_200_on_resumption_is_read_from_its_start():
    async with ScriptedServer() as a, make_client() as client:
        a.expect("GET", BLOB, Response(200, body=CONTENT, cut=4000))
        a.expect("GET", BLOB, Response(200, body=CONTENT))
        assert await read(client, repository(a)) == CONTENT


async def test_17_a_416_with_a_false_length_neither_hangs_nor_counts_as_the_end():
    async with ScriptedServer() as a, make_client() as client:
        a.expect("GET", BLOB, Response(200, body=CONTENT, cut=4000))
        a.expect("GET", BLOB, Response(416, body=b"range not satisfiable", length=LAYER.size))
        a.expect("GET", BLOB, Response(200, body=CONTENT))
        assert await read(client, repository(a)) == CONTENT


# Row 25


async def test_25_a_mount_that_claims_success_without_the_blob_is_detected():
    async with ScriptedServer() as a, make_client() as client:
        a.expect("POST", f"{UPLOADS}?mount={LAYER.digest}&from=acme/base", Response(201, {"Location": "/somewhere"}))
        expect_proof(a, source="acme/base")
        a.expect("HEAD", BLOB, 404)
        assert not await client.blobs(repository(a)).mount(LAYER, client.blobs(repository(a, "acme/base")))


# Row 26


async def test_26_a_web_page_that_responds_200_to_everything_is_not_a_registry():
    page = Response(200, {"Content-Type": "text/html"}, b"<html>hello</html>")
    descriptor, raw = image(b"a")
    async with ScriptedServer() as a, make_client(policy=ONCE) as client:
        for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
            a.expect(method, ".*", page, times=None, regex=True)
        where = repository(a)
        assert not await client.blobs(where).has(LAYER)
        with pytest.raises(BakeryError):
            await read(client, where)
        with pytest.raises(RegistryError):
            await client.blobs(where).write(LAYER, body_of(CONTENT))
        with pytest.raises(BakeryError):
            await client.manifests.get(where.with_tag("v1"))
        with pytest.raises(BakeryError):
            await client.manifests.head(where.with_tag("v1"))
        with pytest.raises(BakeryError):
            await client.manifests.put(where.with_digest(descriptor.digest), RawManifest(descriptor, raw))
        with pytest.raises(BakeryError):
            await client.manifests.put(where.with_tag("v1"), RawManifest(descriptor, raw))
        with pytest.raises(BakeryError):
            await client.listings.tags(where)
        with pytest.raises(BakeryError):
            await client.manifests.referrers(where.with_digest(descriptor.digest))
        with pytest.raises(BakeryError):
            await client.manifests.await_tag(where.with_tag("v1"), descriptor.digest, previous=None)
        assert not await client.blobs(where).mount(LAYER, client.blobs(repository(a, "acme/base")))


async def test_26_an_upload_with_status_200_counts_only_if_the_blob_is_found():
    async with ScriptedServer() as a, make_client() as client:
        a.expect("POST", UPLOADS, Response(202, {"Location": "/u"}), times=2)
        a.expect("PUT", f"/u?digest={LAYER.digest}", 200, times=2)
        a.expect("HEAD", BLOB, Response(200, {"Docker-Content-Digest": str(LAYER.digest)}))
        await client.blobs(repository(a)).write(LAYER, body_of(CONTENT))
        a.expect("HEAD", BLOB, 404)
        with pytest.raises(RegistryError, match="not there"):
            await client.blobs(repository(a)).write(LAYER, body_of(CONTENT))


# Row 30


async def test_30_inline_data_with_another_digest_is_not_used():
    entry = {"mediaType": LAYER.media_type, "digest": str(LAYER.digest), "size": LAYER.size}
    lying = entry | {"data": base64.b64encode(b"x" * LAYER.size).decode()}
    raw = json.dumps({"schemaVersion": 2, "config": POINTER, "layers": [lying]}).encode()
    async with ScriptedServer() as a, make_client() as client:
        a.expect("GET", "/v2/acme/app/manifests/v1", Response(200, {"Content-Type": mt.OCI_MANIFEST}, raw))
        a.expect("GET", BLOB, Response(200, body=CONTENT))
        received = (await client.manifests.get(repository(a).with_tag("v1"))).raw
        view = manifests.parse(received)
        assert isinstance(view, manifests.Manifest)
        assert await read(client, repository(a), view.layers[0]) == CONTENT


async def test_30_inline_data_is_checked_when_it_is_read():
    lying = replace(LAYER, data=b"x" * LAYER.size)
    async with ScriptedServer() as a, make_client() as client:
        with pytest.raises(DigestMismatch):
            await read(client, repository(a), lying)
