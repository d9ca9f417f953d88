"""Authentication: challenges, the tokens that the token endpoint issues, and when they expire."""

from __future__ import annotations

import base64
import re

import pytest

from bakery.oci.digest import Digest
from bakery.rehearsal import Access, EmbeddedRegistry, Scheme
from tests.clock import JumpingClock
from tests.rehearsal.content import LAYER, REPO, Http, Reply, finish, index

USERS = {"baker": "flour:and water"}
LOGIN = "Basic " + base64.b64encode(b"baker:flour:and water").decode()
PING = f"/v2/{REPO}/tags/list"


def challenge(response: Reply) -> dict[str, str]:
    scheme, _, rest = response.headers["WWW-Authenticate"].partition(" ")
    return {"scheme": scheme, **dict(re.findall(r'(\w+)="([^"]*)"', rest))}


async def token(http: Http, *scopes: str, login: str = LOGIN) -> str:
    query = "&".join(f"scope={scope}" for scope in scopes)
    response = await http("GET", f"/token?service=x&{query}", Authorization=login)
    assert response.status == 200, response.body
    assert response.json["token"] == response.json["access_token"]
    return f"Bearer {response.json['token']}"


async def test_a_challenge_names_the_token_endpoint_and_the_scope(session):
    async with EmbeddedRegistry(access=Access(users=USERS)) as registry:
        http = Http(session, registry)
        response = await http("POST", f"/v2/{REPO}/blobs/uploads/")
        assert (response.status, response.codes) == (401, ["UNAUTHORIZED"])
        parameters = challenge(response)
        assert (parameters["scheme"], parameters["realm"]) == ("Bearer", f"{registry.url}/token")
        assert parameters["scope"] == f"repository:{REPO}:pull,push"
        assert "scope" not in challenge(await http("GET", "/v2/"))
        assert registry.repositories() == []


async def test_a_token_is_limited_to_its_scope(session):
    async with EmbeddedRegistry(access=Access(users=USERS)) as registry:
        http = Http(session, registry)
        registry.put_manifest(REPO, index(), "1")
        pull = await token(http, f"repository:{REPO}:pull")
        assert (await http("GET", PING, Authorization=pull)).status == 200
        refused = await http("POST", f"/v2/{REPO}/blobs/uploads/", Authorization=pull)
        assert challenge(refused)["error"] == "insufficient_scope"
        assert (await http("GET", "/v2/other/app/tags/list", Authorization=pull)).status == 401
        push = await token(http, f"repository:{REPO}:pull,push")
        started = await http("POST", f"/v2/{REPO}/blobs/uploads/", Authorization=push)
        location = finish(started.headers["Location"], Digest.of(LAYER))
        assert (await http("PUT", location, LAYER, Authorization=push)).status == 201
        assert [request.scopes for request in registry.token_requests] == [
            (f"repository:{REPO}:pull",),
            (f"repository:{REPO}:pull,push",),
        ]


async def test_a_token_expires_after_its_lifetime_or_by_a_fault(session):
    clock = JumpingClock()
    async with EmbeddedRegistry(access=Access(users=USERS, lifetime_s=60), clock=clock) as registry:
        http = Http(session, registry)
        registry.put_manifest(REPO, index(), "1")
        scope = f"repository:{REPO}:pull"
        first = await token(http, scope)
        clock.time += 59
        assert (await http("GET", PING, Authorization=first)).status == 200
        clock.time += 1
        assert challenge(await http("GET", PING, Authorization=first))["error"] == "invalid_token"
        second = await token(http, scope)
        registry.expire_tokens()
        assert (await http("GET", PING, Authorization=second)).status == 401
        third = await token(http, scope)
        registry.fault("GET", then="expire the token", times=1)
        assert (await http("GET", PING, Authorization=third)).status == 401
        assert registry.faults_met == {"expire the token": 1}


@pytest.mark.parametrize("login", ["", "Basic bm9ib2R5Om5vdGhpbmc=", "Basic %%%", "Basic YmFrZXI="])
async def test_unknown_users_get_no_token(session, login):
    async with EmbeddedRegistry(access=Access(users=USERS)) as registry:
        headers = {"Authorization": login} if login else {}
        response = await Http(session, registry)("GET", "/token?scope=repository:a/b:pull", **headers)
        assert response.status == 401
        assert [request.user for request in registry.token_requests] == [""]


async def test_an_anonymous_token_can_pull_but_not_push(session):
    async with EmbeddedRegistry(access=Access(users=USERS, anonymous_pull=True)) as registry:
        registry.put_manifest(REPO, index(), "1")
        http = Http(session, registry)
        response = await http("GET", f"/token?scope=repository:{REPO}:pull,push")
        bearer = f"Bearer {response.json['token']}"
        assert (await http("GET", PING, Authorization=bearer)).status == 200
        assert (await http("POST", f"/v2/{REPO}/blobs/uploads/", Authorization=bearer)).status == 401


async def test_tokens_are_issued_for_a_posted_password_or_refresh_token(session):
    access = Access(users=USERS, refresh_tokens={"r3fresh": "baker"})
    async with EmbeddedRegistry(access=access) as registry:
        registry.put_manifest(REPO, index(), "1")
        http, kind = Http(session, registry), "application/x-www-form-urlencoded"
        scope = f"scope=repository%3A{REPO}%3Apull"
        by_password = f"grant_type=password&username=baker&password=flour%3Aand+water&access_type=offline&{scope}"
        response = await http("POST", "/token", by_password.encode(), Content_Type=kind)
        assert response.json["refresh_token"] == "r3fresh"
        form = f"grant_type=refresh_token&refresh_token=r3fresh&{scope}".encode()
        response = await http("POST", "/token", form, Content_Type=kind)
        bearer = f"Bearer {response.json['access_token']}"
        assert (await http("GET", PING, Authorization=bearer)).status == 200
        wrong = await http("POST", "/token", b"grant_type=refresh_token&refresh_token=x", Content_Type=kind)
        assert wrong.status == 401
        assert [request.method for request in registry.token_requests] == ["POST"] * 3


async def test_a_token_endpoint_without_post_returns_405(session):
    async with EmbeddedRegistry(access=Access(users=USERS, accepts_post=False)) as registry:
        assert (await Http(session, registry)("POST", "/token", b"grant_type=password")).status == 405


async def test_the_token_endpoint_can_have_its_own_port(session):
    async with EmbeddedRegistry(access=Access(users=USERS, second_port=True)) as registry:
        http = Http(session, registry)
        realm = challenge(await http("GET", "/v2/"))["realm"]
        assert not realm.startswith(registry.url)
        assert (await http("GET", realm, Authorization=LOGIN)).status == 200
        assert (await http("GET", realm.replace("/token", "/v2/"), Authorization=LOGIN)).status == 404


async def test_a_mount_needs_a_token_for_the_source(session):
    async with EmbeddedRegistry(access=Access(users=USERS)) as registry:
        digest = registry.put_blob("acme/secret", LAYER)
        http, path = Http(session, registry), f"/v2/{REPO}/blobs/uploads/?mount={digest}"
        push = f"repository:{REPO}:pull,push"
        without_source = await token(http, push)
        assert (await http("POST", f"{path}&from=acme/secret", Authorization=without_source)).status == 202
        assert (await http("POST", path, Authorization=without_source)).status == 202
        both = await token(http, push, "repository:acme/secret:pull")
        assert (await http("POST", f"{path}&from=acme/secret", Authorization=both)).status == 201


async def test_basic_credentials_are_required_on_every_request(session):
    async with EmbeddedRegistry(access=Access(users=USERS, scheme=Scheme.BASIC)) as registry:
        http = Http(session, registry)
        assert challenge(await http("GET", "/v2/"))["scheme"] == "Basic"
        assert (await http("GET", "/v2/", Authorization=LOGIN)).status == 200
        assert (await http("GET", "/v2/", Authorization=LOGIN[:-4])).status == 401
        assert registry.token_requests == []


async def test_a_scope_for_a_missing_repository_can_fail_the_whole_request(session):
    async with EmbeddedRegistry(access=Access(users=USERS, knows_repositories=True)) as registry:
        http, scope = (
            Http(session, registry),
            f"/token?scope=repository:{REPO}:pull,push&scope=repository:none/here:pull",
        )
        assert (await http("GET", scope, Authorization=LOGIN)).codes == ["DENIED"]
        registry.put_manifest("none/here", index(), "1")
        assert (await http("GET", scope, Authorization=LOGIN)).status == 200


async def test_a_refused_action_fails_the_whole_request(session):
    access = Access(users=USERS, refused_actions=frozenset({"delete"}))
    async with EmbeddedRegistry(access=access) as registry:
        path = f"/token?scope=repository:{REPO}:pull,push,delete"
        assert (await Http(session, registry)("GET", path, Authorization=LOGIN)).status == 403


async def test_a_token_endpoint_can_ignore_all_scopes_but_the_first(session):
    async with EmbeddedRegistry(access=Access(users=USERS, first_scope_only=True)) as registry:
        registry.put_manifest(REPO, index(), "1")
        http = Http(session, registry)
        bearer = await token(http, "repository:other/app:pull", f"repository:{REPO}:pull")
        assert (await http("GET", PING, Authorization=bearer)).status == 401


async def test_a_registry_can_send_challenges_only_at_the_base_endpoint(session):
    async with EmbeddedRegistry(access=Access(users=USERS, challenges_at_base_only=True)) as registry:
        http = Http(session, registry)
        response = await http("GET", PING)
        assert (response.status, "WWW-Authenticate" in response.headers) == (401, False)
        assert challenge(await http("GET", "/v2/"))["realm"] == f"{registry.url}/token"
