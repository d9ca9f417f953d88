"""The distribution API over real sockets. The conformance suite checks it too, but does not run every time."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import pytest

from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.rehearsal import EmbeddedRegistry, Immutable, Traits
from tests.rehearsal.content import CONFIG, LAYER, REPO, Http, descriptor, finish, image, index

NOWHERE = Digest.of(b"never pushed")


async def test_the_base_endpoint_states_the_api_version(http):
    response = await http("GET", "/v2/")
    assert (response.status, response.headers["Docker-Distribution-Api-Version"]) == (200, "registry/2.0")


async def test_pushed_content_is_read_back_byte_for_byte(http, registry):
    digest = await http.push_image("1.0")
    for reference in ("1.0", str(digest)):
        response = await http("GET", f"/v2/{REPO}/manifests/{reference}")
        assert (response.status, response.body) == (200, image())
        assert response.headers["Content-Type"] == mt.OCI_MANIFEST
        assert response.headers["Docker-Content-Digest"] == str(digest)
    blob = await http("GET", f"/v2/{REPO}/blobs/{Digest.of(LAYER)}")
    assert (blob.status, blob.body) == (200, LAYER)
    assert registry.tags(REPO) == {"1.0": digest}
    assert registry.manifest(REPO, "1.0") == (mt.OCI_MANIFEST, image())
    assert registry.blob(REPO, Digest.of(LAYER)) == LAYER


async def test_head_states_the_size_without_a_body(http):
    await http.push_image("1.0")
    for path in ("manifests/1.0", f"blobs/{Digest.of(LAYER)}"):
        response = await http("HEAD", f"/v2/{REPO}/{path}")
        assert response.status == 200
        assert int(response.headers["Content-Length"]) > 0
        assert response.body == b""


async def test_a_blob_is_uploaded_in_chunks_and_only_in_order(http, registry):
    half, digest = len(LAYER) // 2, Digest.of(LAYER)
    started = await http("POST", f"/v2/{REPO}/blobs/uploads/")
    location = started.headers["Location"]
    wrong = await http("PATCH", location, LAYER[half:], Content_Range=f"{half}-{len(LAYER) - 1}")
    assert wrong.status == 416
    assert wrong.headers["Location"] == location
    first = await http("PATCH", location, LAYER[:half], Content_Range=f"0-{half - 1}")
    assert (first.status, first.headers["Range"]) == (202, f"0-{half - 1}")
    status = await http("GET", location)
    assert (status.status, status.headers["Range"]) == (204, f"0-{half - 1}")
    last = await http("PUT", finish(location, digest), LAYER[half:], Content_Range=f"{half}-{len(LAYER) - 1}")
    assert last.status == 201
    assert registry.blob(REPO, digest) == LAYER


async def test_a_chunk_whose_length_contradicts_its_range_is_refused(http):
    location = (await http("POST", f"/v2/{REPO}/blobs/uploads/")).headers["Location"]
    assert (await http("PATCH", location, LAYER, Content_Range="0-3")).codes == ["SIZE_INVALID"]


async def test_a_single_post_with_a_digest_is_a_complete_upload(http, registry):
    response = await http("POST", f"/v2/{REPO}/blobs/uploads/?digest={Digest.of(LAYER)}", LAYER)
    assert response.status == 201
    assert registry.bodies_received(Digest.of(LAYER)) == 1


@pytest.mark.parametrize("content", [b"", b"{}", LAYER], ids=["empty", "tiny", "layer"])
@pytest.mark.parametrize("stated_at_the_start", [True, False])
async def test_blobs_and_manifests_can_have_sha512_digests(http, registry, content, stated_at_the_start):
    digest = Digest.of(content, "sha512")
    query = "?digest-algorithm=sha512" if stated_at_the_start else ""
    started = await http("POST", f"/v2/{REPO}/blobs/uploads/{query}")
    assert (await http("PUT", finish(started.headers["Location"], digest), content)).status == 201
    assert registry.blob(REPO, digest) == content
    raw = index(annotations={"of": str(len(content))})
    name = Digest.of(raw, "sha512")
    response = await http("PUT", f"/v2/{REPO}/manifests/{name}", raw, Content_Type=mt.OCI_INDEX)
    assert (response.status, response.headers["Docker-Content-Digest"]) == (201, str(name))


async def test_content_is_never_stored_under_a_wrong_digest(http, registry):
    started = await http("POST", f"/v2/{REPO}/blobs/uploads/")
    response = await http("PUT", finish(started.headers["Location"], NOWHERE), LAYER)
    assert (response.status, response.codes) == (400, ["DIGEST_INVALID"])
    assert (await http("GET", f"/v2/{REPO}/blobs/{NOWHERE}")).codes == ["BLOB_UNKNOWN"]
    response = await http("PUT", f"/v2/{REPO}/manifests/{NOWHERE}", index(), Content_Type=mt.OCI_INDEX)
    assert (response.status, response.codes) == (400, ["DIGEST_INVALID"])
    assert registry.repositories() == []


async def test_a_cancelled_upload_is_unknown(http):
    location = (await http("POST", f"/v2/{REPO}/blobs/uploads/")).headers["Location"]
    assert (await http("DELETE", location)).status == 204
    assert (await http("PATCH", location, b"x")).codes == ["BLOB_UPLOAD_UNKNOWN"]


async def test_a_mount_makes_a_blob_of_another_repository_readable(http, registry):
    digest = await http.push_blob(LAYER, "acme/base")
    response = await http("POST", f"/v2/{REPO}/blobs/uploads/?mount={digest}&from=acme/base")
    assert response.status == 201
    assert registry.blob(REPO, digest) == LAYER
    assert registry.bodies_received(digest) == 1


async def test_a_mount_of_a_missing_blob_starts_an_upload(http):
    response = await http("POST", f"/v2/{REPO}/blobs/uploads/?mount={NOWHERE}&from=acme/base")
    assert response.status == 202
    assert (await http("PUT", finish(response.headers["Location"], Digest.of(LAYER)), LAYER)).status == 201


RANGES = {  # header: (status, content, Content-Range)
    "bytes=2-4": (206, LAYER[2:5], f"bytes 2-4/{len(LAYER)}"),
    "bytes=5-": (206, LAYER[5:], f"bytes 5-{len(LAYER) - 1}/{len(LAYER)}"),
    "bytes=-3": (206, LAYER[-3:], f"bytes {len(LAYER) - 3}-{len(LAYER) - 1}/{len(LAYER)}"),
    "bytes=0-999999": (206, LAYER, f"bytes 0-{len(LAYER) - 1}/{len(LAYER)}"),
    "bytes=0-1,4-5": (200, LAYER, None),
    "lines=1-2": (200, LAYER, None),
    "bytes=-": (200, LAYER, None),
}


@pytest.mark.parametrize("header", RANGES)
async def test_a_request_for_one_range_gets_that_part_of_the_blob(http, header):
    status, content, content_range = RANGES[header]
    digest = await http.push_blob(LAYER)
    response = await http("GET", f"/v2/{REPO}/blobs/{digest}", Range=header)
    assert (response.status, response.body, response.headers.get("Content-Range")) == (status, content, content_range)


@pytest.mark.parametrize("header", [f"bytes={len(LAYER)}-", "bytes=-0", "bytes=4-2"])
async def test_a_range_without_any_byte_gets_416_with_the_size_of_the_blob(http, header):
    digest = await http.push_blob(LAYER)
    response = await http("GET", f"/v2/{REPO}/blobs/{digest}", Range=header)
    assert (response.status, response.headers["Content-Range"]) == (416, f"bytes */{len(LAYER)}")
    assert int(response.headers["Content-Length"]) == len(response.body)


async def test_tags_are_listed_sorted_and_in_pages(http):
    await http.push_image("b", "a", "C", "d")
    path, seen = f"/v2/{REPO}/tags/list?n=3", []
    while path:
        response = await http("GET", path)
        seen.append(response.json["tags"])
        path = response.headers.get("Link", "").partition(">")[0].lstrip("<")
    assert seen == [["C", "a", "b"], ["d"]]
    assert (await http("GET", "/v2/acme/none/tags/list")).codes == ["NAME_UNKNOWN"]


async def test_a_manifest_is_refused_while_its_blobs_or_children_are_missing(http):
    await http.push_blob(CONFIG)
    response = await http("PUT", f"/v2/{REPO}/manifests/1.0", image(), Content_Type=mt.OCI_MANIFEST)
    assert (response.status, response.codes) == (400, ["MANIFEST_BLOB_UNKNOWN"])
    assert response.json["errors"][0]["detail"] == {"digest": str(Digest.of(LAYER))}
    response = await http("PUT", f"/v2/{REPO}/manifests/1.0", index(image()), Content_Type=mt.OCI_INDEX)
    assert response.codes == ["MANIFEST_BLOB_UNKNOWN"]


async def test_a_nondistributable_layer_may_be_missing(http):
    await http.push_blob(CONFIG)
    foreign = descriptor(b"foreign", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")
    raw = image(layers=[foreign])
    assert (await http("PUT", f"/v2/{REPO}/manifests/1", raw, Content_Type=mt.OCI_MANIFEST)).status == 201


BAD_MANIFESTS = {
    "not JSON": b"{",
    "not an object": b"[]",
    "an index and an image": index(layers=[]),
    "a duplicate key": b'{"schemaVersion":2,"schemaVersion":2,"manifests":[]}',
    "a bad digest": index(manifests=[{"mediaType": mt.OCI_MANIFEST, "digest": "sha256:../..", "size": 1}]),
    "a negative size": index(manifests=[{"mediaType": mt.OCI_MANIFEST, "digest": str(NOWHERE), "size": -1}]),
    "schema 1": b'{"schemaVersion":1,"name":"acme/app","fsLayers":[]}',
}


@pytest.mark.parametrize("raw", BAD_MANIFESTS.values(), ids=BAD_MANIFESTS)
async def test_an_invalid_manifest_is_refused(http, registry, raw):
    response = await http("PUT", f"/v2/{REPO}/manifests/1.0", raw, Content_Type=mt.OCI_INDEX)
    assert (response.status, response.codes) == (400, ["MANIFEST_INVALID"])
    assert registry.tags(REPO) == {}


async def test_a_content_type_that_contradicts_the_body_is_refused(http):
    response = await http("PUT", f"/v2/{REPO}/manifests/1.0", index(), Content_Type=mt.OCI_MANIFEST)
    assert response.codes == ["MANIFEST_INVALID"]


@pytest.mark.parametrize("sized", [True, False], ids=["with a length", "in chunks"])
async def test_a_manifest_larger_than_4_mib_gets_413(http, sized):
    raw = b" " * (4 * 1024 * 1024 + 1)

    async def pieces() -> AsyncIterator[bytes]:
        yield raw

    response = await http(
        "PUT", f"/v2/{REPO}/manifests/1.0", io.BytesIO(raw) if sized else pieces(), Content_Type=mt.OCI_INDEX
    )
    assert response.status == 413


async def test_referrers_are_listed_even_if_the_subject_is_missing(http):
    await http.push_blob(CONFIG)
    await http.push_blob(LAYER)
    subject = {"mediaType": mt.OCI_MANIFEST, "digest": str(NOWHERE), "size": 7}
    for kind in ("application/x.sbom", "application/x.signature"):
        raw = image(subject=subject, artifactType=kind, annotations={"of": kind})
        response = await http("PUT", f"/v2/{REPO}/manifests/{Digest.of(raw)}", raw, Content_Type=mt.OCI_MANIFEST)
        assert response.headers["OCI-Subject"] == str(NOWHERE)
    response = await http("GET", f"/v2/{REPO}/referrers/{NOWHERE}")
    assert response.headers["Content-Type"] == mt.OCI_INDEX
    assert [entry["annotations"]["of"] for entry in response.json["manifests"]] == [
        "application/x.sbom",
        "application/x.signature",
    ]
    response = await http("GET", f"/v2/{REPO}/referrers/{NOWHERE}?artifactType=application/x.sbom")
    assert response.headers["OCI-Filters-Applied"] == "artifactType"
    assert [entry["artifactType"] for entry in response.json["manifests"]] == ["application/x.sbom"]
    first = response.json["manifests"][0]["digest"]
    assert (await http("DELETE", f"/v2/{REPO}/manifests/{first}")).status == 202
    assert len((await http("GET", f"/v2/{REPO}/referrers/{NOWHERE}")).json["manifests"]) == 1


async def test_the_artifact_type_of_an_image_defaults_to_its_config_type(http):
    await http.push_image(subject={"mediaType": mt.OCI_MANIFEST, "digest": str(NOWHERE), "size": 7})
    entries = (await http("GET", f"/v2/{REPO}/referrers/{NOWHERE}")).json["manifests"]
    assert [entry["artifactType"] for entry in entries] == [mt.OCI_CONFIG]


async def test_deleting_a_tag_keeps_the_manifest_and_its_other_tags(http, registry):
    digest = await http.push_image("1.0", "latest")
    assert (await http("DELETE", f"/v2/{REPO}/manifests/1.0")).status == 202
    assert registry.tags(REPO) == {"latest": digest}
    assert (await http("DELETE", f"/v2/{REPO}/manifests/1.0")).status == 404
    assert (await http("DELETE", f"/v2/{REPO}/manifests/{digest}")).status == 202
    assert registry.tags(REPO) == {}
    assert (await http("GET", f"/v2/{REPO}/manifests/{digest}")).codes == ["MANIFEST_UNKNOWN"]


async def test_a_deleted_blob_stays_in_the_other_repositories(http, registry):
    digest = await http.push_blob(LAYER, "acme/base")
    await http("POST", f"/v2/{REPO}/blobs/uploads/?mount={digest}&from=acme/base")
    assert (await http("DELETE", f"/v2/acme/base/blobs/{digest}")).status == 202
    assert (await http("DELETE", f"/v2/acme/base/blobs/{digest}")).status == 404
    assert registry.blob(REPO, digest) == LAYER


async def test_one_push_by_digest_can_set_several_tags(http, registry):
    raw = index()
    path = f"/v2/{REPO}/manifests/{Digest.of(raw)}"
    response = await http("PUT", f"{path}?tag=a&tag=b", raw, Content_Type=mt.OCI_INDEX)
    assert response.status == 201
    assert registry.tags(REPO) == {"a": Digest.of(raw), "b": Digest.of(raw)}
    assert (await http("PUT", f"{path}?tag=-x", raw, Content_Type=mt.OCI_INDEX)).codes == ["TAG_INVALID"]


BAD_PATHS = {
    "/v2/a/../b/tags/list": "NAME_INVALID",
    "/v2/a%2fb/tags/list": "NAME_INVALID",
    "/v2/a//b/tags/list": "NAME_INVALID",
    "/v2/Acme/app/tags/list": "NAME_INVALID",
    "/v2/_blobs/tags/list": "NAME_INVALID",
    "/v2/acme/app/manifests/-x": "MANIFEST_INVALID",
    "/v2/acme/app/manifests/" + "x" * 129: "MANIFEST_INVALID",
    "/v2/acme/app/manifests/sha256:..%2f..%2fx": "DIGEST_INVALID",
    "/v2/acme/app/blobs/sha256:abc": "DIGEST_INVALID",
    "/v2/acme/app/blobs/md5:d41d8cd98f00b204e9800998ecf8427e": "DIGEST_INVALID",
    "/v2/acme/app/blobs/..%2f..%2fetc": "DIGEST_INVALID",
}


@pytest.mark.parametrize("path", BAD_PATHS)
async def test_invalid_names_are_refused_and_never_repaired(http, path):
    response = await http("GET", path)
    assert (response.status, response.codes) == (400, [BAD_PATHS[path]])


async def test_an_unsupported_method_gets_405_with_the_supported_ones(http):
    response = await http("POST", f"/v2/{REPO}/manifests/1.0", b"")
    assert (response.status, response.codes, response.headers["Allow"]) == (
        405,
        ["UNSUPPORTED"],
        "GET, HEAD, PUT, DELETE",
    )
    assert (await http("GET", "/elsewhere")).status == 404


async def test_requests_are_counted_by_method_and_route(http, registry):
    await http.push_image("1.0")
    assert registry.count("PUT", "manifest") == 1
    assert registry.count("PUT") == 3
    assert registry.count(repository=REPO, status=201) == 3
    assert [(entry.method, entry.route, entry.reference) for entry in registry.requests][-1] == (
        "PUT",
        "manifest",
        "1.0",
    )
    registry.forget_requests()
    assert registry.count() == registry.bodies_received(Digest.of(LAYER)) == 0


IMMUTABLE = {  # (trait, the same digest again): status
    (Immutable.NEVER, True): 201,
    (Immutable.NEVER, False): 201,
    (Immutable.MOVES, True): 201,
    (Immutable.MOVES, False): 400,
    (Immutable.PUSHES, True): 400,
    (Immutable.PUSHES, False): 400,
}


@pytest.mark.parametrize(("trait", "same"), IMMUTABLE)
async def test_immutable_tags_refuse_what_the_trait_says(session, trait, same):
    async with EmbeddedRegistry(traits=Traits(immutable=trait)) as registry:
        registry.put_manifest(REPO, index(), "1.0")
        raw = index() if same else index(annotations={"a": "b"})
        response = await Http(session, registry)("PUT", f"/v2/{REPO}/manifests/1.0", raw, Content_Type=mt.OCI_INDEX)
        assert response.status == IMMUTABLE[trait, same]
