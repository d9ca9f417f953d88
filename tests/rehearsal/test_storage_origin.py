"""Blobs that come from a storage of another origin, as those of most hosted registries do."""

from __future__ import annotations

import aiohttp
import pytest

from bakery.oci.digest import Digest
from bakery.rehearsal import Access, EmbeddedRegistry, Traits
from tests.rehearsal.content import LAYER, REPO, Http
from tests.rehearsal.test_tokens import LOGIN, USERS, token

AWAY = Traits(redirects_blobs=True)
DIGEST = Digest.of(LAYER)
BLOB = f"/v2/{REPO}/blobs/{DIGEST}"


async def test_get_of_a_blob_is_sent_to_an_origin_that_gives_it(session):
    async with EmbeddedRegistry(traits=AWAY) as registry:
        http = Http(session, registry)
        registry.put_blob(REPO, LAYER)
        assert (await http("HEAD", BLOB)).status == 200
        sent = await http("GET", BLOB)
        assert (sent.status, sent.body) == (307, b"")
        place = sent.headers["Location"]
        assert not place.startswith(registry.url)
        assert (await http("GET", place)).body == LAYER
        part = await http("GET", place, Range="bytes=5-9")
        assert (part.status, part.body) == (206, LAYER[5:10])
        assert (registry.count("GET", "blob"), registry.count("GET", "storage")) == (1, 2)


async def test_the_storage_refuses_credentials_and_addresses_that_it_did_not_sign(session):
    async with EmbeddedRegistry(traits=AWAY, access=Access(users=USERS)) as registry:
        http = Http(session, registry)
        registry.put_blob(REPO, LAYER)
        bearer = await token(http, f"repository:{REPO}:pull")
        place = (await http("GET", BLOB, Authorization=bearer)).headers["Location"]
        assert (await http("GET", place)).status == 200
        for credentials in (bearer, LOGIN):
            assert (await http("GET", place, Authorization=credentials)).status == 400
        assert (await http("GET", place.partition("?")[0])).status == 403
        assert (await http("GET", place.replace(str(DIGEST), str(Digest.of(b"else"))))).status == 403
        assert (await http("GET", place.partition("/storage")[0] + BLOB)).status == 404


async def test_what_is_not_there_is_said_by_the_registry_itself(session):
    async with EmbeddedRegistry(traits=AWAY) as registry:
        assert (await Http(session, registry)("GET", BLOB)).codes == ["BLOB_UNKNOWN"]


async def test_a_body_that_comes_from_the_storage_can_be_cut(session):
    async with EmbeddedRegistry(traits=AWAY) as registry:
        http = Http(session, registry)
        registry.put_blob(REPO, LAYER)
        registry.fault("GET", "/storage/", then="cut the body", times=1)
        place = (await http("GET", BLOB)).headers["Location"]
        with pytest.raises(aiohttp.ClientPayloadError):
            await http("GET", place)


async def test_who_brings_the_cookie_back_is_taken_for_a_browser(session):
    async with EmbeddedRegistry(traits=Traits(cookies_are_browsers=True)) as registry:
        http = Http(session, registry)
        cookie = (await http("GET", "/v2/")).headers["Set-Cookie"].partition(";")[0]
        answer = await http("POST", f"/v2/{REPO}/blobs/uploads/", Cookie=cookie)
        assert (answer.status, answer.json["errors"][0]["message"]) == (403, "CSRF token invalid")
