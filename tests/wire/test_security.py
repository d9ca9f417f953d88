"""Attacks that registry clients fell to, each on real sockets. The numbers are the rows of the list that we keep.

A is the registry that the user named; B is whoever A sends us to. Each records every byte that it gets. An address
that must count as public is 127.0.0.2, by the classification that these tests pass in.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import json
import logging
import resource
import ssl
import stat
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from bakery.errors import (
    AuthError,
    BadDigest,
    BadDocument,
    BadReference,
    BakeryError,
    ConnectionFailed,
    DigestMismatch,
    InvalidContent,
    RegistryError,
)
from bakery.events import Event
from bakery.oci import manifest as manifests
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.reference import Reference, Repository
from bakery.registry.client import Client
from bakery.registry.credentials import CredentialSources
from bakery.registry.faults import UnsafeTarget, Untrusted
from bakery.registry.origin import Origin, Reach, reach_of
from bakery.registry.ranges import BadRange
from bakery.registry.settings import Settings
from bakery.retry import RetryPolicy
from tests.wire.making import JumpingClock, blob, body_of, errors, headers_of, image, make_client, repository
from tests.wire.script import Answer, ScriptedServer

PUBLIC = "127.0.0.2"
PASSWORD = "canary-password-7f3a"
LAYER, CONTENT = blob(b"some layer" * 1000)
BLOB = f"/v2/acme/app/blobs/{LAYER.digest}"
UPLOADS = "/v2/acme/app/blobs/uploads/"
ONCE = RetryPolicy(max_attempts=1, attempts_were_set=True)


def as_if_public(address: str) -> Reach:
    return Reach.PUBLIC if address == PUBLIC else reach_of(address)


def names(**addresses: str) -> Any:
    """A resolver that knows these names (`_` for `.`), and counts what it was asked."""

    async def lookup(host: str, port: int) -> list[str]:
        lookup.asked.append(host)  # type: ignore[attr-defined]  # a function that remembers
        found = {name.replace("_", "."): address for name, address in addresses.items()}.get(host.rstrip("."))
        if found is None:
            raise OSError(f"no such name: {host}")
        return [found]

    lookup.asked = []  # type: ignore[attr-defined]  # a function that remembers
    return lookup


def login(*hosts: str) -> CredentialSources:
    pair = base64.b64encode(f"robot:{PASSWORD}".encode()).decode()
    return CredentialSources(inline=json.dumps({"auths": {host: {"auth": pair} for host in hosts}}))


class Tls:
    """A certificate authority of this test, and what it certified."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.file = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.file))

    def server(self, *server_names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*server_names).configure_cert(context)
        return context


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    return Tls(tmp_path)


@contextlib.asynccontextmanager
async def public_registry(
    tls: Tls, *, trusted: str = "", **others: Any
) -> AsyncIterator[tuple[ScriptedServer, Client]]:
    """A: https, on an address that counts as public, with a login at hand."""
    name = "registry.example"
    async with ScriptedServer(tls=tls.server(name), name=name, bind=PUBLIC) as a:
        settings = Settings(
            ca_file=tls.file,
            credentials=login(a.host),
            trusted_realms=frozenset({Origin.parse(trusted)} if trusted else ()),
            connect_s=2,
        )
        others.setdefault("lookup", names(registry_example=PUBLIC, storage_example=PUBLIC, inner_example="127.0.0.1"))
        async with make_client(settings=settings, classify=as_if_public, policy=ONCE, **others) as client:
            yield a, client


def no_secret(*servers: ScriptedServer) -> None:
    pair = base64.b64encode(f"robot:{PASSWORD}".encode()).decode()
    for server in servers:
        for secret in (PASSWORD, pair, "the-token", "Authorization", "Cookie"):
            assert secret not in server.transcript


async def read(client: Client, where: Repository, descriptor: Descriptor = LAYER) -> bytes:
    received = bytearray()
    async with contextlib.aclosing(client.read_blob(where, descriptor)) as chunks:
        async for chunk in chunks:
            received += chunk
    return bytes(received)


def bearer(a: ScriptedServer) -> None:
    """A wants a token for everything, and gives `the-token` to whoever has the password."""
    a.expect("GET", r"/token\?.*", Answer(200, body=b'{"token":"the-token"}'), times=None, regex=True)


def challenge(realm: str) -> Answer:
    return Answer(401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'})


# Row 1


async def test_01_urls_in_descriptors_are_not_fetched_and_get_no_login():
    async with ScriptedServer() as a, ScriptedServer() as b:
        foreign = dataclasses.replace(LAYER, urls=(f"{b.origin}/layer",))
        async with make_client(settings=Settings(credentials=login(a.host, b.host))) as client:
            a.expect("GET", BLOB, 404)
            with pytest.raises(BakeryError):
                await read(client, repository(a), foreign)
        assert b.connections == 0


# Row 2


async def test_02_a_challenge_of_a_redirects_target_is_not_answered():
    async with ScriptedServer() as a, ScriptedServer() as b:
        async with make_client(settings=Settings(credentials=login(a.host, b.host))) as client:
            a.expect("GET", BLOB, Answer(307, {"Location": f"{b.origin}/x"}))
            b.expect("GET", "/x", challenge(f"{b.origin}/token"))
            with pytest.raises(AuthError):
                await read(client, repository(a))
        assert len(b.received) == 1
        no_secret(b)


# Row 3


async def test_03_the_same_host_on_another_port_is_another_origin():
    async with ScriptedServer() as a, ScriptedServer() as b:
        async with make_client(settings=Settings(credentials=login(a.host))) as client:
            bearer(a)
            a.expect("GET", BLOB, challenge(f"{a.origin}/token"))
            a.expect("GET", BLOB, Answer(302, {"Location": f"{b.origin}/x", "Set-Cookie": "sid=1; Path=/"}))
            b.expect("GET", "/x", Answer(200, body=CONTENT))
            assert await read(client, repository(a)) == CONTENT
            assert a.sent("GET", BLOB)[1].header("Authorization") == "Bearer the-token"
        no_secret(b)
        assert b.received[0].header("Proxy-Authorization") is None


async def test_03_once_sent_away_nothing_is_shown_on_the_way_back_either():
    async with ScriptedServer() as a, ScriptedServer() as b:
        async with make_client(settings=Settings(credentials=login(a.host))) as client:
            a.expect("GET", BLOB, Answer(401, {"WWW-Authenticate": "Basic realm=x"}))
            a.expect("GET", BLOB, Answer(302, {"Location": f"{b.origin}/x"}))
            b.expect("GET", "/x", Answer(302, {"Location": f"{a.origin}/v2/secret/blobs/y"}))
            a.expect("GET", "/v2/secret/blobs/y", 404)
            with pytest.raises(BakeryError):
                await read(client, repository(a))
        assert a.received[-1].header("Authorization") is None


# Row 4


async def test_04_an_upload_location_on_another_origin_gets_the_body_and_nothing_else():
    async with ScriptedServer() as a, ScriptedServer() as b:
        async with make_client(settings=Settings(credentials=login(a.host))) as client:
            bearer(a)
            a.expect("POST", UPLOADS, challenge(f"{a.origin}/token"))
            a.expect("POST", UPLOADS, Answer(202, {"Location": f"{b.origin}/put?sig=1"}))
            b.expect("PUT", f"/put?sig=1&digest={LAYER.digest}", 201)
            await client.push_blob(repository(a), LAYER, body_of(CONTENT))
        assert b.received[0].body == CONTENT
        no_secret(b)


async def test_04_an_https_registry_cannot_send_a_body_to_plain_http(tls: Tls):
    async with ScriptedServer(bind=PUBLIC, name="storage.example") as b, public_registry(tls) as (a, client):
        a.expect("POST", UPLOADS, Answer(202, {"Location": f"{b.origin}/put"}))
        with pytest.raises(UnsafeTarget, match="https is never left"):
            await client.push_blob(repository(a), LAYER, body_of(CONTENT))
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
async def test_05_a_realm_that_leads_inside_or_to_plain_http_is_not_asked(tls: Tls, realm: str):
    async with ScriptedServer() as b, public_registry(tls) as (a, client):
        a.expect("HEAD", BLOB, challenge(realm.format(b=b.port)))
        with pytest.raises((UnsafeTarget, BadReference)):
            await client.has_blob(repository(a), LAYER)
        assert b.connections == 0
        no_secret(a)


async def test_05_an_unknown_realm_is_asked_without_the_login(tls: Tls):
    name = "storage.example"
    async with ScriptedServer(tls=tls.server(name), name=name, bind=PUBLIC) as b, public_registry(tls) as (a, client):
        a.expect("HEAD", BLOB, challenge(f"{b.origin}/token"))
        a.expect("HEAD", BLOB, 404)
        b.expect("GET", r"/token\?.*", Answer(200, body=b'{"token":"anonymous-token"}'), regex=True)
        assert not await client.has_blob(repository(a), LAYER)
        no_secret(b)


async def test_05_a_refusal_of_an_unknown_realm_says_how_to_trust_it(tls: Tls):
    name = "storage.example"
    async with ScriptedServer(tls=tls.server(name), name=name, bind=PUBLIC) as b, public_registry(tls) as (a, client):
        a.expect("HEAD", BLOB, challenge(f"{b.origin}/token"))
        b.expect("GET", r"/token\?.*", 401, regex=True)
        with pytest.raises(AuthError, match=f"BAKERY_TRUSTED_REALMS={b.origin}"):
            await client.has_blob(repository(a), LAYER)
        no_secret(b)


async def test_05_a_realm_that_the_user_trusts_gets_the_login(tls: Tls):
    name = "storage.example"
    async with ScriptedServer(tls=tls.server(name), name=name, bind=PUBLIC) as b:
        async with public_registry(tls, trusted=b.origin) as (a, client):
            a.expect("HEAD", BLOB, challenge(f"{b.origin}/token"))
            a.expect("HEAD", BLOB, 404)
            b.expect("GET", r"/token\?.*", Answer(200, body=b'{"token":"t"}'), regex=True)
            assert not await client.has_blob(repository(a), LAYER)
        assert (b.received[0].header("Authorization") or "").startswith("Basic ")


@pytest.mark.parametrize("trusted", [False, True])
async def test_05_a_loopback_realm_on_another_port_is_trusted_only_by_name(trusted: bool):
    async with ScriptedServer() as a, ScriptedServer() as b:
        named = frozenset({Origin.parse(b.origin)} if trusted else ())
        async with make_client(settings=Settings(credentials=login(a.host), trusted_realms=named)) as client:
            a.expect("HEAD", BLOB, challenge(f"{b.origin}/token"))
            a.expect("HEAD", BLOB, 404)
            b.expect("GET", r"/token\?.*", Answer(200, body=b'{"token":"t"}'), regex=True)
            assert not await client.has_blob(repository(a), LAYER)
        assert (b.received[0].header("Authorization") is not None) is trusted


# Row 6


async def test_06_a_token_request_follows_no_redirect():
    async with ScriptedServer() as a, ScriptedServer() as b:
        async with make_client(settings=Settings(credentials=login(a.host))) as client:
            a.expect("HEAD", BLOB, challenge(f"{a.origin}/token"))
            a.expect("GET", r"/token\?.*", Answer(302, {"Location": f"{b.origin}/latest/meta-data"}), regex=True)
            with pytest.raises(AuthError):
                await client.has_blob(repository(a), LAYER)
        assert b.connections == 0


# Row 7


async def test_07_what_a_name_leads_to_is_checked_where_the_connection_is_made(tls: Tls):
    """Rebinding: the name is public when first asked, inside when asked again."""
    answers = [[PUBLIC], ["127.0.0.1"]]

    async def lookup(host: str, port: int) -> list[str]:
        return [PUBLIC] if host == "registry.example" else answers.pop(0)

    async with ScriptedServer(name="storage.example") as b, public_registry(tls, lookup=lookup) as (a, client):
        a.expect("GET", BLOB, Answer(307, {"Location": f"https://storage.example:{b.port}/x"}), times=2)
        with pytest.raises(ConnectionFailed):
            await read(client, repository(a))  # nobody listens at the public address, so the name is asked again
        with pytest.raises(UnsafeTarget, match="loopback"):
            await read(client, repository(a))
        assert not answers
        assert b.connections == 0


async def test_07_of_several_addresses_only_the_allowed_ones_are_tried(tls: Tls):
    async def lookup(host: str, port: int) -> list[str]:
        return [PUBLIC] if host == "registry.example" else ["127.0.0.1", PUBLIC]

    async with ScriptedServer() as inner:
        async with (
            ScriptedServer(
                tls=tls.server("storage.example"), name="storage.example", bind=PUBLIC, port=inner.port
            ) as b,
            public_registry(tls, lookup=lookup) as (a, client),
        ):
            a.expect("GET", BLOB, Answer(307, {"Location": f"{b.origin}/x"}))
            b.expect("GET", "/x", Answer(200, body=CONTENT))
            assert await read(client, repository(a)) == CONTENT
        assert inner.connections == 0


# Row 8


@pytest.mark.parametrize("target", INNER)
async def test_08_no_redirect_and_no_upload_location_leads_inside(tls: Tls, target: str):
    async with ScriptedServer() as b, public_registry(tls) as (a, client):
        location = {"Location": target.format(b=b.port)}
        a.expect("GET", BLOB, Answer(307, location))
        a.expect("POST", UPLOADS, Answer(202, location))
        with pytest.raises(UnsafeTarget):
            await read(client, repository(a))
        with pytest.raises(UnsafeTarget):
            await client.push_blob(repository(a), LAYER, body_of(CONTENT))
        assert b.connections == 0


async def test_08_a_registry_on_loopback_may_send_us_along_on_loopback():
    async with ScriptedServer() as a, ScriptedServer() as b, make_client() as client:
        a.expect("GET", BLOB, Answer(307, {"Location": f"http://localhost:{b.port}/x"}))
        b.expect("GET", "/x", Answer(200, body=CONTENT))
        assert await read(client, repository(a)) == CONTENT


# Row 11


async def test_11_where_a_helper_fails_no_other_hosts_login_is_taken(tmp_path: Path):
    async with ScriptedServer() as a:
        stored = json.loads(login("other.example").inline) | {"credsStore": "nonexistent"}
        sources = CredentialSources(inline=json.dumps(stored), path=str(tmp_path))
        async with make_client(settings=Settings(credentials=sources)) as client:
            a.expect("HEAD", BLOB, Answer(401, {"WWW-Authenticate": "Basic realm=x"}), times=None)
            with pytest.raises(AuthError):
                await client.has_blob(repository(a), LAYER)
        no_secret(a)


# Row 12

POINTER = {"mediaType": mt.OCI_CONFIG, "digest": str(Digest.of(b"{}")), "size": 2}
AMBIGUOUS = {
    "index and image": {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": [], "config": POINTER},
    "image and index": {"schemaVersion": 2, "mediaType": mt.OCI_MANIFEST, "manifests": [], "layers": []},
    "index with layers": {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": [], "layers": []},
    "index with schema 1 layers": {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": [], "fsLayers": []},
}  # fmt: skip


@pytest.mark.parametrize("document", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_12_what_can_be_read_as_two_things_is_refused(document: dict[str, Any]):
    async with ScriptedServer() as a, make_client() as client:
        content_type = {"Content-Type": document["mediaType"]}
        a.expect("GET", "/v2/acme/app/manifests/v1", Answer(200, content_type, json.dumps(document).encode()))
        with pytest.raises(BadDocument):
            await client.get_manifest(repository(a).with_tag("v1"))


async def test_12_a_content_type_that_flips_on_the_same_bytes_is_refused():
    raw = json.dumps({"schemaVersion": 2, "config": POINTER, "layers": []}).encode()
    reference_digest = Digest.of(raw)
    async with ScriptedServer() as a, make_client() as client:
        target = f"/v2/acme/app/manifests/{reference_digest}"
        a.expect("GET", target, Answer(200, {"Content-Type": mt.OCI_MANIFEST}, raw))
        a.expect("GET", target, Answer(200, {"Content-Type": mt.OCI_INDEX}, raw))
        a.expect("GET", target, Answer(200, {"Content-Type": mt.DOCKER_MANIFEST}, raw))
        reference = repository(a).with_digest(reference_digest)
        found, _ = await client.get_manifest(reference)
        with pytest.raises(BadDocument):
            await client.get_manifest(reference)
        with pytest.raises(DigestMismatch):
            await client.get_manifest(reference, expected=found)


async def test_12_doubled_keys_are_refused():
    raw = b'{"schemaVersion":2,"mediaType":"%s","mediaType":"%s","config":{},"layers":[]}' % (
        mt.OCI_MANIFEST.encode(),
        mt.OCI_INDEX.encode(),
    )
    async with ScriptedServer() as a, make_client() as client:
        a.expect("GET", "/v2/acme/app/manifests/v1", Answer(200, body=raw))
        with pytest.raises(BadDocument, match="twice"):
            await client.get_manifest(repository(a).with_tag("v1"))


# Row 13

BAD_DIGESTS = [
    "sha256:../../v2/x/blobs/y",
    "sha256:ABC",
    "sha256:" + "A" * 64,
    "sha256:" + "a" * 63,
    "sha512:" + "a" * 64,
    "md5:" + "a" * 32,
    "sha256:" + "a" * 64 + "\n",
    "__class__:x",
]


@pytest.mark.parametrize("text", BAD_DIGESTS)
async def test_13_a_digest_is_validated_before_it_goes_anywhere(text: str):
    document = {"schemaVersion": 2, "config": POINTER, "layers": [{"mediaType": "x", "digest": text, "size": 1}]}
    async with ScriptedServer() as a, make_client() as client:
        with pytest.raises(BadDigest):
            Reference.parse(f"{a.host}/acme/app@{text}")
        a.expect("GET", "/v2/acme/app/manifests/v1", Answer(200, body=json.dumps(document).encode()))
        with pytest.raises(BadDigest):
            await client.get_manifest(repository(a).with_tag("v1"))
        # What a registry says in headers is no better than what it says in bodies.
        a.expect("HEAD", "/v2/acme/app/manifests/v1", Answer(200, {"Docker-Content-Digest": text.strip()}))
        a.expect("GET", "/v2/acme/app/manifests/v1", 404)
        assert await client.head_manifest(repository(a).with_tag("v1")) is None


# Row 14


async def test_14_an_answer_without_end_is_cut_everywhere_and_memory_stays_small():
    endless = Answer(200, {"Content-Type": mt.OCI_MANIFEST}, bytes(1 << 20), endless=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with ScriptedServer() as a, make_client(policy=ONCE) as client:
        a.expect("GET", "/v2/acme/app/manifests/v1", endless)
        with pytest.raises(InvalidContent, match="more than the 4194304 bytes"):
            await client.get_manifest(repository(a).with_tag("v1"))
        a.expect("GET", "/v2/acme/app/tags/list?n=1000", endless)
        with pytest.raises(InvalidContent, match="bytes allowed"):
            await client.list_tags(repository(a))
        a.expect("GET", BLOB, endless)
        with pytest.raises(DigestMismatch):
            await read(client, repository(a))
        a.expect("GET", "/v2/acme/app/manifests/v2", Answer(500, body=bytes(1 << 20), endless=True))
        with pytest.raises(BakeryError, match="500"):
            await client.get_manifest(repository(a).with_tag("v2"))
        a.expect("HEAD", BLOB, challenge(f"{a.origin}/token"))
        a.expect("GET", r"/token\?.*", Answer(200, body=bytes(1 << 20), endless=True), regex=True)
        with pytest.raises(InvalidContent, match="more than the 131072 bytes"):
            await client.has_blob(repository(a), LAYER)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB


# Row 15


@pytest.mark.parametrize("size", ["-1", "1.5", "true", '"10"', "null", "9223372036854775808", "1e3"])
async def test_15_a_size_is_a_whole_number_or_the_manifest_is_refused(size: str):
    layer = f'{{"mediaType":"x","digest":"{LAYER.digest}","size":{size}}}'
    raw = f'{{"schemaVersion":2,"config":{json.dumps(POINTER)},"layers":[{layer}]}}'.encode()
    async with ScriptedServer() as a, make_client() as client:
        a.expect("GET", "/v2/acme/app/manifests/v1", Answer(200, body=raw))
        with pytest.raises(BadDocument):
            await client.get_manifest(repository(a).with_tag("v1"))


async def test_15_nothing_is_allocated_by_a_size_that_a_descriptor_claims():
    huge = dataclasses.replace(LAYER, size=10**18)
    async with ScriptedServer() as a, make_client() as client:
        a.expect("GET", BLOB, Answer(200, body=CONTENT))
        a.expect("GET", BLOB, Answer(200, body=CONTENT, length="none"))
        with pytest.raises(DigestMismatch):
            await read(client, repository(a), huge)
        async with make_client(policy=ONCE) as impatient:
            with pytest.raises(BakeryError):
                await read(impatient, repository(a), huge)


# Row 16

WRONG_BYTES = {
    "right size, wrong bytes": Answer(200, body=CONTENT[:-1] + b"X"),
    "one byte more, told": Answer(200, body=CONTENT + b"X"),
    "one byte more, untold": Answer(200, body=b"X" + CONTENT, length="none"),
    "one byte less, told": Answer(200, body=CONTENT[:-1]),
    "one byte less, untold": Answer(200, body=CONTENT[:-1], length="none"),
    "closed early": Answer(200, body=CONTENT, cut=len(CONTENT) - 1),
}


@pytest.mark.parametrize("answer", WRONG_BYTES.values(), ids=WRONG_BYTES)
async def test_16_wrong_content_is_found_out_before_its_last_bytes_are_given_out(answer: Answer):
    received = bytearray()

    async def take() -> None:
        async with contextlib.aclosing(client.read_blob(repository(a), LAYER)) as chunks:
            async for chunk in chunks:
                received.extend(chunk)

    async with ScriptedServer() as a, make_client(policy=ONCE) as client:
        a.expect("GET", BLOB, answer)
        with pytest.raises((DigestMismatch, ConnectionFailed)):
            await take()
    assert len(received) < LAYER.size


# Row 17

REST = LAYER.size - 1
WRONG_PARTS = {
    "another first byte": [("Content-Range", f"bytes 7-{REST}/{LAYER.size}")],
    "another last byte": [("Content-Range", f"bytes 4000-{REST - 1}/{LAYER.size}")],
    "another total": [("Content-Range", f"bytes 4000-{REST}/{LAYER.size + 1}")],
    "none at all": [],
    "two of them": [("Content-Range", f"bytes 4000-{REST}/{LAYER.size}")] * 2,
    "nonsense": [("Content-Range", "bytes */*")],
}


@pytest.mark.parametrize("headers", WRONG_PARTS.values(), ids=WRONG_PARTS)
async def test_17_a_part_that_is_not_the_one_asked_for_is_refused(headers: list[tuple[str, str]]):
    async with ScriptedServer() as a, make_client() as client:
        a.expect("GET", BLOB, Answer(200, body=CONTENT, cut=4000))
        a.expect("GET", BLOB, Answer(206, headers, CONTENT[4000:]))
        with pytest.raises(BadRange):
            await read(client, repository(a))


async def test_17_a_200_on_resumption_is_read_from_its_beginning():
    async with ScriptedServer() as a, make_client() as client:
        a.expect("GET", BLOB, Answer(200, body=CONTENT, cut=4000))
        a.expect("GET", BLOB, Answer(200, body=CONTENT))
        assert await read(client, repository(a)) == CONTENT


async def test_17_a_416_with_a_false_length_neither_hangs_nor_counts_as_the_end():
    async with ScriptedServer() as a, make_client() as client:
        a.expect("GET", BLOB, Answer(200, body=CONTENT, cut=4000))
        a.expect("GET", BLOB, Answer(416, body=b"range not satisfiable", length=LAYER.size, cut=21))
        with pytest.raises(BakeryError, match="416"):
            await read(client, repository(a))


# Row 21


async def test_21_no_secret_comes_out_in_logs_errors_tracebacks_or_events(
    caplog: pytest.LogCaptureFixture, tls: Tls, tmp_path: Path
):
    caplog.set_level(logging.DEBUG)
    events: list[Event] = []
    told: list[str] = []
    canaries = [PASSWORD, "canary-token", "canary-refresh", "canary-location", "canary-redirect", "canary-helper"]

    async def failing(work: Any) -> None:
        try:
            await work
        except BakeryError as error:
            told.extend((str(error), repr(error), traceback.format_exc(), error.answer, error.hint))
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
        settings = Settings(credentials=sources, connect_s=0.3, answer_s=0.5, stall_s=0.5)
        async with make_client(settings=settings, policy=ONCE, events=events) as client:
            a.expect("GET", BLOB, challenge(f"{a.origin}/token?canary-realm=canary-token"))
            a.expect(
                "POST",
                r"/token.*",
                Answer(400, body=b'{"errors":[{"message":"canary-refresh"}]}'),
                times=None,
                regex=True,
            )
            a.expect("GET", r"/token.*", Answer(200, body=b'{"token":"canary-token"}'), times=None, regex=True)
            a.expect("GET", BLOB, Answer(307, {"Location": f"{silent.origin}/x?sig=canary-redirect"}))
            silent.expect("GET", "/x?sig=canary-redirect", Answer(lose=True))
            await failing(read(client, repository(a)))
            a.expect("POST", UPLOADS, Answer(202, {"Location": f"{silent.origin}/y?_state=canary-location"}))
            silent.expect("PUT", r"/y\?.*", Answer(403, body=b"<canary-location/>"), regex=True)
            await failing(client.push_blob(repository(a), LAYER, body_of(CONTENT)))
            a.expect("GET", BLOB, Answer(307, {"Location": f"https://localhost:{silent.port}/x?sig=canary-redirect"}))
            await failing(read(client, repository(a)))
            a.expect("GET", BLOB, Answer(307, {"Location": "ftp://x/?sig=canary-redirect"}))
            await failing(read(client, repository(a)))
            echo = errors("UNKNOWN", "got Bearer canary-token at https://s/?sig=canary-redirect")
            a.expect("GET", BLOB, Answer(400, body=echo))
            await failing(read(client, repository(a)))
            await failing(client.has_blob(Repository("helped.example", "x/y"), LAYER))
            held = asyncio.Event()
            a.expect("GET", BLOB, Answer(307, {"Location": f"{silent.origin}/z?sig=canary-redirect"}))
            silent.expect("GET", "/z?sig=canary-redirect", Answer(hold=held))
            await failing(read(client, repository(a)))
            held.set()
            told.extend((repr(client.stats), repr(settings), repr(events), repr(sources)))
        assert "canary-token" in a.transcript  # or the test proves nothing
    text = "\n".join([*told, caplog.text, *(repr(record.__dict__) for record in caplog.records)])
    assert not [canary for canary in canaries if canary in text]


async def test_21_a_connection_that_never_answers_tells_no_signed_url():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, ScriptedServer() as a, make_client(policy=ONCE, settings=Settings(connect_s=0.2)) as client:
        a.expect("GET", BLOB, Answer(307, {"Location": f"https://localhost:{port}/x?sig=canary-redirect"}))
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
async def test_23_a_repository_is_a_path_of_plain_names_or_no_request_is_sent(text: str):
    async with ScriptedServer() as a:
        with pytest.raises(BadReference):
            Repository(a.host, text)
        assert a.connections == 0


@pytest.mark.parametrize("tag", ["a\r\nX: y", "../x", "a/b", "a?b", "a%41", ".a", "a" * 129, "a b"])
async def test_22_a_tag_is_a_plain_word_or_no_request_is_sent(tag: str):
    async with ScriptedServer() as a, make_client() as client:
        descriptor, raw = image(b"a")
        with pytest.raises(BadReference):
            await client.put_manifest(repository(a), descriptor, raw, tag=tag)
        assert a.connections == 0


# Row 25


async def test_25_a_mount_that_claims_success_without_the_blob_is_found_out():
    async with ScriptedServer() as a, make_client() as client:
        a.expect("POST", f"{UPLOADS}?mount={LAYER.digest}&from=acme/base", Answer(201, {"Location": "/somewhere"}))
        a.expect("HEAD", BLOB, 404)
        assert not await client.mount_blob(repository(a), LAYER, repository(a, "acme/base"))


# Row 26


async def test_26_a_web_page_that_says_200_to_everything_is_no_registry():
    page = Answer(200, {"Content-Type": "text/html"}, b"<html>hello</html>")
    descriptor, raw = image(b"a")
    async with ScriptedServer() as a, make_client(policy=ONCE) as client:
        for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
            a.expect(method, ".*", page, times=None, regex=True)
        where = repository(a)
        with pytest.raises(RegistryError):
            await client.has_blob(where, LAYER)
        with pytest.raises(BakeryError):
            await read(client, where)
        with pytest.raises(RegistryError):
            await client.push_blob(where, LAYER, body_of(CONTENT))
        with pytest.raises(BakeryError):
            await client.get_manifest(where.with_tag("v1"))
        with pytest.raises(BakeryError):
            await client.head_manifest(where.with_tag("v1"))
        with pytest.raises(BakeryError):
            await client.put_manifest(where, descriptor, raw)
        with pytest.raises(BakeryError):
            await client.put_manifest(where, descriptor, raw, tag="v1")
        with pytest.raises(BakeryError):
            await client.list_tags(where)
        with pytest.raises(BakeryError):
            await client.referrers(where, descriptor.digest)
        with pytest.raises(BakeryError):
            await client.await_tag(where, "v1", descriptor.digest, previous=None)
        assert not await client.mount_blob(where, LAYER, repository(a, "acme/base"))


async def test_26_an_upload_that_is_answered_by_200_counts_only_when_the_blob_is_found():
    async with ScriptedServer() as a, make_client() as client:
        a.expect("POST", UPLOADS, Answer(202, {"Location": "/u"}), times=2)
        a.expect("PUT", f"/u?digest={LAYER.digest}", 200, times=2)
        a.expect("HEAD", BLOB, Answer(200, {"Docker-Content-Digest": str(LAYER.digest)}))
        await client.push_blob(repository(a), LAYER, body_of(CONTENT))
        a.expect("HEAD", BLOB, 404)
        with pytest.raises(RegistryError, match="not there"):
            await client.push_blob(repository(a), LAYER, body_of(CONTENT))


# Row 27


@pytest.mark.parametrize("wrong", ["unknown authority", "another name"])
async def test_27_a_bad_certificate_is_the_end_and_plain_http_is_never_tried(tls: Tls, tmp_path: Path, wrong: str):
    first_bytes: list[bytes] = []
    name = "registry.example" if wrong == "unknown authority" else "other.example"
    ca_file = None if wrong == "unknown authority" else tls.file
    async with ScriptedServer(tls=tls.server(name)) as behind:

        async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            first_bytes.append(await reader.read(64 * 1024))
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", behind.port)
            inner_writer.write(first_bytes[-1])
            writer.write(await inner_reader.read(64 * 1024))
            with contextlib.suppress(ConnectionError):
                await reader.read()
            inner_writer.close()
            writer.close()

        front = await asyncio.start_server(watch, "127.0.0.1", 0)
        port = front.sockets[0].getsockname()[1]
        settings = Settings(ca_file=ca_file, credentials=login(f"registry.example:{port}"))
        lookup = names(registry_example="127.0.0.1")
        async with front, make_client(settings=settings, lookup=lookup, clock=JumpingClock()) as client:
            with pytest.raises(Untrusted, match="BAKERY_CA_FILE"):
                await client.has_blob(Repository(f"registry.example:{port}", "acme/app"), LAYER)
    assert [sent[:1] for sent in first_bytes] == [b"\x16"]  # one TLS hello, and nothing else


async def test_27_a_name_that_only_speaks_plain_http_is_not_spoken_to_in_it():
    async with ScriptedServer(name="registry.example") as a:
        lookup = names(registry_example="127.0.0.1")
        async with make_client(lookup=lookup, policy=ONCE, settings=Settings(connect_s=0.3)) as client:
            with pytest.raises(BakeryError):
                await client.has_blob(repository(a), LAYER)
        assert not a.received
        async with make_client(lookup=lookup, settings=Settings(plain_http=frozenset({a.host}))) as client:
            a.expect("HEAD", BLOB, 404)
            assert not await client.has_blob(repository(a), LAYER)


# Row 28


def helper_script(folder: Path, name: str, text: str) -> None:
    file = folder / f"docker-credential-{name}"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


@pytest.mark.parametrize("helper", ["../evil", "x;y", "a b", "/bin/evil", "$(evil)", "..", "evil\n"])
async def test_28_a_helper_with_an_odd_name_is_not_run(tmp_path: Path, helper: str):
    marker = tmp_path / "it-ran"
    program = tmp_path / "bin" / f"docker-credential-{helper}"  # it is there: only its name keeps it from being run
    program.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "bin" / "docker-credential-..").mkdir(exist_ok=True)
    if not program.is_dir():
        program.write_text(f"#!/bin/sh\ntouch {marker}\n")
        program.chmod(0o755)
    async with ScriptedServer() as a:
        sources = CredentialSources(
            inline=json.dumps({"credHelpers": {a.host: helper}}), path=f"{tmp_path / 'bin'}:/usr/bin:/bin"
        )
        async with make_client(settings=Settings(credentials=sources)) as client:
            with pytest.raises(AuthError, match="credential helper"):
                await client.has_blob(repository(a), LAYER)
        assert a.connections == 0
    assert not marker.exists()


HELPERS = {
    "says a gigabyte": ("exec head -c 1000000000 /dev/zero", "more than"),
    "hangs": ("sleep 1000", "did not answer"),
    "says no JSON": ("echo hello", "no login"),
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
        async with make_client(settings=Settings(credentials=sources)) as client:
            with pytest.raises(AuthError, match=expected) as caught:
                await client.has_blob(repository(a), LAYER)
        assert "canary" not in str(caught.value)
        assert a.connections == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB


async def test_28_a_good_helper_is_asked_on_its_standard_input(tmp_path: Path):
    text = """read server; printf '{"ServerURL":"%s","Username":"u-%s","Secret":"s"}' "$server" "$1" """
    helper_script(tmp_path, "good", text)
    async with ScriptedServer() as a:
        sources = CredentialSources(
            inline=json.dumps({"credHelpers": {a.host: "good"}}),
            path=str(tmp_path),
            environment={"PATH": "/usr/bin:/bin"},
        )
        async with make_client(settings=Settings(credentials=sources)) as client:
            a.expect("HEAD", BLOB, Answer(401, {"WWW-Authenticate": "Basic realm=x"}))
            a.expect("HEAD", BLOB, 404)
            assert not await client.has_blob(repository(a), LAYER)
        sent = a.received[1].header("Authorization") or ""
        assert base64.b64decode(sent.removeprefix("Basic ")) == b"u-get:s"


# Row 30


async def test_30_inline_data_that_is_not_its_digest_is_not_used():
    entry = {"mediaType": LAYER.media_type, "digest": str(LAYER.digest), "size": LAYER.size}
    lying = entry | {"data": base64.b64encode(b"x" * LAYER.size).decode()}
    raw = json.dumps({"schemaVersion": 2, "config": POINTER, "layers": [lying]}).encode()
    async with ScriptedServer() as a, make_client() as client:
        a.expect("GET", "/v2/acme/app/manifests/v1", Answer(200, {"Content-Type": mt.OCI_MANIFEST}, raw))
        a.expect("GET", BLOB, Answer(200, body=CONTENT))
        _, received = await client.get_manifest(repository(a).with_tag("v1"))
        view = manifests.parse(received)
        assert isinstance(view, manifests.Manifest)
        assert await read(client, repository(a), view.layers[0]) == CONTENT


async def test_30_inline_data_put_in_by_hand_is_checked_when_it_is_read():
    lying = dataclasses.replace(LAYER, data=b"x" * LAYER.size)
    async with ScriptedServer() as a, make_client() as client:
        with pytest.raises(DigestMismatch):
            await read(client, repository(a), lying)


async def test_a_netrc_entry_for_the_registry_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    netrc = tmp_path / "netrc"
    netrc.write_text(f"default login robot password {PASSWORD}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    descriptor, _ = image(b"a")
    async with ScriptedServer() as a, make_client() as client:
        a.expect("HEAD", f"/v2/acme/app/manifests/{descriptor.digest}", Answer(200, headers_of(descriptor)))
        await client.head_manifest(repository(a).with_digest(descriptor.digest))
        no_secret(a)
