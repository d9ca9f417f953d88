"""The profiles: each registry's ways, as registry.md tells them, seen from outside."""

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
from bakery.rehearsal.serving import Asked, registry_of
from bakery.rehearsal.traits import MIB
from tests.rehearsal.content import CONFIG, LAYER, REPO, Http, finish, image, index
from tests.rehearsal.test_faults import JumpingClock

NOWHERE = Digest.of(b"pushed by nobody")
DIGEST = Digest.of(LAYER)
UPLOADS = f"/v2/{REPO}/blobs/uploads/"


def calm(of: Profile) -> EmbeddedRegistry:
    """A registry with the profile's ways and none of its accidents."""
    return EmbeddedRegistry(traits=of.traits)


def test_a_profile_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(UsageError, match="ghcr, hub, ecr, flaky, hostile"):
        profile("nexus")


# GHCR


async def test_ghcr_knows_no_referrers_and_does_not_say_that_it_took_a_subject(session):
    async with calm(GHCR) as registry:
        http = Http(session, registry)
        raw = index(subject={"mediaType": mt.OCI_MANIFEST, "digest": str(NOWHERE), "size": 7})
        answer = await http("PUT", f"/v2/{REPO}/manifests/1", raw, Content_Type=mt.OCI_INDEX)
        assert answer.status == 201
        assert "OCI-Subject" not in answer.headers
        answer = await http("GET", f"/v2/{REPO}/referrers/{NOWHERE}")
        assert (answer.status, answer.codes) == (404, ["MANIFEST_UNKNOWN"])


async def test_ghcr_refuses_a_chunk_of_more_than_4_mib_and_takes_the_rest_of_the_session(session):
    async with calm(GHCR) as registry:
        http, big = Http(session, registry), b"x" * (4 * MIB + 1)
        place = (await http("POST", UPLOADS)).headers["Location"]
        answer = await http("PATCH", place, io.BytesIO(big), Content_Range=f"0-{len(big) - 1}")
        assert answer.status == 416
        assert "exceeds 4.00MiB" in answer.json["errors"][0]["message"]
        assert (await http("PUT", finish(place, Digest.of(big)), io.BytesIO(big))).status == 201


async def test_ghcr_deletes_nothing(session):
    async with calm(GHCR) as registry:
        digest = registry.put_manifest(REPO, index(), "1")
        for path in (f"manifests/{digest}", "manifests/1", f"blobs/{NOWHERE}"):
            assert (await Http(session, registry)("DELETE", f"/v2/{REPO}/{path}")).status == 405


async def test_ghcr_tells_its_rate_limits_in_the_text(session):
    async with EmbeddedRegistry(traits=GHCR.traits, rules=GHCR.rules, seed=2) as registry:
        http = Http(session, registry)
        answers = [await http("GET", f"/v2/{REPO}/manifests/1") for _ in range(600)]
        limited = [answer for answer in answers if answer.status == 429]
        assert limited
        assert all("Retry-After" not in answer.headers for answer in limited)
        assert "retry-after: 10.48ms" in limited[0].json["errors"][0]["message"]
        denied = [answer for answer in answers if answer.status == 403]
        assert "secondary rate limit" in denied[0].json["errors"][0]["message"]
        assert registry.faults_met == {"rate limit in the text": len(limited), "secondary rate limit": len(denied)}


# Docker Hub


async def test_hub_tells_what_is_left_of_the_rate_with_every_manifest(session):
    async with calm(HUB) as registry:
        registry.put_manifest(REPO, index(), "1")
        for method in ("GET", "HEAD"):
            answer = await Http(session, registry)(method, f"/v2/{REPO}/manifests/1")
            assert answer.headers["ratelimit-limit"] == "100;w=21600"
            assert answer.headers["ratelimit-remaining"].endswith(";w=21600")


async def test_hub_throws_the_body_of_a_single_post_away(session):
    async with calm(HUB) as registry:
        http = Http(session, registry)
        answer = await http("POST", f"{UPLOADS}?digest={DIGEST}", LAYER)
        assert answer.status == 202
        assert (await http("HEAD", f"/v2/{REPO}/blobs/{DIGEST}")).status == 404
        assert (await http("PUT", finish(answer.headers["Location"], DIGEST), LAYER)).status == 201


async def test_hub_takes_only_the_newest_location(session):
    async with calm(HUB) as registry:
        http = Http(session, registry)
        first = (await http("POST", UPLOADS)).headers["Location"]
        assert first.startswith(registry.url)
        second = (await http("PATCH", first, LAYER[:9])).headers["Location"]
        stale = await http("PATCH", first, LAYER[9:])
        assert (stale.status, stale.codes) == (404, ["BLOB_UPLOAD_INVALID"])
        assert (await http("PUT", finish(second, DIGEST), LAYER[9:])).status == 201


async def test_hub_appends_a_chunk_whatever_its_range_says(session):
    async with calm(HUB) as registry:
        http = Http(session, registry)
        place = (await http("POST", UPLOADS)).headers["Location"]
        answer = await http("PATCH", place, LAYER, Content_Range="700-799")
        assert (answer.status, answer.headers["Range"]) == (202, f"0-{len(LAYER) - 1}")


# ECR


async def test_ecr_answers_chunks_with_201_and_a_range_that_sticks(session):
    async with EmbeddedRegistry(traits=replace(ECR.traits, least_part_bytes=None)) as registry:
        http = Http(session, registry)
        place = (await http("POST", UPLOADS)).headers["Location"]
        first = await http("PATCH", place, LAYER[:10], Content_Range="0-9")
        second = await http("PATCH", place, LAYER[10:20], Content_Range="10-19")
        assert [(answer.status, answer.headers["Range"]) for answer in (first, second)] == [(201, "0-9")] * 2
        assert (await http("PUT", finish(place, DIGEST), LAYER[20:])).status == 201


async def test_ecr_wants_parts_of_5_mib_but_for_the_last(session):
    async with calm(ECR) as registry:
        http = Http(session, registry)
        place = (await http("POST", UPLOADS)).headers["Location"]
        assert (await http("PATCH", place, LAYER[:10])).status == 201
        assert (await http("PATCH", place, LAYER[10:20])).codes == ["SIZE_INVALID"]
        assert (await http("PUT", finish(place, Digest.of(LAYER[:10])), b"")).status == 201


async def test_ecr_refuses_to_push_a_tag_again_even_with_the_same_digest(session):
    async with calm(ECR) as registry:
        registry.put_manifest(REPO, index(), "1")
        answer = await Http(session, registry)("PUT", f"/v2/{REPO}/manifests/1", index(), Content_Type=mt.OCI_INDEX)
        assert answer.codes == ["TAG_INVALID"]
        assert "immutable" in answer.json["errors"][0]["message"]


async def test_ecr_mounts_only_what_a_manifest_of_the_source_names(session):
    async with calm(ECR) as registry:
        http, path = Http(session, registry), f"{UPLOADS}?mount={DIGEST}&from=acme/base"
        for blob in (LAYER, CONFIG):
            registry.put_blob("acme/base", blob)
        assert (await http("POST", path)).status == 202
        registry.put_manifest("acme/base", image(), "1")
        assert (await http("POST", path)).status == 201


async def test_ecr_wants_a_manifest_to_state_its_type_and_gives_pages_of_1000(session):
    async with calm(ECR) as registry:
        http = Http(session, registry)
        raw = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
        answer = await http("PUT", f"/v2/{REPO}/manifests/1", raw, Content_Type=mt.OCI_INDEX)
        assert answer.codes == ["UNSUPPORTED"]
        registry.put_manifest(REPO, index(), *[f"t{number}" for number in range(1001)])
        answer = await http("GET", f"/v2/{REPO}/tags/list?n=5000")
        assert len(answer.json["tags"]) == 1000
        assert 'rel="next"' in answer.headers["Link"]


async def test_a_repository_can_be_demanded_to_exist(session):
    async with EmbeddedRegistry(traits=Traits(repositories_must_exist=True)) as registry:
        http = Http(session, registry)
        assert (await http("POST", UPLOADS)).codes == ["NAME_UNKNOWN"]
        registry.create_repository(REPO)
        assert (await http("POST", UPLOADS)).status == 202


# The others


async def test_gar_takes_a_blob_in_one_chunk_and_gives_long_locations(session):
    async with calm(GAR) as registry:
        http = Http(session, registry)
        place = (await http("POST", UPLOADS)).headers["Location"]
        assert len(place) > 4000
        second = (await http("PATCH", place, LAYER[:9])).headers["Location"]
        assert (await http("PATCH", second, LAYER[9:])).status == 400
        assert (await http("PUT", finish(second, Digest.of(LAYER[:9])), b"")).status == 201


async def test_harbor_wants_a_project_and_its_cookie_for_itself(session):
    async with calm(HARBOR) as registry:
        http = Http(session, registry)
        assert (await http("GET", "/v2/app/tags/list")).codes == ["NAME_INVALID"]
        assert (await http("POST", UPLOADS, Cookie="sid=a-browser")).status == 403
        assert (await http("POST", UPLOADS)).status == 202


async def test_artifactory_denies_what_is_not_there_and_is_strict_about_lists(session):
    async with calm(ARTIFACTORY) as registry:
        http, lists = Http(session, registry), f"/v2/{REPO}/tags/list"
        registry.put_manifest(REPO, index(), "1")
        answer = await http("HEAD", f"/v2/{REPO}/manifests/2")
        assert answer.status == 403
        assert (await http("GET", lists, Accept=mt.OCI_INDEX)).status == 406
        assert (await http("GET", lists)).status == 200


async def test_distribution_finds_nothing_for_a_narrow_accept(session):
    async with calm(DISTRIBUTION) as registry:
        http, path = Http(session, registry), f"/v2/{REPO}/manifests/1"
        registry.put_manifest(REPO, index(), "1")
        assert (await http("GET", path, Accept=mt.OCI_MANIFEST)).status == 404
        assert (await http("GET", path, Accept=f"{mt.OCI_MANIFEST}, {mt.OCI_INDEX}")).status == 200


LOGINS = {"ecr": "Basic", "harbor": "Bearer", "quay": "Bearer", "hub": "Bearer", "ghcr": "Bearer"}


@pytest.mark.parametrize("name", LOGINS)
async def test_a_profile_that_is_given_users_asks_for_them_in_its_own_way(session, name):
    calm_one = replace(PROFILES[name], rules=())
    async with registry_of(calm_one, Asked(users={"baker": "flour"})) as running:
        answer = await Http(session, running)("GET", "/v2/")
        assert (answer.status, answer.headers["WWW-Authenticate"].split()[0]) == (401, LOGINS[name])


# All of them


async def use(http: Http, number: int) -> None:
    """One small push and pull, whatever comes of it."""
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
    # Who reads an endless body never ends, and only a login has a token that can end: both have tests of their own.
    rules = [rule for rule in chosen.rules if rule.name not in ("endless body", "ended token")]
    async with EmbeddedRegistry(traits=traits, rules=rules, clock=clock, seed=1) as registry:
        http = Http(session, registry)
        registry.put_blob(REPO, LAYER)
        for number in range(4000):
            if set(registry.faults_met) == {rule.name for rule in rules}:
                break
            registry.put_manifest(REPO, index(annotations={"n": str(number)}), "moving", f"sha256-{'0' * 64}")
            await use(http, number)
        assert set(registry.faults_met) == {rule.name for rule in rules}


async def test_an_endless_body_goes_on_until_the_client_has_had_enough(session):
    async with EmbeddedRegistry() as registry:
        endless = next(rule.effect for rule in PROFILES["hostile"].rules if rule.name == "endless body")
        registry.fault("GET", then=endless)
        async with session.get(f"{registry.url}/v2/{REPO}/manifests/1") as answer:
            assert "Content-Length" not in answer.headers
            assert len(await answer.content.readexactly(5 * MIB)) == 5 * MIB
