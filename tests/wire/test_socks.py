"""SOCKS5 proxies: what they see, logins, refusals, and bodies of any size through them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bakery.errors import BakeryError, ConnectionFailed, UsageError
from bakery.oci.reference import Repository
from bakery.registry.config import RegistryConfig
from bakery.registry.http import config as http_config
from bakery.registry.http.config import Proxies
from bakery.rehearsal import EmbeddedRegistry
from bakery.retry import RetryPolicy
from tests.wire.attacks import Tls, login, names
from tests.wire.making import blob, body_of, make_client, repository
from tests.wire.script import Response, ScriptedServer
from tests.wire.socks import SocksProxy

LAYER, CONTENT = blob(b"some layer" * 1000)
BLOB = f"/v2/acme/app/blobs/{LAYER.digest}"
ONCE = RetryPolicy(max_attempts=1, attempts_were_set=True)


def through(proxy: str) -> Proxies:
    return Proxies.from_environment({"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy})


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "SOCKS5"])
async def test_https_goes_through_the_proxy_which_sees_a_name_and_nothing_else(tmp_path: Path, scheme: str):
    tls = Tls(tmp_path)
    async with (
        ScriptedServer(tls=tls.server("registry.example"), name="registry.example") as a,
        SocksProxy(a.port) as proxy,
    ):
        config = RegistryConfig(
            ca_file=tls.file, credentials=login(a.host), proxies=through(f"{scheme}://{proxy.host}")
        )
        a.expect("HEAD", BLOB, Response(401, {"WWW-Authenticate": "Basic realm=x", "Content-Length": "0"}))
        a.expect("HEAD", BLOB, 404)
        async with make_client(config=config, lookup=names()) as client:  # no name is resolved here
            assert not await client.blobs(repository(a)).has(LAYER)
        assert proxy.asked == [("registry.example", a.port)], "one connection for both requests"
        assert BLOB.encode() not in proxy.passed


async def test_plain_http_is_tunnelled_and_each_origin_has_a_connection_of_its_own():
    async with ScriptedServer() as a, SocksProxy(a.port) as proxy:
        hosts = ("one.example", "two.example:5000")
        config = RegistryConfig(plain_http=frozenset(hosts), proxies=through(f"socks5://{proxy.host}"))
        a.expect("HEAD", BLOB, 404, times=2)
        async with make_client(config=config, lookup=names()) as client:
            for host in hosts:
                assert not await client.blobs(Repository(host, "acme/app")).has(LAYER)
        assert proxy.asked == [("one.example", 80), ("two.example", 5000)]
        assert [request.header("Host") for request in a.received] == list(hosts)
        assert all(request.header("Proxy-Authorization") is None for request in a.received)


async def test_large_bodies_pass_in_both_directions():
    content = os.urandom(3 * 1024 * 1024 + 17)
    layer, _ = blob(content)
    async with EmbeddedRegistry() as registry, SocksProxy(int(registry.address.rpartition(":")[2])) as proxy:
        host = "registry.example"
        config = RegistryConfig(plain_http=frozenset({host}), proxies=through(f"socks5://{proxy.host}"))
        async with make_client(config=config, lookup=names()) as client:
            store = client.blobs(Repository(host, "acme/app"))
            await store.write(layer, body_of(content))
            received = bytearray()
            async for piece in store.read(layer):
                received += piece
        assert registry.blob("acme/app", layer.digest) == bytes(received) == content


async def test_the_login_of_the_url_is_sent_to_the_proxy_and_nowhere_else():
    async with ScriptedServer() as a, SocksProxy(a.port, login=("robot", "pr@xy word")) as proxy:
        url = f"socks5://robot:pr%40xy%20word@{proxy.host}"
        config = RegistryConfig(plain_http=frozenset({"reg.example"}), proxies=through(url))
        a.expect("HEAD", BLOB, 404)
        async with make_client(config=config, lookup=names()) as client:
            assert not await client.blobs(Repository("reg.example", "acme/app")).has(LAYER)
        assert b"pr@xy" not in proxy.passed
        assert "pr@xy" not in repr(config.proxies)


REFUSED = {
    "a wrong password": ({"login": ("robot", "right")}, "robot:wr0ng-secret@", "authentication failure"),
    "no login": ({"login": ("robot", "right")}, "", "authentication"),
    "a rule of the proxy": ({"reply": 2}, "", "not allowed"),
    "a target that refuses": ({"reply": 5}, "", "Connection refused"),
    "a proxy that hangs up": ({"mute": True}, "", "connection"),
}


@pytest.mark.parametrize(("behaviour", "userinfo", "why"), REFUSED.values(), ids=REFUSED)
async def test_a_refusal_names_the_proxy_and_its_reason(behaviour, userinfo, why):
    async with SocksProxy(1, **behaviour) as proxy:
        config = RegistryConfig(proxies=through(f"socks5://{userinfo}{proxy.host}"))
        async with make_client(config=config, lookup=names(), policy=ONCE) as client:
            with pytest.raises(ConnectionFailed) as raised:
                await client.blobs(Repository("reg.example", "acme/app")).has(LAYER)
    assert f"the SOCKS proxy {proxy.host} " in str(raised.value)
    assert why.lower() in str(raised.value).lower()
    assert "wr0ng-secret" not in f"{raised.value} {raised.value.hint}"


async def test_a_proxy_that_is_down_is_named():
    async with SocksProxy(1) as proxy:
        host = proxy.host
    async with make_client(
        config=RegistryConfig(proxies=through(f"socks5://{host}")), lookup=names(), policy=ONCE
    ) as client:
        with pytest.raises(BakeryError, match=f"the SOCKS proxy {host} cannot be reached: Connection refused"):
            await client.blobs(Repository("reg.example", "acme/app")).has(LAYER)


async def test_loopback_is_reached_directly():
    async with ScriptedServer() as a, SocksProxy(1, mute=True) as proxy:
        a.expect("HEAD", BLOB, 404)
        async with make_client(config=RegistryConfig(proxies=through(f"socks5://{proxy.host}"))) as client:
            assert not await client.blobs(repository(a)).has(LAYER)
        assert proxy.asked == []


PORTS = {"proxy.example": 1080, "proxy.example:9050": 9050, "[2001:db8::1]": 1080, "[2001:db8::1]:9": 9}


@pytest.mark.parametrize(("host", "port"), PORTS.items(), ids=PORTS)
def test_without_a_port_that_of_socks_is_used(host: str, port: int):
    proxy = through(f"socks5://user:word@{host}/").https
    assert proxy is not None
    assert proxy.origin.port == port
    assert proxy.socks is not None
    assert (proxy.socks.username, proxy.socks.password) == ("user", "word")


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_config, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="HTTPS_PROXY: socks5:// proxies need the package python-socks") as raised:
        Proxies.from_environment({"HTTPS_PROXY": "socks5://proxy:1080"})
    assert raised.value.hint == "install bakery-images[socks]"


def test_a_login_that_socks_cannot_carry_is_an_error_that_does_not_quote_it():
    with pytest.raises(UsageError, match="at most 255 bytes") as raised:
        Proxies.from_environment({"HTTPS_PROXY": f"socks5://robot:{'p' * 256}@proxy:1080"})
    assert "ppp" not in str(raised.value)
