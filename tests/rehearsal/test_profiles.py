"""The profiles: the behaviour of each registry (registry.md), seen by a client."""

from __future__ import annotations

import asyncio
import io
import json

import aiohttp
import pytest
from msgspec.structs import replace

from bakery.errors import UsageError
from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.rehearsal import EmbeddedRegistry, Immutable, Traits
from bakery.rehearsal.profiles import (
    ARTIFACTORY,
    DISTRIBUTION,
    ECR,
    GAR,
    GHCR,
    HARBOR,
    HUB,
    PROFILES,
    Profile,
    profile,
)
from bakery.rehearsal.serving import ServeOptions, registry_for_profile
from bakery.rehearsal.traits import MIB
from tests.clock import JumpingClock
from tests.rehearsal.content import CONFIG, LAYER, REPO, Http, finish, image, index

NOWHERE = Digest.of(b"never pushed")
DIGEST = Digest.of(LAYER)
UPLOADS = f"/v2/{REPO}/blobs/uploads/"


def without_faults(of: Profile) -> EmbeddedRegistry:
    """Return a registry with the traits of the profile and none of its faults."""
    return EmbeddedRegistry(traits=of.traits)


def test_an_unknown_profile_is_an_error_that_lists_the_profiles():
    with pytest.raises(UsageError, match="ghcr, hub, ecr, flaky, hostile"):
        profile("nexus")


# GHCR


async def test_ghcr_has_no_referrers_api_and_does_not_acknowledge_a_subject(session):
    async with without_faults(GHCR) as registry:
        http = Http(session, registry)
        raw = index(subject={"mediaType": mt.OCI_MANIFEST, "digest": str(NOWHERE), "size": 7})
        response = await http("PUT", f"/v2/{REPO}/manifests/1", raw, Content_Type=mt.OCI_INDEX)
        assert response.status == 201
        assert "OCI-Subject" not in response.headers
        response = await http("GET", f"/v2/{REPO}/referrers/{NOWHERE}")
        assert (response.status, response.codes) == (404, ["MANIFEST_UNKNOWN"])


async def test_ghcr_refuses_a_chunk_larger_than_4_mib_but_keeps_the_session(session):
    async with without_faults(GHCR) as registry:
        http, big = Http(session, registry), b"x" * (4 * MIB + 1)
        location = (await http("POST", UPLOADS)).headers["Location"]
        response = await http("PATCH", location, io.BytesIO(big), Content_Range=f"0-{len(big) - 1}")
        assert response.status == 416
        assert "exceeds 4.00MiB" in response.json["errors"][0]["message"]
        assert (await http("PUT", finish(location, Digest.of(big)), io.BytesIO(big))).status == 201


async def test_ghcr_refuses_every_delete(session):
    async with without_faults(GHCR) as registry:
        digest = registry.put_manifest(REPO, index(), "1")
        for path in (f"manifests/{digest}", "manifests/1", f"blobs/{NOWHERE}"):
            assert (await Http(session, registry)("DELETE", f"/v2/{REPO}/{path}")).status == 405


async def test_ghcr_states_its_rate_limits_only_in_the_message(session):
    async with EmbeddedRegistry(traits=GHCR.traits, rules=GHCR.rules, seed=2) as registry:
        http = Http(session, registry)
        responses = [await http("GET", f"/v2/{REPO}/manifests/1") for _ in range(600)]
        limited = [response for response in responses if response.status == 429]
        assert limited
        assert all("Retry-After" not in response.headers for response in limited)
        assert "retry-after: 10.48ms" in limited[0].json["errors"][0]["message"]
        denied = [response for response in responses if response.status == 403]
        assert "secondary rate limit" in denied[0].json["errors"][0]["message"]
        assert registry.faults_met == {"rate limit in the message": len(limited), "secondary rate limit": len(denied)}


# Docker Hub


async def test_hub_states_the_remaining_rate_with_every_manifest(session):
    async with without_faults(HUB) as registry:
        registry.put_manifest(REPO, index(), "1")
        for method in ("GET", "HEAD"):
            response = await Http(session, registry)(method, f"/v2/{REPO}/manifests/1")
            assert response.headers["ratelimit-limit"] == "100;w=21600"
            assert response.headers["ratelimit-remaining"].endswith(";w=21600")


async def test_hub_ignores_the_body_of_a_single_post(session):
    async with without_faults(HUB) as registry:
        http = Http(session, registry)
        response = await http("POST", f"{UPLOADS}?digest={DIGEST}", LAYER)
        assert response.status == 202
        assert (await http("HEAD", f"/v2/{REPO}/blobs/{DIGEST}")).status == 404
        assert (await http("PUT", finish(response.headers["Location"], DIGEST), LAYER)).status == 201


async def test_hub_accepts_only_the_newest_location(session):
    async with without_faults(HUB) as registry:
        http = Http(session, registry)
        first = (await http("POST", UPLOADS)).headers["Location"]
        assert first.startswith(registry.url)
        second = (await http("PATCH", first, LAYER[:9])).headers["Location"]
        stale = await http("PATCH", first, LAYER[9:])
        assert (stale.status, stale.codes) == (404, ["BLOB_UPLOAD_INVALID"])
        assert (await http("PUT", finish(second, DIGEST), LAYER[9:])).status == 201


async def test_hub_appends_every_chunk_and_ignores_its_range(session):
    async with without_faults(HUB) as registry:
        http = Http(session, registry)
        location = (await http("POST", UPLOADS)).headers["Location"]
        response = await http("PATCH", location, LAYER, Content_Range="700-799")
        assert (response.status, response.headers["Range"]) == (202, f"0-{len(LAYER) - 1}")


# ECR


async def test_ecr_responds_to_chunks_with_201_and_a_stuck_range(session):
    async with EmbeddedRegistry(traits=replace(ECR.traits, min_part_bytes=None)) as registry:
        http = Http(session, registry)
        location = (await http("POST", UPLOADS)).headers["Location"]
        first = await http("PATCH", location, LAYER[:10], Content_Range="0-9")
        second = await http("PATCH", location, LAYER[10:20], Content_Range="10-19")
        assert [(response.status, response.headers["Range"]) for response in (first, second)] == [(201, "0-9")] * 2
        assert (await http("PUT", finish(location, DIGEST), LAYER[20:])).status == 201


async def test_ecr_requires_parts_of_5_mib_except_for_the_last(session):
    async with without_faults(ECR) as registry:
        http = Http(session, registry)
        location = (await http("POST", UPLOADS)).headers["Location"]
        assert (await http("PATCH", location, LAYER[:10])).status == 201
        assert (await http("PATCH", location, LAYER[10:20])).codes == ["SIZE_INVALID"]
        assert (await http("PUT", finish(location, Digest.of(LAYER[:10])), b"")).status == 201


async def test_ecr_refuses_an_existing_tag_even_with_the_same_digest(session):
    async with without_faults(ECR) as registry:
        registry.put_manifest(REPO, index(), "1")
        response = await Http(session, registry)("PUT", f"/v2/{REPO}/manifests/1", index(), Content_Type=mt.OCI_INDEX)
        assert response.codes == ["TAG_INVALID"]
        assert "immutable" in response.json["errors"][0]["message"]


async def test_ecr_mounts_only_blobs_that_a_manifest_of_the_source_names(session):
    async with without_faults(ECR) as registry:
        http, path = Http(session, registry), f"{UPLOADS}?mount={DIGEST}&from=acme/base"
        for blob in (LAYER, CONFIG):
            registry.put_blob("acme/base", blob)
        assert (await http("POST", path)).status == 202
        registry.put_manifest("acme/base", image(), "1")
        assert (await http("POST", path)).status == 201


async def test_ecr_requires_a_media_type_and_lists_tags_in_pages_of_1000(session):
    async with without_faults(ECR) as registry:
        http = Http(session, registry)
        raw = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
        response = await http("PUT", f"/v2/{REPO}/manifests/1", raw, Content_Type=mt.OCI_INDEX)
        assert response.codes == ["UNSUPPORTED"]
        registry.put_manifest(REPO, index(), *[f"t{number}" for number in range(1001)])
        response = await http("GET", f"/v2/{REPO}/tags/list?n=5000")
        assert len(response.json["tags"]) == 1000
        assert 'rel="next"' in response.headers["Link"]


async def test_a_registry_can_require_that_repositories_exist(session):
    async with EmbeddedRegistry(traits=Traits(repositories_must_exist=True)) as registry:
        http = Http(session, registry)
        assert (await http("POST", UPLOADS)).codes == ["NAME_UNKNOWN"]
        registry.create_repository(REPO)
        assert (await http("POST", UPLOADS)).status == 202


# The others


async def test_gar_accepts_a_blob_in_one_chunk_and_returns_long_locations(session):
    async with without_faults(GAR) as registry:
        http = Http(session, registry)
        location = (await http("POST", UPLOADS)).headers["Location"]
        assert len(location) > 4000
        second = (await http("PATCH", location, LAYER[:9])).headers["Location"]
        assert (await http("PATCH", second, LAYER[9:])).status == 400
        assert (await http("PUT", finish(second, Digest.of(LAYER[:9])), b"")).status == 201


async def test_harbor_requires_a_project_and_refuses_writes_with_its_cookie(session):
    async with without_faults(HARBOR) as registry:
        http = Http(session, registry)
        assert (await http("GET", "/v2/app/tags/list")).codes == ["NAME_INVALID"]
        assert (await http("POST", UPLOADS, Cookie="sid=a-browser")).status == 403
        assert (await http("POST", UPLOADS)).status == 202


async def test_artifactory_denies_missing_manifests_and_needs_json_in_the_accept_of_lists(session):
    async with without_faults(ARTIFACTORY) as registry:
        http, lists = Http(session, registry), f"/v2/{REPO}/tags/list"
        registry.put_manifest(REPO, index(), "1")
        response = await http("HEAD", f"/v2/{REPO}/manifests/2")
        assert response.status == 403
        assert (await http("GET", lists, Accept=mt.OCI_INDEX)).status == 406
        assert (await http("GET", lists)).status == 200


async def test_distribution_finds_nothing_for_a_narrow_accept(session):
    async with without_faults(DISTRIBUTION) as registry:
        http, path = Http(session, registry), f"/v2/{REPO}/manifests/1"
        registry.put_manifest(REPO, index(), "1")
        assert (await http("GET", path, Accept=mt.OCI_MANIFEST)).status == 404
        assert (await http("GET", path, Accept=f"{mt.OCI_MANIFEST}, {mt.OCI_INDEX}")).status == 200


LOGINS = {"ecr": "Basic", "harbor": "Bearer", "quay": "Bearer", "hub": "Bearer", "ghcr": "Bearer"}


@pytest.mark.parametrize("name", LOGINS)
async def test_a_profile_with_users_authenticates_them_in_its_own_way(session, name):
    chosen = replace(PROFILES[name], rules=())
    async with registry_for_profile(chosen, ServeOptions(users={"baker": "flour"})) as running:
        response = await Http(session, running)("GET", "/v2/")
        assert (response.status, response.headers["WWW-Authenticate"].split()[0]) == (401, LOGINS[name])


# All of them


async def use(http: Http, number: int) -> None:
    """Try one small push and pull, and ignore failures."""
    steps: list[tuple[str, str, bytes]] = [
        ("POST", UPLOADS, b""),
        ("PUT", f"{UPLOADS}none?digest={DIGEST}", LAYER),
        ("GET", f"/v2/{REPO}/blobs/{DIGEST}", b""),
        ("GET", f"/v2/{REPO}/manifests/moving", b""),
        ("GET", f"/v2/{REPO}/manifests/sha256-{'0' * 64}", b""),
    ]
    for method, path, body in steps:
        try:
            async with asyncio.timeout(5):
                await http(method, path, body or None)
        except (aiohttp.ClientError, TimeoutError):
            pass


@pytest.mark.parametrize("name", PROFILES)
async def test_every_rule_of_a_profile_can_be_met(session, name):
    chosen, clock = PROFILES[name], JumpingClock()
    traits = replace(chosen.traits, immutable=Immutable.NEVER)
    # An endless body blocks its reader, and a token can only expire with a login: both have tests of their own.
    rules = [rule for rule in chosen.rules if rule.name not in ("endless body", "expired token")]
    async with EmbeddedRegistry(traits=traits, rules=rules, clock=clock, seed=1) as registry:
        http = Http(session, registry)
        registry.put_blob(REPO, LAYER)
        for number in range(4000):
            if set(registry.faults_met) == {rule.name for rule in rules}:
                break
            registry.put_manifest(REPO, index(annotations={"n": str(number)}), "moving", f"sha256-{'0' * 64}")
            await use(http, number)
        assert set(registry.faults_met) == {rule.name for rule in rules}


async def test_an_endless_body_continues_until_the_client_stops(session):
    async with EmbeddedRegistry() as registry:
        endless = next(rule.effect for rule in PROFILES["hostile"].rules if rule.name == "endless body")
        registry.fault("GET", then=endless)
        async with session.get(f"{registry.url}/v2/{REPO}/manifests/1") as response:
            assert "Content-Length" not in response.headers
            assert len(await response.content.readexactly(5 * MIB)) == 5 * MIB
