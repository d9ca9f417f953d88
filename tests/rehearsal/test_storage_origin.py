"""Blobs that are served by a storage on another origin, as by most hosted registries."""

from __future__ import annotations

import aiohttp
import pytest

from bakery.oci.digest import Digest
from bakery.rehearsal import Access, EmbeddedRegistry, Redirects, Traits
from tests.rehearsal.content import LAYER, REPO, Http
from tests.rehearsal.test_tokens import LOGIN, USERS, token

REDIRECTING = Traits(redirects=Redirects.DOWNLOADS)
DIGEST = Digest.of(LAYER)
BLOB = f"/v2/{REPO}/blobs/{DIGEST}"


async def test_a_download_is_redirected_to_an_origin_that_serves_it(session):
    async with EmbeddedRegistry(traits=REDIRECTING) as registry:
        http = Http(session, registry)
        registry.put_blob(REPO, LAYER)
        assert (await http("HEAD", BLOB)).status == 200
        sent = await http("GET", BLOB)
        assert (sent.status, sent.body) == (307, b"")
        location = sent.headers["Location"]
        assert not location.startswith(registry.url)
        assert (await http("GET", location)).body == LAYER
        part = await http("GET", location, Range="bytes=5-9")
        assert (part.status, part.body) == (206, LAYER[5:10])
        assert (registry.count("GET", "blob"), registry.count("GET", "storage")) == (1, 2)


async def test_the_storage_refuses_credentials_and_unsigned_urls(session):
    async with EmbeddedRegistry(traits=REDIRECTING, access=Access(users=USERS)) as registry:
        http = Http(session, registry)
        registry.put_blob(REPO, LAYER)
        bearer = await token(http, f"repository:{REPO}:pull")
        location = (await http("GET", BLOB, Authorization=bearer)).headers["Location"]
        assert (await http("GET", location)).status == 200
        for credentials in (bearer, LOGIN):
            assert (await http("GET", location, Authorization=credentials)).status == 400
        assert (await http("GET", location.partition("?")[0])).status == 403
        assert (await http("GET", location.replace(str(DIGEST), str(Digest.of(b"else"))))).status == 403
        assert (await http("GET", location.partition("/storage")[0] + BLOB)).status == 404


async def test_a_missing_blob_is_reported_by_the_registry_itself(session):
    async with EmbeddedRegistry(traits=REDIRECTING) as registry:
        assert (await Http(session, registry)("GET", BLOB)).codes == ["BLOB_UNKNOWN"]


async def test_a_body_from_the_storage_can_be_cut(session):
    async with EmbeddedRegistry(traits=REDIRECTING) as registry:
        http = Http(session, registry)
        registry.put_blob(REPO, LAYER)
        registry.fault("GET", "/storage/", then="cut the body", times=1)
        location = (await http("GET", BLOB)).headers["Location"]
        with pytest.raises(aiohttp.ClientPayloadError):
            await http("GET", location)


async def test_a_write_that_sends_the_session_cookie_back_is_refused(session):
    async with EmbeddedRegistry(traits=Traits(csrf_checks=True)) as registry:
        http = Http(session, registry)
        cookie = (await http("GET", "/v2/")).headers["Set-Cookie"].partition(";")[0]
        response = await http("POST", f"/v2/{REPO}/blobs/uploads/", Cookie=cookie)
        assert (response.status, response.json["errors"][0]["message"]) == (403, "CSRF token invalid")
