"""Redirected writes: 307 and 308 keep method and body, and no login leaves the registry's origin."""

from __future__ import annotations

import asyncio
import json

import pytest

from bakery.errors import RegistryError
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import Repository
from bakery.registry.client import Client
from bakery.registry.config import RegistryConfig
from bakery.registry.credentials import CredentialSources
from bakery.registry.http.failure import UnsafeTarget
from tests.wire.channel import Channel
from tests.wire.making import blob, body_of, make_client, repository
from tests.wire.script import Response, ScriptedServer

UPLOADS = "/v2/acme/app/blobs/uploads/"
MANIFEST = "/v2/acme/app/manifests/"
LAYER, CONTENT = blob(bytes(range(256)) * 8000)  # 2 MB: sent in pieces
SMALL, SMALL_CONTENT = blob(b"{}")
RAW = b'{"schemaVersion":2,"manifests":[]}'
INDEX = RawManifest(Descriptor.of(RAW, mt.OCI_INDEX), RAW)


def redirect(status: int, location: str) -> Response:
    return Response(status, {"Location": location})


def opened(location: str) -> Response:
    return Response(202, {"Location": location})


async def write(client: Client, server: ScriptedServer, descriptor: Descriptor = LAYER, content: bytes = CONTENT):
    await client.blobs(repository(server)).write(descriptor, body_of(content))


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize(("descriptor", "content"), [(LAYER, CONTENT), (SMALL, SMALL_CONTENT)], ids=["large", "small"])
async def test_every_step_of_an_upload_may_be_redirected(channel: Channel, status: int, descriptor, content):
    async with channel.server("storage.example") as other, channel.server() as server, channel.client() as client:
        server.expect("POST", UPLOADS, redirect(status, f"{other.origin}/region/uploads"))
        other.expect("POST", "/region/uploads", opened("session?state=1"))
        other.expect("PUT", f"/region/session?state=1&digest={descriptor.digest}", redirect(status, "/moved"))
        other.expect("PUT", "/moved", 201)
        await write(client, server, descriptor, content)
        assert [request.body for request in other.sent("PUT")] == [content, content]


async def test_a_redirect_may_arrive_before_the_body_was_sent(channel: Channel):
    bodies: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
            if head.startswith(b"POST"):
                writer.write(b"HTTP/1.1 202 Accepted\r\nLocation: /session\r\nContent-Length: 0\r\n\r\n")
            elif head.startswith(b"PUT /session"):
                writer.write(b"HTTP/1.1 307 Moved\r\nLocation: /moved\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
                await reader.readexactly(length)  # a server that closes here may reset its own response away
            else:
                bodies.append(await reader.readexactly(length))
                writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

    async with channel.raw_server(serve) as host, channel.client() as client:
        await client.blobs(Repository(host, "acme/app")).write(LAYER, body_of(CONTENT))
    assert bodies == [CONTENT]


async def test_a_manifest_is_put_where_a_redirect_leads(channel: Channel):
    async with channel.server("storage.example") as other, channel.server() as server, channel.client() as client:
        server.expect("PUT", f"{MANIFEST}1.0", redirect(308, f"{other.origin}/m"))
        other.expect("PUT", "/m", 201)
        await client.manifests.put(repository(server).with_tag("1.0"), INDEX)
        (put,) = other.received
        assert (put.body, put.header("Content-Type")) == (RAW, mt.OCI_INDEX)


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_a_redirect_that_would_turn_a_write_into_a_get_is_not_followed(channel: Channel, status: int):
    async with channel.server() as server, channel.client() as client:
        server.expect("POST", UPLOADS, redirect(status, "/elsewhere"))
        with pytest.raises(RegistryError, match=f"responded {status} without a session"):
            await write(client, server)


def config_for(server: ScriptedServer) -> RegistryConfig:
    auths = {server.host: {"username": "baker", "password": "canary"}}
    return RegistryConfig(credentials=CredentialSources(inline=json.dumps({"auths": auths})))


async def test_no_login_and_no_challenge_follow_a_write_to_another_origin():
    async with ScriptedServer() as other, ScriptedServer() as server:
        async with make_client(config=config_for(server)) as client:
            server.expect("POST", UPLOADS, Response(401, {"WWW-Authenticate": "Basic realm=x"}))
            server.expect("POST", UPLOADS, redirect(307, f"{other.origin}/region/uploads"))
            other.expect("POST", "/region/uploads", opened("/session"))
            other.expect("PUT", f"/session?digest={SMALL.digest}", 201)
            await write(client, server, SMALL, SMALL_CONTENT)
        assert server.sent("POST")[1].header("Authorization") is not None
        assert [request.header("Authorization") for request in other.received] == [None, None]


async def test_another_origin_may_name_a_session_of_this_repository_only():
    for session in ("one", "../../../manifests/1.0", "a/b", "%2e%2e/x"):
        async with ScriptedServer() as other, ScriptedServer() as server, make_client() as client:
            server.expect("POST", UPLOADS, redirect(307, f"{other.origin}/uploads"))
            other.expect("POST", "/uploads", opened(f"{server.origin}{UPLOADS}{session}"))
            if session == "one":
                server.expect("PUT", f"{UPLOADS}one?digest={SMALL.digest}", 201)
                await write(client, server, SMALL, SMALL_CONTENT)
            else:
                with pytest.raises(UnsafeTarget, match="outside the repository"):
                    await write(client, server, SMALL, SMALL_CONTENT)
