"""Documents by URL: what other rooms use of registry.http."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bakery.errors import BakeryError, ConnectionFailed, InvalidContent
from bakery.registry.http.config import HttpConfig, Proxies
from bakery.registry.http.failure import NotConnected, UnsafeTarget
from bakery.registry.http.fetch import fetch
from bakery.registry.http.message import Stats
from bakery.registry.http.transport import Transport
from tests.wire.attacks import PUBLIC, Tls, as_if_public, names
from tests.wire.script import Response, ScriptedServer

BODY = b'{"version": "1.2.3"}'


@contextlib.asynccontextmanager
async def transport(**config: Any) -> AsyncIterator[Transport]:
    async with Transport(HttpConfig(**config), Stats(), lookup=names(api_example=PUBLIC), classify=as_if_public) as one:
        yield one


async def test_a_document_is_read_with_the_given_headers():
    async with ScriptedServer() as server, transport() as one:
        server.expect("GET", "/v1/versions?all=1", Response(200, body=BODY))
        response = await fetch(
            one, f"{server.origin}/v1/versions?all=1", headers={"Accept": "text/json"}, limit_bytes=100
        )
        assert (response.status, response.body) == (200, BODY)
        assert server.received[0].header("Accept") == "text/json"


async def test_the_status_of_a_head_is_for_the_caller_to_judge():
    async with ScriptedServer() as server, transport() as one:
        server.expect("HEAD", "/package", 404)
        assert (await fetch(one, f"{server.origin}/package", method="HEAD", limit_bytes=0)).status == 404


async def test_a_longer_body_than_allowed_is_an_error():
    async with ScriptedServer() as server, transport() as one:
        server.expect("GET", "/", Response(200, body=BODY))
        with pytest.raises(InvalidContent, match="longer than the 10 bytes"):
            await fetch(one, server.origin, limit_bytes=10)


async def test_redirects_are_followed_and_other_origins_get_no_authorization():
    async with ScriptedServer() as server, ScriptedServer() as other, transport() as one:
        server.expect("GET", "/a", Response(302, {"Location": f"{other.origin}/b"}))
        other.expect("GET", "/b", Response(307, {"Location": f"{server.origin}/c"}))
        server.expect("GET", "/c", Response(200, body=BODY))
        headers = {"authorization": "Bearer canary", "Accept": "*/*"}
        assert (await fetch(one, f"{server.origin}/a", headers=headers, limit_bytes=100)).body == BODY
        assert [request.header("Authorization") for request in server.received] == ["Bearer canary", None]
        assert "canary" not in other.transcript


async def test_a_redirect_loop_is_an_error():
    async with ScriptedServer() as server, transport() as one:
        server.expect("GET", "/a", Response(302, {"Location": "/a"}), times=None)
        with pytest.raises(UnsafeTarget, match="more than 10 redirects"):
            await fetch(one, f"{server.origin}/a", limit_bytes=100)


@pytest.mark.parametrize("location", ["http://api.example/", "https://127.0.0.1/", "https://169.254.169.254/latest"])
async def test_a_public_server_cannot_redirect_to_plain_http_or_internal_addresses(tls: Tls, location: str):
    name = "api.example"
    server = ScriptedServer(tls=tls.server(name), name=name, bind=PUBLIC)
    async with server, transport(ca_file=tls.file) as one:
        server.expect("GET", "/", Response(302, {"Location": location}))
        with pytest.raises(UnsafeTarget):
            await fetch(one, server.origin, limit_bytes=100)


async def test_a_proxy_and_its_refusal_are_reported():
    async with ScriptedServer() as proxy:
        proxy.expect("CONNECT", "api.example:443", 403)
        async with transport(proxies=Proxies.from_environment({"HTTPS_PROXY": proxy.origin})) as one:
            with pytest.raises(NotConnected, match=r"cannot read versions https://api\.example/: no connection"):
                await fetch(one, "https://api.example/", limit_bytes=100, action="read versions")


async def test_a_lost_response_is_transient_and_nothing_is_retried():
    async with ScriptedServer() as server, transport() as one:
        server.expect("GET", "/", Response(lose=True))
        with pytest.raises(ConnectionFailed) as caught:
            await fetch(one, server.origin, limit_bytes=100)
        assert caught.value.transient
        assert len(server.received) == 1


async def test_text_that_is_not_a_url_is_an_error():
    async with transport() as one:
        with pytest.raises(BakeryError, match="unsafe URL"):
            await fetch(one, "api.example/versions", limit_bytes=100)
