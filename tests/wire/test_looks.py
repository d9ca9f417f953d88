"""Looking for a blob that will be pushed: by one POST on hosts known to support it, by HEAD on others."""

from __future__ import annotations

import asyncio

import pytest

from bakery.errors import RegistryError
from bakery.registry.client import Client
from tests.wire.channel import Channel
from tests.wire.making import blob, body_of, errors, expect_proof, make_client, repository
from tests.wire.script import Response, ScriptedServer

UPLOADS = "/v2/acme/app/blobs/uploads/"
CONFIG, CONFIG_BYTES = blob(b'{"os":"linux"}')
LAYER, LAYER_BYTES = blob(bytes(range(256)) * 2000)
OTHER, _ = blob(b"another layer")
FOUND = Response(200, {"Content-Length": str(LAYER.size)})


def asking(descriptor, path: str = "acme/app") -> str:
    return f"/v2/{path}/blobs/uploads/?mount={descriptor.digest}&from={path}"


def there(descriptor) -> Response:
    return Response(201, {"Location": f"/v2/acme/app/blobs/{descriptor.digest}"})


def look(descriptor, path: str = "acme/app") -> str:
    return f"/v2/{path}/blobs/{descriptor.digest}"


def opened(session: str) -> Response:
    return Response(202, {"Location": f"/up/{session}"})


def commit(session: str, descriptor) -> str:
    return f"/up/{session}?digest={descriptor.digest}"


async def push_config(server: ScriptedServer, client: Client, path: str = "acme/app") -> None:
    server.expect("POST", f"/v2/{path}/blobs/uploads/", opened("config"))
    server.expect("PUT", commit("config", CONFIG), 201)
    await client.blobs(repository(server, path)).write(CONFIG, body_of(CONFIG_BYTES))


async def test_one_post_looks_for_a_blob_and_opens_its_upload(channel: Channel):
    async with channel.server() as server, channel.client() as client:
        await push_config(server, client)
        server.expect("POST", asking(CONFIG), there(CONFIG))
        expect_proof(server)
        server.expect("POST", asking(LAYER), opened("layer"))
        server.expect("PUT", commit("layer", LAYER), 201)
        assert not await client.blobs(repository(server)).has(LAYER, else_write=True)
        await client.blobs(repository(server)).write(LAYER, body_of(LAYER_BYTES))
        server.expect("POST", asking(OTHER), there(OTHER))
        assert await client.blobs(repository(server)).has(OTHER, else_write=True)


async def test_a_blob_that_will_not_be_pushed_is_looked_for_by_head():
    async with ScriptedServer() as server, make_client() as client:
        await push_config(server, client)
        server.expect("HEAD", look(LAYER), FOUND)
        assert await client.blobs(repository(server)).has(LAYER)


async def test_head_is_used_until_a_mount_was_tried_with_a_pushed_blob():
    async with ScriptedServer() as server, make_client() as client:
        server.expect("HEAD", look(LAYER), 404)
        assert not await client.blobs(repository(server)).has(LAYER, else_write=True)
        await push_config(server, client)
        server.expect("HEAD", look(LAYER, "acme/new"), 404)
        assert not await client.blobs(repository(server, "acme/new")).has(LAYER, else_write=True)


async def test_a_host_is_tried_once_for_all_its_repositories():
    async with ScriptedServer() as server, make_client() as client:
        await push_config(server, client)
        await push_config(server, client, "acme/other")
        answered = asyncio.Event()
        trial = server.expect("POST", asking(CONFIG), Response(201, there(CONFIG).headers, hold=answered))
        expect_proof(server)
        asked = [server.expect("POST", asking(each), opened("x")) for each in (LAYER, OTHER)]
        asked.append(server.expect("POST", asking(LAYER, "acme/other"), opened("x")))
        async with asyncio.TaskGroup() as group:
            for where in ("acme/app", "acme/other"):
                group.create_task(client.blobs(repository(server, where)).has(LAYER, else_write=True))
            group.create_task(client.blobs(repository(server)).has(OTHER, else_write=True))
            await trial.came.wait()
            answered.set()
        assert all(line.met == 1 for line in asked)


async def test_a_session_for_an_existing_blob_is_closed_and_head_stays_in_use(channel: Channel):
    async with channel.server() as server, channel.client() as client:
        await push_config(server, client)
        server.expect("POST", asking(CONFIG), opened("stray"))
        server.expect("DELETE", "/up/stray", 204)
        server.expect("HEAD", look(LAYER), 404)
        server.expect("HEAD", look(OTHER), 404)
        for layer in (LAYER, OTHER):
            assert not await client.blobs(repository(server)).has(layer, else_write=True)
        server.expect("POST", UPLOADS, opened("layer"))
        server.expect("PUT", commit("layer", LAYER), 201)
        await client.blobs(repository(server)).write(LAYER, body_of(LAYER_BYTES))


WANTS_DELETE = 'Bearer realm="http://127.0.0.1:1/token",scope="repository:acme/app:delete",error="insufficient_scope"'
NOT_ENDED = {
    "not supported": Response(405),
    "not allowed": Response(401, {"WWW-Authenticate": WANTS_DELETE}),
    "broken": Response(500),
    "lost": Response(lose=True),
}


@pytest.mark.parametrize("answer", NOT_ENDED.values(), ids=NOT_ENDED)
async def test_a_stray_session_that_cannot_be_closed_is_left_without_another_login(answer):
    async with ScriptedServer() as server, make_client() as client:
        await push_config(server, client)
        server.expect("POST", asking(CONFIG), opened("stray"))
        server.expect("DELETE", "/up/stray", answer)
        server.expect("HEAD", look(LAYER), 404)
        assert not await client.blobs(repository(server)).has(LAYER, else_write=True)
        assert client.stats.token_requests == client.stats.retries == 0


async def test_a_stray_session_at_another_origin_is_left_alone():
    async with ScriptedServer() as server, ScriptedServer() as elsewhere, make_client() as client:
        await push_config(server, client)
        server.expect("POST", asking(CONFIG), Response(202, {"Location": f"{elsewhere.origin}/v2/acme/app"}))
        server.expect("HEAD", look(LAYER), 404)
        assert not await client.blobs(repository(server)).has(LAYER, else_write=True)


PROVES_NOTHING = {
    "201 that names no blob": Response(201),
    "201 that names another blob": there(OTHER),
    "202 without a session": Response(202),
    "202 with a session that is not a URL": Response(202, {"Location": "gopher:"}),
    "a web page": Response(200, {"Content-Type": "text/html"}, b"<html>"),
    "refused": Response(400, body=errors("UNSUPPORTED")),
    "denied": Response(403, body=errors("DENIED")),
    "login": Response(401),
    "absent": Response(404),
    "throttled": Response(429, {"Retry-After": "1"}),
    "broken": Response(500),
    "lost": Response(lose=True),
}


@pytest.mark.parametrize("answer", PROVES_NOTHING.values(), ids=PROVES_NOTHING)
async def test_any_other_response_to_the_trial_keeps_head_in_use(answer):
    async with ScriptedServer() as server, make_client() as client:
        await push_config(server, client)
        server.expect("POST", asking(CONFIG), answer)
        server.expect("GET", "/v2/", 401, times=None)
        server.expect("HEAD", look(LAYER), 404)
        server.expect("HEAD", look(OTHER), 404)
        for layer in (LAYER, OTHER):
            assert not await client.blobs(repository(server)).has(layer, else_write=True)


async def test_head_is_used_if_a_known_host_neither_has_the_blob_nor_opens_an_upload():
    async with ScriptedServer() as server, make_client() as client:
        await push_config(server, client)
        server.expect("POST", asking(CONFIG), there(CONFIG))
        expect_proof(server)
        server.expect("POST", asking(LAYER), Response(400, body=errors("UNSUPPORTED")))
        server.expect("HEAD", look(LAYER), FOUND)
        assert await client.blobs(repository(server)).has(LAYER, else_write=True)


async def test_a_201_that_names_no_blob_needs_a_look_on_a_known_host_too():
    async with ScriptedServer() as server, make_client() as client:
        await push_config(server, client)
        server.expect("POST", asking(CONFIG), there(CONFIG))
        expect_proof(server)
        server.expect("POST", asking(LAYER), 201)
        server.expect("HEAD", look(LAYER), 404, times=2)
        assert not await client.blobs(repository(server)).has(LAYER, else_write=True)


async def test_a_blob_in_doubt_is_looked_for_by_head():
    async with ScriptedServer() as server, make_client() as client:
        await push_config(server, client)
        server.expect("POST", asking(CONFIG), there(CONFIG))
        expect_proof(server)
        server.expect("POST", asking(LAYER), there(LAYER))  # which is false
        assert await client.blobs(repository(server)).has(LAYER, else_write=True)
        server.expect("HEAD", look(LAYER), 404)
        assert not await client.blobs(repository(server)).has(LAYER, else_write=True)


async def test_a_lost_response_is_settled_by_a_look_and_then_repeated(channel: Channel):
    async with channel.server() as server, channel.client() as client:
        await push_config(server, client)
        server.expect("POST", asking(CONFIG), there(CONFIG))
        expect_proof(server)
        server.expect("POST", asking(LAYER), Response(lose=True))
        server.expect("HEAD", look(LAYER), 404)
        server.expect("POST", asking(LAYER), opened("layer"))
        server.expect("PUT", commit("layer", LAYER), 201)
        assert not await client.blobs(repository(server)).has(LAYER, else_write=True)
        await client.blobs(repository(server)).write(LAYER, body_of(LAYER_BYTES))


@pytest.mark.parametrize("status", [400, 405, 501])
async def test_a_blob_is_uploaded_if_the_registry_supports_no_head(status: int):
    async with ScriptedServer() as server, make_client() as client:
        server.expect("HEAD", look(LAYER), status)
        assert not await client.blobs(repository(server)).has(LAYER)


@pytest.mark.parametrize("status", [204, 206, 402, 406, 414, 416])
async def test_a_look_with_any_other_result_means_that_the_blob_is_uploaded(status: int):
    async with ScriptedServer() as server, make_client() as client:
        await push_config(server, client)
        server.expect("POST", asking(CONFIG), 403)
        server.expect("HEAD", look(LAYER), status)
        assert not await client.blobs(repository(server)).has(LAYER, else_write=True)


async def test_a_blob_is_uploaded_after_three_looks_that_fail_with_500():
    async with ScriptedServer() as server, make_client() as client:
        await push_config(server, client)
        server.expect("POST", asking(CONFIG), 403)
        server.expect("HEAD", look(LAYER), 500, times=3)
        assert not await client.blobs(repository(server)).has(LAYER, else_write=True)


async def test_a_refused_look_at_a_source_is_an_error():
    async with ScriptedServer() as server, make_client() as client:
        server.expect("HEAD", look(LAYER), 402)
        with pytest.raises(RegistryError, match="cannot look for blob"):
            await client.blobs(repository(server)).has(LAYER)
