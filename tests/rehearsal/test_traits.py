"""Legal choices of a registry: how blobs are uploaded, what is redirected, which optional APIs exist."""

from __future__ import annotations

from urllib.parse import urljoin

import pytest

from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.rehearsal import Access, EmbeddedRegistry, Redirects, Traits, UploadWay
from tests.rehearsal.content import LAYER, REPO, Http, finish, index
from tests.rehearsal.test_tokens import LOGIN, USERS, token

DIGEST = Digest.of(LAYER)
UPLOADS = f"/v2/{REPO}/blobs/uploads/"


async def test_a_registry_can_require_chunks(session):
    async with EmbeddedRegistry(traits=Traits(upload_way=UploadWay.CHUNKED)) as registry:
        http = Http(session, registry)
        location = (await http("POST", UPLOADS)).headers["Location"]
        assert (await http("PUT", finish(location, DIGEST), LAYER)).codes == ["UNSUPPORTED"]
        assert (await http("PATCH", location, LAYER)).status == 202
        assert (await http("PUT", finish(location, DIGEST), b"")).status == 201


async def test_an_empty_blob_needs_no_chunk(session):
    async with EmbeddedRegistry(traits=Traits(upload_way=UploadWay.CHUNKED)) as registry:
        http = Http(session, registry)
        location = (await http("POST", UPLOADS)).headers["Location"]
        assert (await http("PUT", finish(location, Digest.of(b"")), b"")).status == 201


async def test_a_registry_can_refuse_chunks(session):
    async with EmbeddedRegistry(traits=Traits(upload_way=UploadWay.MONOLITHIC)) as registry:
        http = Http(session, registry)
        location = (await http("POST", UPLOADS)).headers["Location"]
        assert (await http("PATCH", location, LAYER)).codes == ["UNSUPPORTED"]
        assert (await http("PUT", finish(location, DIGEST), LAYER)).status == 201


@pytest.mark.parametrize("redirects", [Redirects.SAME_ORIGIN, Redirects.OTHER_ORIGIN])
async def test_every_request_to_a_repository_can_be_redirected(session, redirects):
    async with EmbeddedRegistry(traits=Traits(redirects=redirects, redirect_status=308, max_page=1)) as registry:
        http = Http(session, registry)

        async def target_of(method: str, path: str, body: bytes | None = None, **headers: str) -> str:
            redirect = await http(method, path, body, **headers)
            assert redirect.status == 308
            target = redirect.headers["Location"]
            assert target.startswith(registry.url) is (redirects is Redirects.SAME_ORIGIN)
            return str(target)

        assert (await http("GET", "/v2/")).status == 200
        target = await target_of("POST", UPLOADS)
        location = urljoin(target, (await http("POST", target)).headers["Location"])
        assert (await http("PATCH", location, LAYER)).status == 202
        assert (await http("PUT", finish(location, DIGEST), b"")).status == 201
        assert registry.blob(REPO, DIGEST) == LAYER
        for tag in ("1", "2"):
            path = f"/v2/{REPO}/manifests/{tag}"
            target = await target_of("PUT", path, index(), Content_Type=mt.OCI_INDEX)
            assert (await http("PUT", target, index(), Content_Type=mt.OCI_INDEX)).status == 201
        found = await http("HEAD", await target_of("HEAD", path))
        assert found.headers["Docker-Content-Digest"] == str(Digest.of(index()))
        target = await target_of("GET", f"/v2/{REPO}/tags/list")
        link = (await http("GET", target)).headers["Link"].partition(">")[0].lstrip("<")
        assert (await http("GET", urljoin(target, link))).json["tags"] == ["2"]


async def test_only_another_origin_refuses_authorization(session):
    for redirects, status in ((Redirects.SAME_ORIGIN, 200), (Redirects.OTHER_ORIGIN, 400)):
        async with EmbeddedRegistry(traits=Traits(redirects=redirects), access=Access(users=USERS)) as registry:
            http, path = Http(session, registry), f"/v2/{REPO}/manifests/1"
            registry.put_manifest(REPO, index(), "1")
            assert (await http("GET", path)).status == 401
            bearer = await token(http, f"repository:{REPO}:pull")
            target = (await http("GET", path, Authorization=bearer)).headers["Location"]
            assert (await http("GET", target)).status == 200
            for credentials in (bearer, LOGIN):
                assert (await http("GET", target, Authorization=credentials)).status == status
            assert (await http("GET", target.partition("?")[0])).status == 403


async def test_a_registry_can_lack_head_ranges_digest_headers_and_tag_lists(session):
    traits = Traits(head=False, ranges=False, digest_headers=False, tag_list=False)
    async with EmbeddedRegistry(traits=traits) as registry:
        http, blob = Http(session, registry), f"/v2/{REPO}/blobs/{DIGEST}"
        registry.put_blob(REPO, LAYER)
        registry.put_manifest(REPO, index(), "1")
        for path in (blob, f"/v2/{REPO}/manifests/1"):
            assert (await http("HEAD", path)).status == 405
            assert "Docker-Content-Digest" not in (await http("GET", path)).headers
        assert (await http("GET", blob, Range="bytes=1-2")).body == LAYER
        assert (await http("GET", f"/v2/{REPO}/tags/list")).status == 405


async def test_a_registry_can_close_every_connection(session):
    async with EmbeddedRegistry(traits=Traits(keep_alive=False)) as registry:
        response = await Http(session, registry)("GET", "/v2/")
        assert (response.status, response.headers["Connection"]) == (200, "close")


async def test_content_can_be_stored_under_sha512(registry):
    blob = registry.put_blob(REPO, LAYER, algorithm="sha512")
    manifest = registry.put_manifest(REPO, index(), algorithm="sha512")
    assert (blob, manifest) == (Digest.of(LAYER, "sha512"), Digest.of(index(), "sha512"))
    assert registry.blob(REPO, blob) == LAYER
