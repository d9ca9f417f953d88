"""Logins over real sockets: lazy, once per repository and scope, again when a token expires."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from bakery.errors import AuthError, message
from bakery.registry.client import Client
from bakery.registry.config import RegistryConfig
from bakery.registry.credentials import CredentialSources
from tests.clock import JumpingClock
from tests.wire.channel import PLAIN, Channel
from tests.wire.making import blob, body_of, errors, expect_proof, headers_of, image, make_client, repository
from tests.wire.script import Received, Response, ScriptedServer

DESCRIPTOR, RAW = image(b"a")
MANIFEST = f"/v2/acme/app/manifests/{DESCRIPTOR.digest}"
TOKEN_TARGET = r"/token\?service=reg&scope=.*"


def docker_config(server: ScriptedServer, **entry: str) -> CredentialSources:
    pair = base64.b64encode(b"robot:secret").decode()
    return CredentialSources(inline=json.dumps({"auths": {server.host: entry or {"auth": pair}}}))


def client_for(
    server: ScriptedServer,
    channel: Channel = PLAIN,
    *,
    entry: dict[str, str] | None = None,
    **others: Any,
) -> Client:
    return channel.client(config=RegistryConfig(credentials=docker_config(server, **(entry or {}))), **others)


def challenge(server: ScriptedServer, **others: str) -> Response:
    extra = "".join(f',{key}="{value}"' for key, value in others.items())
    return Response(401, {"WWW-Authenticate": f'Bearer realm="{server.origin}/token",service="reg"{extra}'})


def guarded(server: ScriptedServer, token: str, good: Response) -> Any:
    def answer(request: Received) -> Response:
        return good if request.header("Authorization") == f"Bearer {token}" else challenge(server)

    return answer


def token_answer(token: str, **members: Any) -> Response:
    return Response(200, {"Content-Type": "application/json"}, json.dumps({"token": token, **members}).encode())


async def test_the_first_request_carries_no_login_and_its_challenge_is_followed():
    async with ScriptedServer() as server, client_for(server) as client:
        server.expect("HEAD", MANIFEST, guarded(server, "t1", Response(200, headers_of(DESCRIPTOR))), times=2)
        server.expect("GET", "/token?service=reg&scope=repository:acme/app:pull", token_answer("t1"))
        assert await client.manifests.head(repository(server).with_digest(DESCRIPTOR.digest)) == DESCRIPTOR
        first, token, second = server.received
        assert first.header("Authorization") is None
        assert token.header("Authorization") == "Basic " + base64.b64encode(b"robot:secret").decode()
        assert second.header("Authorization") == "Bearer t1"


@pytest.mark.parametrize("separator", [" ", ";", " ; ", ", "], ids=repr)
@pytest.mark.parametrize("equals", ["=", " = "], ids=repr)
async def test_a_challenge_may_separate_its_parameters_in_another_way(separator: str, equals: str):
    async with ScriptedServer() as server, client_for(server) as client:
        text = separator.join(
            f'{name}{equals}"{value}"' for name, value in (("realm", f"{server.origin}/token"), ("service", "reg"))
        )
        server.expect("HEAD", MANIFEST, Response(401, {"WWW-Authenticate": f"Bearer {text}"}))
        server.expect("GET", "/token?service=reg&scope=repository:acme/app:pull", token_answer("t1"))
        server.expect("HEAD", MANIFEST, Response(200, headers_of(DESCRIPTOR)))
        assert await client.manifests.head(repository(server).with_digest(DESCRIPTOR.digest)) == DESCRIPTOR
        assert server.received[-1].header("Authorization") == "Bearer t1"


@pytest.mark.parametrize("separator", [" ", "; "], ids=repr)
async def test_a_realm_elsewhere_gets_no_login_however_it_is_separated(separator: str):
    async with ScriptedServer() as server, ScriptedServer() as other, client_for(server) as client:
        text = f'Bearer service="reg"{separator}realm="{other.origin}/token"'
        server.expect("HEAD", MANIFEST, Response(401, {"WWW-Authenticate": text}))
        other.expect("GET", "/token?service=reg&scope=repository:acme/app:pull", token_answer("t1"))
        server.expect("HEAD", MANIFEST, Response(200, headers_of(DESCRIPTOR)))
        await client.manifests.head(repository(server).with_digest(DESCRIPTOR.digest))
        assert "Authorization" not in other.transcript
        assert "robot" not in other.transcript


async def test_many_requests_share_one_token_request_per_scope():
    async with ScriptedServer() as server, client_for(server) as client:
        server.expect("HEAD", MANIFEST, guarded(server, "t1", Response(200, headers_of(DESCRIPTOR))), times=None)
        server.expect("GET", "/token?service=reg&scope=repository:acme/app:pull", token_answer("t1"))
        async with asyncio.TaskGroup() as group:
            for _ in range(40):
                group.create_task(client.manifests.head(repository(server).with_digest(DESCRIPTOR.digest)))
        assert client.stats.token_requests == 1
        assert client.stats.logins_refused == 1  # one request went first, the others waited for its challenge


async def test_an_announced_write_gets_one_token_for_pull_and_push():
    small, content = blob(b"{}")
    async with ScriptedServer() as server, client_for(server) as client:
        client.announce_writes([repository(server)])
        server.expect("HEAD", f"/v2/acme/app/blobs/{small.digest}", guarded(server, "t", Response(404)), times=2)
        server.expect("GET", "/token?service=reg&scope=repository:acme/app:pull,push", token_answer("t"))
        server.expect("POST", "/v2/acme/app/blobs/uploads/", guarded(server, "t", Response(202, {"Location": "/u"})))
        server.expect("PUT", f"/u?digest={small.digest}", guarded(server, "t", Response(201)))
        assert not await client.blobs(repository(server)).has(small)
        await client.blobs(repository(server)).write(small, body_of(content))


async def test_a_token_is_replaced_before_it_expires():
    clock = JumpingClock()
    async with ScriptedServer() as server, client_for(server, clock=clock) as client:
        server.expect("HEAD", MANIFEST, challenge(server))
        server.expect("HEAD", MANIFEST, Response(200, headers_of(DESCRIPTOR)), times=3)
        server.expect("GET", TOKEN_TARGET, token_answer("t1", expires_in=300), regex=True)
        server.expect("GET", TOKEN_TARGET, token_answer("t2", expires_in=300), regex=True)
        reference = repository(server).with_digest(DESCRIPTOR.digest)
        await client.manifests.head(reference)
        clock.time += 200
        await client.manifests.head(reference)
        clock.time += 75  # 275 of 300 s: within a tenth of its end
        await client.manifests.head(reference)
        assert [r.header("Authorization") for r in server.sent("HEAD")] == [None, "Bearer t1", "Bearer t1", "Bearer t2"]


async def test_a_token_that_would_expire_during_a_long_body_is_replaced_before_it(channel: Channel):
    clock = JumpingClock()
    content = bytes(3_000_000)
    layer, _ = blob(content)
    async with channel.server() as server, client_for(server, channel, clock=clock) as client:
        server.expect("POST", "/v2/acme/app/blobs/uploads/", challenge(server))
        server.expect("POST", "/v2/acme/app/blobs/uploads/", Response(202, {"Location": "/u"}))
        server.expect("PUT", f"/u?digest={layer.digest}", 201)
        server.expect("GET", TOKEN_TARGET, token_answer("t1", expires_in=60), regex=True)
        server.expect("GET", TOKEN_TARGET, token_answer("t2", expires_in=60), regex=True)

        async def slow_reader():
            yield content

        original = clock.now

        def later() -> float:
            # Between POST and PUT the token has aged: still valid for a request, not for a body.
            return original() + (49.9 if len(server.sent("POST")) == 2 else 0)

        clock.now = later  # type: ignore[method-assign]  # a clock is what this test bends
        await client.blobs(repository(server)).write(layer, slow_reader)
        assert server.sent("PUT")[0].header("Authorization") == "Bearer t2"


async def test_a_refused_token_is_replaced_once_and_then_it_is_an_error():
    async with ScriptedServer() as server, client_for(server) as client:
        server.expect("HEAD", MANIFEST, challenge(server, error="invalid_token"), times=None)
        server.expect("GET", TOKEN_TARGET, token_answer("t"), times=None, regex=True)
        with pytest.raises(AuthError, check=lambda error: bool(error.hint)):
            await client.manifests.head(repository(server).with_digest(DESCRIPTOR.digest))
        assert len(server.sent("HEAD")) <= 3


async def test_a_late_refusal_does_not_drop_the_next_token():
    held = asyncio.Event()
    async with ScriptedServer() as server, client_for(server) as client:
        server.expect("HEAD", MANIFEST, guarded(server, "t1", Response(404)), times=2)
        server.expect("GET", TOKEN_TARGET, token_answer("t1"), regex=True)
        reference = repository(server).with_digest(DESCRIPTOR.digest)
        await client.manifests.head(reference)
        server.expect("GET", TOKEN_TARGET, token_answer("t2"), regex=True)
        refusal = challenge(server)
        late = server.expect("HEAD", MANIFEST, Response(refusal.status, refusal.headers, hold=held))
        server.expect("HEAD", MANIFEST, refusal)
        server.expect("HEAD", MANIFEST, guarded(server, "t2", Response(404)), times=2)
        async with asyncio.TaskGroup() as group:
            group.create_task(client.manifests.head(reference))
            await late.came.wait()
            assert await client.manifests.head(reference) is None
            held.set()
        assert client.stats.token_requests == 2


async def test_a_login_that_expires_during_a_body_restarts_it_after_a_look(channel: Channel):
    content = bytes(300_000)
    layer, _ = blob(content)
    async with channel.server() as server, client_for(server, channel) as client:
        server.expect("POST", "/v2/acme/app/blobs/uploads/", challenge(server))
        server.expect("POST", "/v2/acme/app/blobs/uploads/", Response(202, {"Location": "/u"}), times=2)
        server.expect("PUT", f"/u?digest={layer.digest}", challenge(server))
        server.expect("HEAD", f"/v2/acme/app/blobs/{layer.digest}", 404)
        server.expect("PUT", f"/u?digest={layer.digest}", 201)
        server.expect("GET", TOKEN_TARGET, token_answer("t"), times=2, regex=True)
        await client.blobs(repository(server)).write(layer, body_of(content))


async def test_a_body_that_is_refused_with_every_new_token_is_a_refused_login_in_the_registrys_words():
    content = bytes(300_000)
    layer, _ = blob(content)
    async with ScriptedServer() as server, client_for(server) as client:
        refused = challenge(server)
        refused = Response(401, refused.headers, errors("UNAUTHORIZED", "the robot may not push here"))
        server.expect("POST", "/v2/acme/app/blobs/uploads/", challenge(server))
        server.expect("POST", "/v2/acme/app/blobs/uploads/", Response(202, {"Location": "/u"}), times=3)
        server.expect("PUT", f"/u?digest={layer.digest}", refused, times=3)
        server.expect("HEAD", f"/v2/acme/app/blobs/{layer.digest}", 404, times=2)
        server.expect("GET", TOKEN_TARGET, token_answer("t"), times=None, regex=True)
        with pytest.raises(AuthError, match="the robot may not push here"):
            await client.blobs(repository(server)).write(layer, body_of(content))


async def test_a_basic_challenge_gets_basic_credentials():
    async with ScriptedServer() as server, client_for(server) as client:
        server.expect("HEAD", MANIFEST, Response(401, {"WWW-Authenticate": 'Basic realm="x"'}))
        server.expect("HEAD", MANIFEST, Response(200, headers_of(DESCRIPTOR)), times=2)
        reference = repository(server).with_digest(DESCRIPTOR.digest)
        await client.manifests.head(reference)
        await client.manifests.head(reference)
        basic = "Basic " + base64.b64encode(b"robot:secret").decode()
        assert [r.header("Authorization") for r in server.received] == [None, basic, basic]


async def test_wrong_basic_credentials_are_a_permanent_error():
    async with ScriptedServer() as server, client_for(server) as client:
        server.expect("HEAD", MANIFEST, Response(401, {"WWW-Authenticate": 'Basic realm="x"'}), times=2)
        with pytest.raises(AuthError):
            await client.manifests.head(repository(server).with_digest(DESCRIPTOR.digest))


async def test_without_credentials_the_hint_names_docker_login():
    async with ScriptedServer() as server, make_client() as client:
        server.expect("HEAD", MANIFEST, Response(401, {"WWW-Authenticate": 'Basic realm="x"'}), times=None)
        with pytest.raises(AuthError, check=lambda error: "docker login" in error.hint):
            await client.manifests.head(repository(server).with_digest(DESCRIPTOR.digest))


async def test_a_missing_login_is_reported_even_if_the_token_service_cannot_be_reached():
    challenged = Response(401, {"WWW-Authenticate": 'Bearer realm="https://auth.invalid/token",service="x"'})
    async with ScriptedServer() as server, make_client() as client:
        client.announce_writes([repository(server)])
        server.expect("GET", "/v2/acme/app/tags/list?n=1", challenged)
        with pytest.raises(AuthError, match="requires a login, and none is stored"):
            await client.listings.has_repository(repository(server))
        assert client.stats.retries == 0


async def test_an_identity_token_is_exchanged_by_post_and_its_successor_is_kept():
    entry = {"identitytoken": "refresh-1"}
    async with ScriptedServer() as server, client_for(server, entry=entry) as client:
        server.expect("HEAD", MANIFEST, guarded(server, "t1", Response(200, headers_of(DESCRIPTOR))), times=2)
        server.expect("HEAD", "/v2/acme/other/manifests/v1", guarded(server, "t1", Response(404)))
        server.expect("POST", "/token", token_answer("t1", refresh_token="refresh-2"), times=2)
        await client.manifests.head(repository(server).with_digest(DESCRIPTOR.digest))
        await client.manifests.head(repository(server, "acme/other").with_tag("v1"))
        first, second = server.sent("POST")
        assert b"grant_type=refresh_token&refresh_token=refresh-1" in first.body
        assert b"refresh_token=refresh-2" in second.body
        assert first.header("Authorization") is None


async def test_a_registry_token_is_sent_unchanged():
    async with ScriptedServer() as server, client_for(server, entry={"registrytoken": "ready"}) as client:
        server.expect("HEAD", MANIFEST, Response(200, headers_of(DESCRIPTOR)))
        await client.manifests.head(repository(server).with_digest(DESCRIPTOR.digest))
        assert server.received[0].header("Authorization") == "Bearer ready"


async def test_a_401_without_a_challenge_uses_the_challenge_of_v2():
    async with ScriptedServer() as server, client_for(server) as client:
        server.expect("HEAD", MANIFEST, 401)
        server.expect("GET", "/v2/", challenge(server))
        server.expect("GET", TOKEN_TARGET, token_answer("t"), regex=True)
        server.expect("HEAD", MANIFEST, Response(200, headers_of(DESCRIPTOR)))
        await client.manifests.head(repository(server).with_digest(DESCRIPTOR.digest))


async def test_a_scope_that_only_the_challenge_names_is_requested():
    async with ScriptedServer() as server, client_for(server) as client:
        scope = "repository:acme/app:metadata_read"
        server.expect("HEAD", MANIFEST, challenge(server, scope=scope), times=2)
        server.expect("GET", "/token?service=reg&scope=repository:acme/app:pull", token_answer("t1"))
        server.expect("GET", f"/token?service=reg&scope=repository:acme/app:pull&scope={scope}", token_answer("t2"))
        server.expect("HEAD", MANIFEST, guarded(server, "t2", Response(200, headers_of(DESCRIPTOR))))
        await client.manifests.head(repository(server).with_digest(DESCRIPTOR.digest))


async def test_a_mount_requests_scopes_for_both_repositories_the_target_first():
    layer, _ = blob()
    target = f"/v2/acme/app/blobs/uploads/?mount={layer.digest}&from=acme/base"
    scopes = "scope=repository:acme/app:pull,push&scope=repository:acme/base:pull"
    async with ScriptedServer() as server, client_for(server) as client:
        server.expect("POST", target, challenge(server))
        server.expect("GET", f"/token?service=reg&{scopes}", token_answer("t"))
        server.expect("POST", target, Response(201, {"Docker-Content-Digest": str(layer.digest)}))
        expect_proof(server, source="acme/base")
        assert await client.blobs(repository(server)).mount(layer, client.blobs(repository(server, "acme/base")))


async def test_a_token_service_that_refuses_the_mount_scope_means_no_mount():
    layer, _ = blob()
    target = f"/v2/acme/app/blobs/uploads/?mount={layer.digest}&from=acme/base"
    async with ScriptedServer() as server, client_for(server) as client:
        server.expect("POST", target, challenge(server))
        server.expect("GET", TOKEN_TARGET, 403, regex=True)
        assert not await client.blobs(repository(server)).mount(layer, client.blobs(repository(server, "acme/base")))


async def test_a_deletion_tries_each_scope_that_registries_expect():
    async with ScriptedServer() as server, client_for(server) as client:
        server.expect("DELETE", "/v2/acme/app/manifests/v1", challenge(server))
        server.expect("GET", "/token?service=reg&scope=repository:acme/app:pull,push,delete", 403)
        server.expect("GET", "/token?service=reg&scope=repository:acme/app:%2A", token_answer("t"))
        server.expect("DELETE", "/v2/acme/app/manifests/v1", 202)
        assert await client.manifests.delete(repository(server).with_tag("v1"))


async def test_cookies_are_never_sent_back():
    async with ScriptedServer() as server, make_client() as client:
        server.expect("HEAD", MANIFEST, Response(404, {"Set-Cookie": "sid=1; Path=/"}))
        server.expect("HEAD", MANIFEST, Response(404))
        for _ in range(2):
            await client.manifests.head(repository(server).with_digest(DESCRIPTOR.digest))
        assert all(request.header("Cookie") is None for request in server.received)


async def test_secrets_that_a_registry_or_its_token_service_sends_back_are_not_shown():
    async with (
        ScriptedServer() as server,
        client_for(server, entry={"username": "robot", "password": "s3cr3t"}) as client,
    ):
        server.expect("HEAD", MANIFEST, challenge(server))
        server.expect("GET", TOKEN_TARGET, Response(403, body=b"no: s3cr3t"), regex=True)
        with pytest.raises(AuthError) as refused:
            await client.manifests.head(repository(server).with_digest(DESCRIPTOR.digest))
        server.expect("GET", TOKEN_TARGET, token_answer("t0ken-t0ken"), regex=True)
        echo = json.dumps({"errors": [{"code": "DENIED", "message": "t0ken-t0ken of s3cr3t"}]}).encode()
        server.expect("HEAD", MANIFEST, Response(403, {"Content-Type": "t0ken-t0ken"}, b""))
        server.expect("GET", MANIFEST, Response(403, {"Content-Type": "application/json"}, echo))
        with pytest.raises(AuthError) as denied:
            await client.manifests.head(repository(server).with_digest(DESCRIPTOR.digest))
    for error in (refused.value, denied.value):
        assert "s3cr3t" not in message(error)
        assert "t0ken-t0ken" not in message(error)
    assert "*** of ***" in message(denied.value)
