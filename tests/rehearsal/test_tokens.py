"""Credentials: what the registry asks for, what its token endpoint gives, and when both end."""

from __future__ import annotations

import base64
import re

import pytest

from bakery.oci.digest import Digest
from bakery.rehearsal import Access, EmbeddedRegistry, Scheme
from tests.rehearsal.content import LAYER, REPO, Http, Reply, finish, index
from tests.rehearsal.test_faults import JumpingClock

USERS = {"baker": "flour:and water"}
LOGIN = "Basic " + base64.b64encode(b"baker:flour:and water").decode()
PING = f"/v2/{REPO}/tags/list"


def challenge(answer: Reply) -> dict[str, str]:
    scheme, _, rest = answer.headers["WWW-Authenticate"].partition(" ")
    return {"scheme": scheme, **dict(re.findall(r'(\w+)="([^"]*)"', rest))}


async def token(http: Http, *scopes: str, login: str = LOGIN) -> str:
    query = "&".join(f"scope={scope}" for scope in scopes)
    answer = await http("GET", f"/token?service=x&{query}", Authorization=login)
    assert answer.status == 200, answer.body
    assert answer.json["token"] == answer.json["access_token"]
    return f"Bearer {answer.json['token']}"


async def test_a_request_without_a_token_is_told_where_and_for_what_to_ask(session):
    async with EmbeddedRegistry(access=Access(users=USERS)) as registry:
        http = Http(session, registry)
        answer = await http("POST", f"/v2/{REPO}/blobs/uploads/")
        assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])
        told = challenge(answer)
        assert (told["scheme"], told["realm"]) == ("Bearer", f"{registry.url}/token")
        assert told["scope"] == f"repository:{REPO}:pull,push"
        assert "scope" not in challenge(await http("GET", "/v2/"))
        assert registry.repositories() == []


async def test_a_token_opens_what_its_scope_names_and_no_more(session):
    async with EmbeddedRegistry(access=Access(users=USERS)) as registry:
        http = Http(session, registry)
        registry.put_manifest(REPO, index(), "1")
        pull = await token(http, f"repository:{REPO}:pull")
        assert (await http("GET", PING, Authorization=pull)).status == 200
        refused = await http("POST", f"/v2/{REPO}/blobs/uploads/", Authorization=pull)
        assert challenge(refused)["error"] == "insufficient_scope"
        assert (await http("GET", "/v2/other/app/tags/list", Authorization=pull)).status == 401
        push = await token(http, f"repository:{REPO}:pull,push")
        begun = await http("POST", f"/v2/{REPO}/blobs/uploads/", Authorization=push)
        place = finish(begun.headers["Location"], Digest.of(LAYER))
        assert (await http("PUT", place, LAYER, Authorization=push)).status == 201
        assert [request.scopes for request in registry.token_requests] == [
            (f"repository:{REPO}:pull",),
            (f"repository:{REPO}:pull,push",),
        ]


async def test_a_token_ends_after_its_lifetime_or_when_a_fault_says_so(session):
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
async def test_who_is_not_known_gets_no_token(session, login):
    async with EmbeddedRegistry(access=Access(users=USERS)) as registry:
        headers = {"Authorization": login} if login else {}
        answer = await Http(session, registry)("GET", "/token?scope=repository:a/b:pull", **headers)
        assert answer.status == 401
        assert [request.user for request in registry.token_requests] == [""]


async def test_an_anonymous_token_pulls_and_does_not_push(session):
    async with EmbeddedRegistry(access=Access(users=USERS, anonymous_pull=True)) as registry:
        registry.put_manifest(REPO, index(), "1")
        http = Http(session, registry)
        answer = await http("GET", f"/token?scope=repository:{REPO}:pull,push")
        bearer = f"Bearer {answer.json['token']}"
        assert (await http("GET", PING, Authorization=bearer)).status == 200
        assert (await http("POST", f"/v2/{REPO}/blobs/uploads/", Authorization=bearer)).status == 401


async def test_tokens_are_given_for_a_posted_password_or_refresh_token(session):
    access = Access(users=USERS, refresh_tokens={"r3fresh": "baker"})
    async with EmbeddedRegistry(access=access) as registry:
        registry.put_manifest(REPO, index(), "1")
        http, kind = Http(session, registry), "application/x-www-form-urlencoded"
        scope = f"scope=repository%3A{REPO}%3Apull"
        by_password = f"grant_type=password&username=baker&password=flour%3Aand+water&access_type=offline&{scope}"
        answer = await http("POST", "/token", by_password.encode(), Content_Type=kind)
        assert answer.json["refresh_token"] == "r3fresh"
        form = f"grant_type=refresh_token&refresh_token=r3fresh&{scope}".encode()
        answer = await http("POST", "/token", form, Content_Type=kind)
        bearer = f"Bearer {answer.json['access_token']}"
        assert (await http("GET", PING, Authorization=bearer)).status == 200
        wrong = await http("POST", "/token", b"grant_type=refresh_token&refresh_token=x", Content_Type=kind)
        assert wrong.status == 401
        assert [request.method for request in registry.token_requests] == ["POST"] * 3


async def test_a_token_service_that_knows_get_only_answers_405(session):
    async with EmbeddedRegistry(access=Access(users=USERS, takes_post=False)) as registry:
        assert (await Http(session, registry)("POST", "/token", b"grant_type=password")).status == 405


async def test_the_token_endpoint_can_have_a_port_of_its_own(session):
    async with EmbeddedRegistry(access=Access(users=USERS, second_port=True)) as registry:
        http = Http(session, registry)
        realm = challenge(await http("GET", "/v2/"))["realm"]
        assert not realm.startswith(registry.url)
        assert (await http("GET", realm, Authorization=LOGIN)).status == 200
        assert (await http("GET", realm.replace("/token", "/v2/"), Authorization=LOGIN)).status == 404


async def test_a_mount_needs_a_token_that_reads_the_source(session):
    async with EmbeddedRegistry(access=Access(users=USERS)) as registry:
        digest = registry.put_blob("acme/secret", LAYER)
        http, path = Http(session, registry), f"/v2/{REPO}/blobs/uploads/?mount={digest}"
        push = f"repository:{REPO}:pull,push"
        alone = await token(http, push)
        assert (await http("POST", f"{path}&from=acme/secret", Authorization=alone)).status == 202
        assert (await http("POST", path, Authorization=alone)).status == 202
        both = await token(http, push, "repository:acme/secret:pull")
        assert (await http("POST", f"{path}&from=acme/secret", Authorization=both)).status == 201


async def test_basic_credentials_are_asked_for_with_every_request(session):
    async with EmbeddedRegistry(access=Access(users=USERS, scheme=Scheme.BASIC)) as registry:
        http = Http(session, registry)
        assert challenge(await http("GET", "/v2/"))["scheme"] == "Basic"
        assert (await http("GET", "/v2/", Authorization=LOGIN)).status == 200
        assert (await http("GET", "/v2/", Authorization=LOGIN[:-4])).status == 401
        assert registry.token_requests == []


async def test_a_scope_for_a_repository_that_is_not_there_fails_the_whole_request(session):
    async with EmbeddedRegistry(access=Access(users=USERS, knows_repositories=True)) as registry:
        http, scope = (
            Http(session, registry),
            f"/token?scope=repository:{REPO}:pull,push&scope=repository:none/here:pull",
        )
        assert (await http("GET", scope, Authorization=LOGIN)).codes == ["DENIED"]
        registry.put_manifest("none/here", index(), "1")
        assert (await http("GET", scope, Authorization=LOGIN)).status == 200


async def test_an_action_that_is_refused_fails_the_whole_request(session):
    access = Access(users=USERS, refused_actions=frozenset({"delete"}))
    async with EmbeddedRegistry(access=access) as registry:
        path = f"/token?scope=repository:{REPO}:pull,push,delete"
        assert (await Http(session, registry)("GET", path, Authorization=LOGIN)).status == 403


async def test_a_token_service_can_look_at_the_first_scope_alone(session):
    async with EmbeddedRegistry(access=Access(users=USERS, one_scope=True)) as registry:
        registry.put_manifest(REPO, index(), "1")
        http = Http(session, registry)
        bearer = await token(http, "repository:other/app:pull", f"repository:{REPO}:pull")
        assert (await http("GET", PING, Authorization=bearer)).status == 401


async def test_the_challenge_can_be_told_at_the_ping_alone(session):
    async with EmbeddedRegistry(access=Access(users=USERS, challenges_at_ping_only=True)) as registry:
        http = Http(session, registry)
        answer = await http("GET", PING)
        assert (answer.status, "WWW-Authenticate" in answer.headers) == (401, False)
        assert challenge(await http("GET", "/v2/"))["realm"] == f"{registry.url}/token"
