"""Proxies from the environment: which requests use them, and what they see."""

from __future__ import annotations

import asyncio
import base64
import ssl
from pathlib import Path

import pytest

from bakery.errors import BakeryError
from bakery.oci.reference import Repository
from bakery.registry.config import RegistryConfig
from bakery.registry.http.address import Reach
from bakery.registry.http.config import Proxies
from bakery.registry.http.failure import Denied, Untrusted
from bakery.retry import RetryPolicy
from tests.wire.attacks import Tls, login, names
from tests.wire.making import blob, make_client, repository
from tests.wire.script import Response, ScriptedServer, raw_server
from tests.wire.tunnels import LoopbackProxy

LAYER, CONTENT = blob(b"some layer" * 1000)
BLOB = f"/v2/acme/app/blobs/{LAYER.digest}"
ONCE = RetryPolicy(max_attempts=1, attempts_were_set=True)


def proxies(url: str, *, bypass: str = "") -> Proxies:
    return Proxies.from_environment({"HTTP_PROXY": url, "HTTPS_PROXY": url, "NO_PROXY": bypass})


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


class Tunnel(LoopbackProxy):
    """Opens a tunnel for whatever head of a request it gets."""

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(port, tls=tls)
        self.asked: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://robot:pr%40xy@{self.host}"

    async def opens(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        return True


async def test_https_goes_through_a_tunnel_and_the_proxy_sees_neither_login_nor_path(tmp_path: Path):
    tls = Tls(tmp_path)
    async with (
        ScriptedServer(tls=tls.server("registry.example"), name="registry.example") as a,
        Tunnel(a.port) as tunnel,
    ):
        config = RegistryConfig(ca_file=tls.file, credentials=login(a.host), proxies=proxies(tunnel.url))
        async with make_client(config=config, lookup=names()) as client:  # no name is resolved here
            refusal = {
                "WWW-Authenticate": "Basic realm=x",
                "Content-Length": "0",
            }  # keeps the connection
            a.expect("HEAD", BLOB, Response(401, refusal))
            a.expect("HEAD", BLOB, 404)
            assert not await client.blobs(repository(a)).has(LAYER)
        assert all(request.header("Proxy-Authorization") is None for request in a.received)
        (asked,) = tunnel.asked
        assert asked.startswith(b"CONNECT registry.example:")
        assert base64.b64encode(b"robot:pr@xy") in asked
        assert b"Authorization: Basic " + base64.b64encode(b"robot:canary") not in asked
        assert BLOB.encode() not in asked


async def test_plain_http_through_a_proxy_uses_the_whole_url():
    async with ScriptedServer() as proxy:
        url = f"http://robot:pw@{proxy.host}"
        config = RegistryConfig(plain_http=frozenset({"reg.example"}), proxies=proxies(url))
        async with make_client(config=config, lookup=names()) as client:
            proxy.expect("HEAD", f"http://reg.example{BLOB}", 404)
            assert not await client.blobs(Repository("reg.example", "acme/app")).has(LAYER)
        expected = "Basic " + base64.b64encode(b"robot:pw").decode()
        assert proxy.received[0].header("Proxy-Authorization") == expected


async def test_loopback_and_hosts_in_no_proxy_are_reached_directly():
    async with ScriptedServer() as a, ScriptedServer() as proxy:
        async with make_client(config=RegistryConfig(proxies=proxies(proxy.origin))) as client:
            a.expect("HEAD", BLOB, 404)
            assert not await client.blobs(repository(a)).has(LAYER)
        host = f"reg.example:{a.port}"
        config = RegistryConfig(plain_http=frozenset({host}), proxies=proxies(proxy.origin, bypass=".example"))
        async with make_client(config=config, lookup=names(reg_example="127.0.0.1")) as client:
            a.expect("HEAD", BLOB, 404)
            assert not await client.blobs(Repository(host, "acme/app")).has(LAYER)
        assert proxy.connections == 0


async def test_a_proxy_does_not_bypass_the_address_policy_for_literals(tmp_path: Path):
    tls = Tls(tmp_path)
    async with (
        ScriptedServer(tls=tls.server("registry.example"), name="registry.example") as a,
        Tunnel(a.port) as tunnel,
    ):
        config = RegistryConfig(ca_file=tls.file, proxies=proxies(tunnel.url))
        async with make_client(config=config, lookup=names(), policy=ONCE, classify=lambda _: Reach.PUBLIC) as client:
            for target in (
                "https://169.254.169.254/x",
                "https://localhost/x",
                "https://10.0.0.1/x",
                "http://b.example/x",
            ):
                a.expect("GET", BLOB, Response(307, {"Location": target}))
                with pytest.raises(BakeryError, match=r"redirects to a|from https to http"):
                    await anext(client.blobs(repository(a)).read(LAYER))
        assert len(tunnel.asked) <= 4
        assert all(asked.startswith(b"CONNECT registry.example:") for asked in tunnel.asked)


async def test_a_proxy_variable_of_the_process_is_not_used_unless_configured(monkeypatch: pytest.MonkeyPatch):
    async with ScriptedServer() as a, ScriptedServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.origin)
        monkeypatch.setenv("http_proxy", proxy.origin)
        async with make_client() as client:
            a.expect("HEAD", BLOB, 404)
            assert not await client.blobs(repository(a)).has(LAYER)
        assert proxy.connections == 0


@pytest.mark.parametrize("first_bytes", [b"", b"\x16"], ids=["silence", "an unfinished record"])
async def test_closing_ends_at_once_after_a_handshake_in_a_tunnel_was_cancelled(first_bytes: bytes):
    tunnelled = asyncio.Event()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + first_bytes)
        await reader.read(1)  # of the handshake
        tunnelled.set()
        await asyncio.Event().wait()

    async with raw_server(proxy) as host:
        config = RegistryConfig(proxies=proxies(f"http://{host}"))
        async with asyncio.timeout(5):
            async with make_client(config=config) as client:
                asking = asyncio.create_task(client.blobs(Repository("registry.example", "acme/app")).has(LAYER))
                await tunnelled.wait()
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking


async def test_a_tunnel_through_a_proxy_over_tls_hides_both_logins(tls: Tls):
    async with ScriptedServer(tls=tls.server("registry.example"), name="registry.example") as a:
        tunnel = Tunnel(a.port, tls=tls.server("proxy.example"))
        async with tunnel:
            url = tunnel.url.replace("http://", "https://").replace("127.0.0.1", "proxy.example")
            config = RegistryConfig(ca_file=tls.file, credentials=login(a.host), proxies=proxies(url))
            async with make_client(config=config, lookup=names(proxy_example="127.0.0.1")) as client:
                large = blob(bytes(3 << 20))
                expected = f"/v2/acme/app/blobs/{large[0].digest}"
                a.expect("GET", expected, Response(200, body=large[1]), times=2)
                for _ in range(2):
                    async for _step in client.blobs(repository(a)).fetch(large[0], lambda *_: None):
                        pass
        assert len(tunnel.asked) == 1
        assert base64.b64encode(b"robot:pr@xy") in tunnel.asked[0]
        assert all(request.header("Proxy-Authorization") is None for request in a.received)


async def test_a_proxy_with_an_unknown_authority_is_named_with_its_own_hint(tls: Tls):
    tunnel = Tunnel(1, tls=tls.server("proxy.example"))
    async with tunnel:
        url = tunnel.url.replace("http://", "https://").replace("127.0.0.1", "proxy.example")
        config = RegistryConfig(proxies=proxies(url))
        async with make_client(config=config, lookup=names(proxy_example="127.0.0.1")) as client:
            with pytest.raises(
                Untrusted, match=r"the proxy https://proxy\.example:\d+ cannot be trusted: .*certificate"
            ) as caught:
                await client.blobs(Repository("registry.example", "acme/app")).has(LAYER)
            assert client.stats.retries == 0
    assert "BAKERY_PROXY_CA_FILE" in caught.value.hint


async def test_a_proxy_that_speaks_plain_http_has_the_hint_to_name_it_so():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with (
        raw_server(serve) as host,
        make_client(config=RegistryConfig(proxies=proxies(f"https://{host}"))) as client,
    ):
        with pytest.raises(Untrusted, match="the TLS handshake with the proxy") as caught:
            await client.blobs(Repository("registry.example", "acme/app")).has(LAYER)
    assert "write its address as http://" in caught.value.hint


DENIALS = {  # the proxy's URL before its host, its status, the hint
    "a login is required": ("http://", 407, "write its address as http://USER:PASSWORD@HOST:PORT in HTTPS_PROXY"),
    "the login is wrong": ("http://robot:pass@", 407, "correct the user name and password in HTTPS_PROXY"),
    "its rules": ("http://", 403, "ask those who run the proxy to allow registry.example, or name it in NO_PROXY"),
}


@pytest.mark.parametrize(("start", "status", "hint"), DENIALS.values(), ids=DENIALS)
async def test_a_proxy_that_denies_is_named_at_once_with_what_to_do(start: str, status: int, hint: str):
    async with ScriptedServer() as proxy:
        proxy.expect("CONNECT", "registry.example:443", status)
        config = RegistryConfig(proxies=proxies(f"{start}{proxy.host}"))
        async with make_client(config=config) as client:
            with pytest.raises(Denied, match=f"the proxy {proxy.origin} responds {status}") as caught:
                await client.blobs(Repository("registry.example", "acme/app")).has(LAYER)
            assert client.stats.retries == 0
    assert caught.value.hint == hint


async def test_a_407_for_a_registry_of_plain_http_is_the_proxys():
    async with ScriptedServer() as proxy:
        proxy.expect("HEAD", f"http://registry.example{BLOB}", 407)
        config = RegistryConfig(proxies=proxies(proxy.origin), plain_http=frozenset({"registry.example"}))
        async with make_client(config=config) as client:
            with pytest.raises(Denied, match=f"the proxy {proxy.origin} responds 407") as caught:
                await client.blobs(Repository("registry.example", "acme/app")).has(LAYER)
    assert caught.value.hint.endswith("in HTTP_PROXY")


async def test_a_proxy_that_closes_the_connection_or_is_down_is_named():
    async with raw_server(hangs_up) as host:
        config = RegistryConfig(proxies=proxies(f"http://robot:canary@{host}"))
        for _ in ("it closes the connection", "it is down"):
            async with make_client(config=config, policy=ONCE) as client:
                with pytest.raises(BakeryError, match=f"through the proxy http://{host}: ") as caught:
                    await client.blobs(Repository("registry.example", "acme/app")).has(LAYER)
            assert caught.value.hint == "check that the proxy of HTTPS_PROXY is up and reaches registry.example"
