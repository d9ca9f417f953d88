"""Attacks on logins and on the targets of requests, over real sockets. The numbers are the rows of registry.md 7."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import resource
import stat
import traceback
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bakery.errors import (
    AuthError,
    BadReference,
    BakeryError,
    ConnectionFailed,
)
from bakery.events import Event
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import Repository
from bakery.registry.config import RegistryConfig
from bakery.registry.credentials import CredentialSources
from bakery.registry.http.failure import UnsafeTarget, Untrusted
from bakery.registry.http.url import Origin, Url
from tests.wire.attacks import (
    BLOB,
    CONTENT,
    LAYER,
    ONCE,
    PASSWORD,
    PUBLIC,
    UPLOADS,
    Tls,
    bearer,
    challenge,
    login,
    names,
    no_secret,
    public_registry,
    read,
)
from tests.wire.making import body_of, errors, headers_of, image, make_client, repository
from tests.wire.script import Response, ScriptedServer, raw_server

# Row 1


async def test_01_urls_in_descriptors_are_not_fetched_and_get_no_login():
    async with ScriptedServer() as a, ScriptedServer() as b:
        foreign = replace(LAYER, urls=(f"{b.origin}/layer",))
        async with make_client(config=RegistryConfig(credentials=login(a.host, b.host))) as client:
            a.expect("GET", BLOB, 404)
            with pytest.raises(BakeryError):
                await read(client, repository(a), foreign)
        assert b.connections == 0


# Row 2


async def test_02_a_challenge_from_a_redirect_target_gets_no_credentials():
    async with ScriptedServer() as a, ScriptedServer() as b:
        async with make_client(config=RegistryConfig(credentials=login(a.host, b.host))) as client:
            a.expect("GET", BLOB, Response(307, {"Location": f"{b.origin}/x"}))
            b.expect("GET", "/x", challenge(f"{b.origin}/token"))
            with pytest.raises(AuthError):
                await read(client, repository(a))
        assert len(b.received) == 1
        no_secret(b)


# Row 3


async def test_03_the_same_host_on_another_port_is_another_origin():
    async with ScriptedServer() as a, ScriptedServer() as b:
        async with make_client(config=RegistryConfig(credentials=login(a.host))) as client:
            bearer(a)
            a.expect("GET", BLOB, challenge(f"{a.origin}/token"))
            a.expect("GET", BLOB, Response(302, {"Location": f"{b.origin}/x", "Set-Cookie": "sid=1; Path=/"}))
            b.expect("GET", "/x", Response(200, body=CONTENT))
            assert await read(client, repository(a)) == CONTENT
            assert a.sent("GET", BLOB)[1].header("Authorization") == "Bearer the-token"
        no_secret(b)
        assert b.received[0].header("Proxy-Authorization") is None


async def test_03_after_a_redirect_elsewhere_no_login_is_sent_even_back_home():
    async with ScriptedServer() as a, ScriptedServer() as b:
        async with make_client(config=RegistryConfig(credentials=login(a.host))) as client:
            a.expect("GET", BLOB, Response(401, {"WWW-Authenticate": "Basic realm=x"}))
            a.expect("GET", BLOB, Response(302, {"Location": f"{b.origin}/x"}))
            b.expect("GET", "/x", Response(302, {"Location": f"{a.origin}/v2/secret/blobs/y"}))
            a.expect("GET", "/v2/secret/blobs/y", 404)
            with pytest.raises(BakeryError):
                await read(client, repository(a))
        assert a.received[-1].header("Authorization") is None


# Row 4


async def test_04_an_upload_location_on_another_origin_gets_the_body_and_no_login():
    async with ScriptedServer() as a, ScriptedServer() as b:
        async with make_client(config=RegistryConfig(credentials=login(a.host))) as client:
            bearer(a)
            a.expect("POST", UPLOADS, challenge(f"{a.origin}/token"))
            a.expect("POST", UPLOADS, Response(202, {"Location": f"{b.origin}/put?sig=1"}))
            b.expect("PUT", f"/put?sig=1&digest={LAYER.digest}", 201)
            await client.blobs(repository(a)).write(LAYER, body_of(CONTENT))
        assert b.received[0].body == CONTENT
        no_secret(b)


async def test_04_an_https_registry_cannot_send_a_body_to_plain_http(tls: Tls):
    async with ScriptedServer(bind=PUBLIC, name="storage.example") as b, public_registry(tls) as (a, client):
        a.expect("POST", UPLOADS, Response(202, {"Location": f"{b.origin}/put"}))
        with pytest.raises(UnsafeTarget, match="from https to http"):
            await client.blobs(repository(a)).write(LAYER, body_of(CONTENT))
        assert b.connections == 0


# Row 5

INNER = [
    "https://127.0.0.1:{b}/t",
    "https://0.0.0.0:{b}/t",
    "https://[::]:{b}/t",
    "https://[::1]:{b}/t",
    "https://[::ffff:127.0.0.1]:{b}/t",
    "https://[::ffff:169.254.169.254]/t",
    "https://169.254.169.254/t",
    "https://2130706433:{b}/t",
    "https://0177.0.0.1:{b}/t",
    "https://0x7f000001:{b}/t",
    "https://127.1:{b}/t",
    "https://localhost:{b}/t",
    "https://localhost.:{b}/t",
    "https://inner.example:{b}/t",
    "https://10.0.0.1:{b}/t",
]
REALMS = [*INNER, "http://registry.example:{b}/t", "//user@registry.example/t", "https://user:pw@registry.example/t"]


@pytest.mark.parametrize("realm", REALMS)
async def test_05_a_realm_with_an_internal_address_or_plain_http_gets_no_request(tls: Tls, realm: str):
    async with ScriptedServer() as b, public_registry(tls) as (a, client):
        a.expect("HEAD", BLOB, challenge(realm.format(b=b.port)))
        with pytest.raises((UnsafeTarget, BadReference)):
            await client.blobs(repository(a)).has(LAYER)
        assert b.connections == 0
        no_secret(a)


async def test_05_a_plain_http_realm_of_an_https_registry_gets_no_request_even_if_trusted(tls: Tls):
    async with ScriptedServer(name="storage.example", bind=PUBLIC) as b:
        async with public_registry(tls, trusted=b.origin) as (a, client):
            a.expect("HEAD", BLOB, challenge(f"{b.origin}/token"))
            with pytest.raises(UnsafeTarget):
                await client.blobs(repository(a)).has(LAYER)
        assert b.connections == 0


async def test_05_an_unknown_realm_gets_a_request_without_the_login(tls: Tls):
    name = "storage.example"
    async with ScriptedServer(tls=tls.server(name), name=name, bind=PUBLIC) as b, public_registry(tls) as (a, client):
        a.expect("HEAD", BLOB, challenge(f"{b.origin}/token"))
        a.expect("HEAD", BLOB, 404)
        b.expect("GET", r"/token\?.*", Response(200, body=b'{"token":"anonymous-token"}'), regex=True)
        assert not await client.blobs(repository(a)).has(LAYER)
        no_secret(b)


async def test_05_a_refusal_of_an_unknown_realm_says_how_to_trust_it(tls: Tls):
    name = "storage.example"
    async with ScriptedServer(tls=tls.server(name), name=name, bind=PUBLIC) as b, public_registry(tls) as (a, client):
        a.expect("HEAD", BLOB, challenge(f"{b.origin}/token"))
        b.expect("GET", r"/token\?.*", 401, regex=True)
        with pytest.raises(AuthError, check=lambda error: f"BAKERY_TRUSTED_REALMS={b.origin}" in error.hint):
            await client.blobs(repository(a)).has(LAYER)
        no_secret(b)


async def test_05_a_realm_that_the_user_trusts_gets_the_login(tls: Tls):
    name = "storage.example"
    async with ScriptedServer(tls=tls.server(name), name=name, bind=PUBLIC) as b:
        async with public_registry(tls, trusted=b.origin) as (a, client):
            a.expect("HEAD", BLOB, challenge(f"{b.origin}/token"))
            a.expect("HEAD", BLOB, 404)
            b.expect("GET", r"/token\?.*", Response(200, body=b'{"token":"t"}'), regex=True)
            assert not await client.blobs(repository(a)).has(LAYER)
        assert (b.received[0].header("Authorization") or "").startswith("Basic ")


@pytest.mark.parametrize("trusted", [False, True])
async def test_05_a_loopback_realm_on_another_port_is_trusted_only_if_named(trusted: bool):
    async with ScriptedServer() as a, ScriptedServer() as b:
        named = frozenset({Origin.parse(b.origin)} if trusted else ())
        async with make_client(config=RegistryConfig(credentials=login(a.host), trusted_realms=named)) as client:
            a.expect("HEAD", BLOB, challenge(f"{b.origin}/token"))
            a.expect("HEAD", BLOB, 404)
            b.expect("GET", r"/token\?.*", Response(200, body=b'{"token":"t"}'), regex=True)
            assert not await client.blobs(repository(a)).has(LAYER)
        assert (b.received[0].header("Authorization") is not None) is trusted


# Row 6


async def test_06_a_token_request_does_not_follow_redirects():
    async with ScriptedServer() as a, ScriptedServer() as b:
        async with make_client(config=RegistryConfig(credentials=login(a.host))) as client:
            a.expect("HEAD", BLOB, challenge(f"{a.origin}/token"))
            a.expect("GET", r"/token\?.*", Response(302, {"Location": f"{b.origin}/latest/meta-data"}), regex=True)
            with pytest.raises(AuthError):
                await client.blobs(repository(a)).has(LAYER)
        assert b.connections == 0


# Row 7


async def test_07_the_address_of_a_name_is_checked_when_connecting(tls: Tls):
    """Rebinding: the first lookup of the name returns a public address, the second an internal one."""
    answers = [[PUBLIC], ["127.0.0.1"]]

    async def lookup(host: str, port: int) -> list[str]:
        return [PUBLIC] if host == "registry.example" else answers.pop(0)

    async with ScriptedServer(name="storage.example") as b, public_registry(tls, lookup=lookup) as (a, client):
        a.expect("GET", BLOB, Response(307, {"Location": f"https://storage.example:{b.port}/x"}), times=2)
        with pytest.raises(ConnectionFailed):
            await read(client, repository(a))  # nothing listens at the public address, so the name is looked up again
        with pytest.raises(UnsafeTarget, match="loopback"):
            await read(client, repository(a))
        assert not answers
        assert b.connections == 0


async def test_07_only_allowed_addresses_of_a_name_are_tried(tls: Tls):
    async def lookup(host: str, port: int) -> list[str]:
        return [PUBLIC] if host == "registry.example" else ["127.0.0.1", PUBLIC]

    async with ScriptedServer() as inner:
        async with (
            ScriptedServer(
                tls=tls.server("storage.example"), name="storage.example", bind=PUBLIC, port=inner.port
            ) as b,
            public_registry(tls, lookup=lookup) as (a, client),
        ):
            a.expect("GET", BLOB, Response(307, {"Location": f"{b.origin}/x"}))
            b.expect("GET", "/x", Response(200, body=CONTENT))
            assert await read(client, repository(a)) == CONTENT
        assert inner.connections == 0


# Row 8


@pytest.mark.parametrize("target", INNER)
async def test_08_redirects_and_upload_locations_never_lead_to_internal_addresses(tls: Tls, target: str):
    async with ScriptedServer() as b, public_registry(tls) as (a, client):
        location = {"Location": target.format(b=b.port)}
        a.expect("GET", BLOB, Response(307, location))
        a.expect("POST", UPLOADS, Response(202, location))
        with pytest.raises(UnsafeTarget):
            await read(client, repository(a))
        with pytest.raises(UnsafeTarget):
            await client.blobs(repository(a)).write(LAYER, body_of(CONTENT))
        assert b.connections == 0


async def test_08_a_registry_on_loopback_may_redirect_to_loopback():
    async with ScriptedServer() as a, ScriptedServer() as b, make_client() as client:
        a.expect("GET", BLOB, Response(307, {"Location": f"http://localhost:{b.port}/x"}))
        b.expect("GET", "/x", Response(200, body=CONTENT))
        assert await read(client, repository(a)) == CONTENT


# Row 11


async def test_11_if_a_helper_fails_no_other_login_is_used(tmp_path: Path):
    async with ScriptedServer() as a:
        stored = json.loads(login("other.example").inline) | {"credsStore": "nonexistent"}
        sources = CredentialSources(inline=json.dumps(stored), path=str(tmp_path))
        async with make_client(config=RegistryConfig(credentials=sources)) as client:
            a.expect("HEAD", BLOB, Response(401, {"WWW-Authenticate": "Basic realm=x"}), times=None)
            with pytest.raises(AuthError):
                await client.blobs(repository(a)).has(LAYER)
        no_secret(a)


# Row 21


async def test_21_logs_errors_tracebacks_and_events_contain_no_secret(
    caplog: pytest.LogCaptureFixture, tls: Tls, tmp_path: Path
):
    caplog.set_level(logging.DEBUG)
    events: list[Event] = []
    shown: list[str] = []
    canaries = [PASSWORD, "canary-token", "canary-refresh", "canary-location", "canary-redirect", "canary-helper"]

    async def failing(work: Any) -> None:
        try:
            await work
        except BakeryError as error:
            shown.extend((str(error), repr(error), traceback.format_exc(), error.why, error.hint))
        else:
            raise AssertionError("this was to fail")

    helper = tmp_path / "docker-credential-canary"
    helper.write_text("#!/bin/sh\necho canary-helper >&2; echo canary-helper; exit 1\n")
    helper.chmod(helper.stat().st_mode | stat.S_IXUSR)

    async with ScriptedServer() as a, ScriptedServer() as silent:
        stored = json.loads(login(a.host).inline)
        stored["auths"][a.host]["identitytoken"] = "canary-refresh"
        stored["credHelpers"] = {"helped.example": "canary"}
        sources = CredentialSources(inline=json.dumps(stored), path=str(tmp_path))
        config = RegistryConfig(credentials=sources, connect_s=0.3, response_s=0.5, stall_s=0.5)
        async with make_client(config=config, policy=ONCE, events=events) as client:
            a.expect("GET", BLOB, challenge(f"{a.origin}/token?canary-realm=canary-token"))
            a.expect(
                "POST",
                r"/token.*",
                Response(400, body=b'{"errors":[{"message":"canary-refresh"}]}'),
                times=None,
                regex=True,
            )
            a.expect("GET", r"/token.*", Response(200, body=b'{"token":"canary-token"}'), times=None, regex=True)
            a.expect("GET", BLOB, Response(307, {"Location": f"{silent.origin}/x?sig=canary-redirect"}))
            silent.expect("GET", "/x?sig=canary-redirect", Response(lose=True))
            await failing(read(client, repository(a)))
            a.expect("POST", UPLOADS, Response(202, {"Location": f"{silent.origin}/y?_state=canary-location"}))
            silent.expect("PUT", r"/y\?.*", Response(403, body=b"<canary-location/>"), regex=True)
            await failing(client.blobs(repository(a)).write(LAYER, body_of(CONTENT)))
            a.expect("GET", BLOB, Response(307, {"Location": f"https://localhost:{silent.port}/x?sig=canary-redirect"}))
            await failing(read(client, repository(a)))
            a.expect("GET", BLOB, Response(307, {"Location": "ftp://x/?sig=canary-redirect"}))
            await failing(read(client, repository(a)))
            echo = errors("UNKNOWN", "got Bearer canary-token at https://s/?sig=canary-redirect")
            a.expect("GET", BLOB, Response(400, body=echo))
            await failing(read(client, repository(a)))
            assert "UNKNOWN: got Bearer ***" in shown[-5]  # the registry's message is shown without the secrets
            a.expect("GET", BLOB, Response(307, {"Location": "http://169.254.169.254/x?sig=canary-redirect"}))
            await failing(read(client, repository(a)))
            shown.append(repr(Url.parse("https://x/?sig=canary-redirect")))
            await failing(client.blobs(Repository("helped.example", "x/y")).has(LAYER))
            held = asyncio.Event()
            a.expect("GET", BLOB, Response(307, {"Location": f"{silent.origin}/z?sig=canary-redirect"}))
            silent.expect("GET", "/z?sig=canary-redirect", Response(hold=held))
            await failing(read(client, repository(a)))
            held.set()
            shown.extend((repr(client.stats), repr(config), repr(events), repr(sources)))
        assert "canary-token" in a.transcript  # otherwise the test proves nothing
    text = "\n".join([*shown, caplog.text, *(repr(record.__dict__) for record in caplog.records)])
    assert not [canary for canary in canaries if canary in text]


async def test_21_the_error_of_a_silent_connection_contains_no_signed_url():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        server,
        ScriptedServer() as a,
        make_client(policy=ONCE, config=RegistryConfig(connect_s=0.2)) as client,
    ):
        a.expect("GET", BLOB, Response(307, {"Location": f"https://localhost:{port}/x?sig=canary-redirect"}))
        try:
            await read(client, repository(a))
        except BakeryError:
            assert "canary" not in traceback.format_exc()
        else:
            raise AssertionError("this was to fail")


# Row 22 and 23


@pytest.mark.parametrize(
    "text", ["a/../b", "a%2fb", "A/b", "a//b", "/a", "a/", "a/./b", "a\r\nX: y/b", "a b", "a?b", "a#b"]
)
async def test_23_an_invalid_repository_path_sends_no_request(text: str):
    async with ScriptedServer() as a:
        with pytest.raises(BadReference):
            Repository(a.host, text)
        assert a.connections == 0


@pytest.mark.parametrize("tag", ["a\r\nX: y", "../x", "a/b", "a?b", "a%41", ".a", "a" * 129, "a b"])
async def test_22_an_invalid_tag_sends_no_request(tag: str):
    async with ScriptedServer() as a, make_client() as client:
        descriptor, raw = image(b"a")
        with pytest.raises(BadReference):
            await client.manifests.put(repository(a).with_tag(tag), RawManifest(descriptor, raw))
        assert a.connections == 0


# Row 27


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [("unknown authority", "set BAKERY_CA_FILE to"), ("another name", "use a name that the certificate contains")],
)
async def test_27_a_bad_certificate_is_a_permanent_error_and_plain_http_is_never_tried(
    tls: Tls, tmp_path: Path, wrong: str, hint: str
):
    first_bytes: list[bytes] = []
    name = "registry.example" if wrong == "unknown authority" else "other.example"
    ca_file = None if wrong == "unknown authority" else tls.file
    async with ScriptedServer(tls=tls.server(name)) as behind:

        async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            first_bytes.append(await reader.read(64 * 1024))
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", behind.port)
            try:
                inner_writer.write(first_bytes[-1])
                writer.write(await inner_reader.read(64 * 1024))
                await reader.read()
            finally:
                inner_writer.transport.abort()

        async with raw_server(watch, name="registry.example") as host:
            config = RegistryConfig(ca_file=ca_file, credentials=login(host), response_s=2, connect_s=2)
            lookup = names(registry_example="127.0.0.1")
            async with make_client(config=config, lookup=lookup, policy=ONCE) as client:
                with pytest.raises(Untrusted, check=lambda error: error.hint.startswith(hint)):
                    await client.blobs(Repository(host, "acme/app")).has(LAYER)
    assert [sent[:1] for sent in first_bytes] == [b"\x16"]  # one TLS hello and nothing else


async def test_27_plain_http_is_not_a_fallback_for_a_server_without_tls():
    async with ScriptedServer(name="registry.example") as a:
        lookup = names(registry_example="127.0.0.1")
        async with make_client(lookup=lookup, policy=ONCE, config=RegistryConfig(connect_s=0.3)) as client:
            with pytest.raises(BakeryError):
                await client.blobs(repository(a)).has(LAYER)
        assert not a.received
        async with make_client(lookup=lookup, config=RegistryConfig(plain_http=frozenset({a.host}))) as client:
            a.expect("HEAD", BLOB, 404)
            assert not await client.blobs(repository(a)).has(LAYER)


# Row 28


def helper_script(folder: Path, name: str, text: str) -> None:
    file = folder / f"docker-credential-{name}"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


@pytest.mark.parametrize("helper", ["../evil", "x;y", "a b", "/bin/evil", "$(evil)", "..", "evil\n"])
async def test_28_a_helper_with_an_odd_name_is_not_run(tmp_path: Path, helper: str):
    marker = tmp_path / "it-ran"
    program = tmp_path / "bin" / f"docker-credential-{helper}"  # it exists: only its name prevents it from being run
    program.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "bin" / "docker-credential-..").mkdir(exist_ok=True)
    if not program.is_dir():
        program.write_text(f"#!/bin/sh\ntouch {marker}\n")
        program.chmod(0o755)
    async with ScriptedServer() as a:
        sources = CredentialSources(
            inline=json.dumps({"credHelpers": {a.host: helper}}), path=f"{tmp_path / 'bin'}:/usr/bin:/bin"
        )
        async with make_client(config=RegistryConfig(credentials=sources)) as client:
            with pytest.raises(AuthError, match="credential helper"):
                await client.blobs(repository(a)).has(LAYER)
        assert a.connections == 0
    assert not marker.exists()


HELPERS = {
    "a gigabyte of output": ("exec head -c 1000000000 /dev/zero", "more than"),
    "no output": ("sleep 1000", "timed out after 0.5 s"),
    "not JSON": ("echo hello", "not a login"),
    "fails": ("echo canary >&2; exit 3", "status 3"),
}


@pytest.mark.parametrize(("text", "expected"), HELPERS.values(), ids=HELPERS)
async def test_28_a_helper_is_limited_in_time_and_output(tmp_path: Path, text: str, expected: str):
    helper_script(tmp_path, "odd", text)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with ScriptedServer() as a:
        sources = CredentialSources(
            inline=json.dumps({"credHelpers": {a.host: "odd"}}),
            path=str(tmp_path),
            environment={"PATH": "/usr/bin:/bin"},
            helper_limit_s=0.5 if text.startswith("sleep") else 20,
        )
        async with make_client(config=RegistryConfig(credentials=sources)) as client:
            with pytest.raises(AuthError, match=expected) as caught:
                async with asyncio.timeout(30):
                    await client.blobs(repository(a)).has(LAYER)
        assert "canary" not in str(caught.value)
        assert a.connections == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB


async def test_28_a_helper_gets_the_server_on_its_standard_input(tmp_path: Path):
    text = """read server; printf '{"ServerURL":"%s","Username":"u-%s","Secret":"s"}' "$server" "$1" """
    helper_script(tmp_path, "good", text)
    async with ScriptedServer() as a:
        sources = CredentialSources(
            inline=json.dumps({"credHelpers": {a.host: "good"}}),
            path=str(tmp_path),
            environment={"PATH": "/usr/bin:/bin"},
        )
        async with make_client(config=RegistryConfig(credentials=sources)) as client:
            a.expect("HEAD", BLOB, Response(401, {"WWW-Authenticate": "Basic realm=x"}))
            a.expect("HEAD", BLOB, 404)
            assert not await client.blobs(repository(a)).has(LAYER)
        sent = a.received[1].header("Authorization") or ""
        assert base64.b64decode(sent.removeprefix("Basic ")) == b"u-get:s"


async def test_a_netrc_entry_for_the_registry_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    netrc = tmp_path / "netrc"
    netrc.write_text(f"default login robot password {PASSWORD}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    descriptor, _ = image(b"a")
    async with ScriptedServer() as a, make_client() as client:
        a.expect("HEAD", f"/v2/acme/app/manifests/{descriptor.digest}", Response(200, headers_of(descriptor)))
        await client.manifests.head(repository(a).with_digest(descriptor.digest))
        no_secret(a)
